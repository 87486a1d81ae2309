/*
 * Publication of immutable state to the workers (userspace-rcu, QSBR flavour). The control side
 * builds a new object aside and publishes it; each worker reads the pointer at the start of a
 * loop turn and may use it until the end of that turn. The old object is freed on the thread that
 * calls snapshot_reclaim() (the loader thread, which may wait) once every worker has passed a
 * turn. Workers are offline while they wait in epoll, so an idle one delays nothing.
 */
#ifndef SLUICE_CORE_SNAPSHOT_H
#define SLUICE_CORE_SNAPSHOT_H

#include "core/attr.h"

struct snapshot_root {
	void *current;
};

/* Once per reading thread, before its first turn and after its last. */
void snapshot_reader_register(void);
void snapshot_reader_unregister(void);
/* Around epoll_wait (loop_hooks before_wait and after_wait). */
void snapshot_reader_offline(void);
void snapshot_reader_online(void);

/* The object of this turn; registered readers only. */
void *snapshot_read(const struct snapshot_root *root);
/* Puts `object` in place and returns the one it replaces, which readers may still use. */
void *snapshot_publish(struct snapshot_root *root, void *object) must_check;
/* Waits until no reader can still see what was replaced before the call. May block. */
void snapshot_wait(void);

#endif
