/* Snapshots and counted objects, with the threads they are for. */
#include "core/mem.h"
#include "core/shared.h"
#include "core/snapshot.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { WORKERS = 3, PUBLISHED = 300, TURNS_MIN = 200 };

static atomic_int alive; /* objects */

struct object {
	struct shared shared;
	int value, copy; /* always equal while the object lives */
};

static void object_free(struct shared *shared)
{
	struct object *object = container_of(shared, struct object, shared);

	object->value = -1;
	shared_fini(shared);
	free(object);
	atomic_fetch_sub(&alive, 1);
}

static struct object *object_new(int value)
{
	struct object *object = mem_zalloc(sizeof(*object));

	shared_init(&object->shared, WORKERS, object_free);
	object->value = object->copy = value;
	atomic_fetch_add(&alive, 1);
	return object;
}

static void test_shared_counts(void **state)
{
	struct object *object = object_new(1);

	shared_get(&object->shared);
	shared_put(&object->shared);
	assert_int_equal(atomic_load(&alive), 1);
	/* several connections of a worker count once */
	shared_hold(&object->shared, 0);
	shared_hold(&object->shared, 0);
	shared_hold(&object->shared, 2);
	assert_int_equal(atomic_load(&object->shared.refs), 3);
	shared_put(&object->shared);
	shared_drop(&object->shared, 0);
	assert_int_equal(atomic_load(&alive), 1);
	shared_drop(&object->shared, 0);
	assert_int_equal(atomic_load(&alive), 1);
	assert_int_equal(object->value, 1);
	shared_drop(&object->shared, 2);
	assert_int_equal(atomic_load(&alive), 0);
}

static struct snapshot_root root;
static atomic_bool done;
static atomic_int started;

/* As a worker: reads at the start of a turn, keeps some objects for a few turns more. */
static void *work(void *arg)
{
	uint32_t worker = *(uint32_t *)arg, turn;
	struct object *kept[4] = {0}, *now;

	snapshot_reader_register();
	for (turn = 0; !atomic_load(&done) || turn < TURNS_MIN; turn++) {
		snapshot_reader_offline();
		if (turn % 16 == 0)
			sched_yield();
		snapshot_reader_online();
		now = snapshot_read(&root);
		if (now->value != now->copy || now->value < 0)
			abort();
		if (kept[turn % 4]) {
			if (kept[turn % 4]->value < 0)
				abort();
			shared_drop(&kept[turn % 4]->shared, worker);
		}
		shared_hold(&now->shared, worker);
		kept[turn % 4] = now;
		atomic_fetch_or(&started, 1 << worker);
	}
	for (turn = 0; turn < 4; turn++)
		if (kept[turn])
			shared_drop(&kept[turn]->shared, worker);
	snapshot_reader_offline();
	snapshot_reader_unregister();
	return NULL;
}

static void replace(int value)
{
	struct object *old = snapshot_publish(&root, object_new(value));

	snapshot_wait();
	shared_put(&old->shared);
}

static void test_readers_see_whole_live_objects(void **state)
{
	uint32_t ids[WORKERS], i;
	pthread_t workers[WORKERS];
	struct object *last;

	assert_null(snapshot_publish(&root, object_new(0)));
	for (i = 0; i < WORKERS; i++) {
		ids[i] = i;
		assert_int_equal(pthread_create(&workers[i], NULL, work, &ids[i]), 0);
	}
	for (i = 1; i <= PUBLISHED; i++)
		replace((int)i);
	while (atomic_load(&started) != (1 << WORKERS) - 1)
		sched_yield();
	atomic_store(&done, true);
	for (i = 0; i < WORKERS; i++)
		pthread_join(workers[i], NULL);
	last = snapshot_publish(&root, NULL);
	assert_int_equal(last->value, PUBLISHED);
	assert_int_equal(atomic_load(&alive), 1);
	shared_put(&last->shared);
	assert_int_equal(atomic_load(&alive), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared_counts),
		cmocka_unit_test(test_readers_see_whole_live_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
