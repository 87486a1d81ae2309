/* Publication to workers by userspace-rcu QSBR: see snapshot.h. */
#include "core/snapshot.h"

#include <urcu/urcu-qsbr.h>

/* liburcu's own synchronisation is not instrumented: what a reader did before it went offline
 * happened before snapshot_wait() returns, which ThreadSanitizer must be told. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#include <sanitizer/tsan_interface.h>
static char grace;
#define TSAN_RELEASE() __tsan_release(&grace)
#define TSAN_ACQUIRE() __tsan_acquire(&grace)
#endif
#endif
#ifndef TSAN_RELEASE
#define TSAN_RELEASE() ((void)0)
#define TSAN_ACQUIRE() ((void)0)
#endif

void snapshot_reader_register(void)
{
	urcu_qsbr_register_thread();
}

void snapshot_reader_unregister(void)
{
	TSAN_RELEASE();
	urcu_qsbr_unregister_thread();
}

void snapshot_reader_offline(void)
{
	TSAN_RELEASE();
	urcu_qsbr_thread_offline();
}

void snapshot_reader_online(void)
{
	urcu_qsbr_thread_online();
}

void *snapshot_read(const struct snapshot_root *root)
{
	return __atomic_load_n(&root->current, __ATOMIC_ACQUIRE);
}

void *snapshot_publish(struct snapshot_root *root, void *object)
{
	return __atomic_exchange_n(&root->current, object, __ATOMIC_ACQ_REL);
}

void snapshot_wait(void)
{
	urcu_qsbr_synchronize_rcu();
	TSAN_ACQUIRE();
}
