/* Connections to targets: the pool, dialling, time-outs, PROXY headers, targets that go. */
#include "rig.h"

#include "proxy/group_state.h"

static struct rig rig;
static struct upstream *mine; /* as upstream_get() gave it */
static int n_ready, n_failed, n_events;
static enum close_reason failed_because;

static void ready(struct upstream *upstream)
{
	assert_ptr_equal(upstream, mine);
	assert_ptr_equal(upstream->owner, &rig);
	assert_int_equal(upstream->state, UPSTREAM_LENT);
	n_ready++;
}

static void failed(struct upstream *upstream, enum close_reason reason)
{
	assert_ptr_equal(upstream, mine);
	mine = NULL; /* is closed when this returns */
	failed_because = reason;
	n_failed++;
}

static void event(struct upstream *upstream)
{
	n_events++;
}

static const struct upstream_ops ops = {.ready = ready, .failed = failed, .event = event};

static int setup(void **state)
{
	rig_init(&rig, 2);
	rig.group_spec.n_members = 1;
	mine = NULL;
	n_ready = n_failed = n_events = 0;
	return 0;
}

static int teardown(void **state)
{
	rig_fini(&rig);
	return 0;
}

static int get(bool fresh)
{
	union addr client, local;
	struct upstream_client who = {.client = &client, .local = &local};
	struct balance_tried tried = {{NULL}};
	struct balance_ask ask = {.tried = &tried};

	assert_int_equal(addr_parse("192.0.2.9:4000", &client), 0);
	assert_int_equal(addr_parse("192.0.2.1:443", &local), 0);
	return upstream_get(&rig.worker, rig.group, &ask, &who, &ops, &rig, fresh, &mine);
}

static struct target_worker *row(void)
{
	return &rig.targets[0]->workers[0];
}

static uint32_t outstanding(void)
{
	return atomic_load(&rig.targets[0]->outstanding);
}

/* A new connection that is up; its other end in *ret_target. */
static void dialled(struct peer *ret_target)
{
	assert_int_equal(get(false), 0);
	assert_int_not_equal(mine->state, UPSTREAM_LENT);
	assert_int_equal(outstanding(), 1);
	*ret_target = rig_accept(&rig, 0);
	WAIT(&rig, n_ready == 1);
}

static void test_pool_reuse(void **state)
{
	struct upstream *first;
	struct peer target;

	rig_serve(&rig);
	dialled(&target);
	first = mine;
	assert_false(first->reused);
	upstream_put(first, UPSTREAM_END_KEEP);
	assert_int_equal(outstanding(), 0);
	assert_int_equal(row()->n_idle, 1);
	assert_int_equal(get(true), 0); /* asked for a new one */
	assert_ptr_not_equal(mine, first);
	upstream_put(mine, UPSTREAM_END_ABORT);
	assert_int_equal(get(false), 0);
	assert_ptr_equal(mine, first);
	assert_int_equal(mine->state, UPSTREAM_LENT);
	assert_true(mine->reused);
	assert_int_equal(n_ready, 1); /* not called for a pooled one */
	assert_int_equal(outstanding(), 1);
	assert_int_equal(row()->n_idle, 0);
	upstream_put(mine, UPSTREAM_END_CLOSE);
	WAIT(&rig, peer_over(&target));
	assert_true(target.ended);
	assert_int_equal(row()->n_open, 0);
	peer_fini(&target);
}

/* The group wants a PROXY header since the last reload: connections of before have none. */
static void test_pool_without_proxy_header(void **state)
{
	struct upstream *first;
	struct peer target;

	rig_serve(&rig);
	dialled(&target);
	first = mine;
	upstream_put(first, UPSTREAM_END_KEEP);
	rig.group->spec.proxy_out = PROXY_OUT_V1;
	assert_int_equal(get(false), 0);
	assert_ptr_not_equal(mine, first);
	upstream_put(mine, UPSTREAM_END_ABORT);
	rig.group->spec.proxy_out = PROXY_OUT_OFF;
	assert_int_equal(get(false), 0);
	assert_ptr_equal(mine, first);
	upstream_put(mine, UPSTREAM_END_CLOSE);
	peer_fini(&target);
}

static void test_pool_ends(void **state)
{
	static const enum upstream_end ends[] = {UPSTREAM_END_CLOSE, UPSTREAM_END_ABORT};
	struct peer target;
	size_t i;

	rig_serve(&rig);
	for (i = 0; i < array_len(ends); i++) {
		n_ready = 0;
		dialled(&target);
		upstream_put(mine, ends[i]);
		assert_int_equal(row()->n_idle, 0);
		WAIT(&rig, peer_over(&target));
		assert_int_equal(target.reset, ends[i] == UPSTREAM_END_ABORT);
		peer_fini(&target);
	}
}

static bool holds;

static int held_flush(struct stream *stream)
{
	return holds ? -EAGAIN : 0;
}

static int held_shutdown(struct stream *stream)
{
	return holds ? -EAGAIN : shutdown(stream->watch.fd, SHUT_WR);
}

/* A TLS stream that has taken a request and not sent all of it: the next one does not go behind it,
 * and the target sees that it was cut. */
static void test_request_not_sent(void **state)
{
	static const enum upstream_end ends[] = {UPSTREAM_END_KEEP, UPSTREAM_END_CLOSE};
	struct stream_ops held_ops;
	struct peer target;
	size_t i;

	rig_serve(&rig);
	for (i = 0; i < 2 * array_len(ends); i++) {
		n_ready = 0;
		dialled(&target);
		held_ops = *mine->stream->ops;
		held_ops.is_plain = false;
		held_ops.flush = held_flush;
		held_ops.shutdown = held_shutdown;
		mine->stream->ops = &held_ops;
		holds = i % 2;
		upstream_put(mine, ends[i / 2]);
		assert_int_equal(row()->n_idle, i ? 0 : 1);
		if (!i) /* the pool's: lets go of the ops */
			upstream_close_all(&rig.worker);
		WAIT(&rig, peer_over(&target));
		assert_int_equal(target.reset, holds);
		peer_fini(&target);
	}
}

/* Noticed while it idles, while it is put back, and while it is taken. */
static void test_closed_idle(void **state)
{
	struct peer target;

	rig_serve(&rig);
	dialled(&target);
	upstream_put(mine, UPSTREAM_END_KEEP);
	peer_close(&target);
	WAIT(&rig, row()->n_open == 0);
	peer_fini(&target);

	n_ready = 0;
	dialled(&target);
	peer_close(&target);
	WAIT(&rig, n_events > 0);
	upstream_put(mine, UPSTREAM_END_KEEP);
	assert_int_equal(row()->n_open, 0);
	peer_fini(&target);

	n_ready = 0;
	dialled(&target);
	upstream_put(mine, UPSTREAM_END_KEEP);
	peer_send(&target, "unasked");
	WAIT(&rig, row()->n_open == 0);
	assert_int_equal(get(false), 0);
	assert_false(mine->reused);
	upstream_put(mine, UPSTREAM_END_ABORT);
	peer_fini(&target);
}

static void test_pool_is_bounded(void **state)
{
	struct upstream *first;
	struct peer a, b;

	rig.group_spec.pool_per_worker = 1;
	rig_serve(&rig);
	dialled(&a);
	first = mine;
	assert_int_equal(get(false), 0);
	b = rig_accept(&rig, 0);
	WAIT(&rig, n_ready == 2);
	upstream_put(first, UPSTREAM_END_KEEP);
	upstream_put(mine, UPSTREAM_END_KEEP);
	assert_int_equal(row()->n_idle, 1);
	assert_int_equal(row()->n_open, 1);
	WAIT(&rig, peer_over(&b));
	peer_fini(&a);
	peer_fini(&b);
}

static void test_pool_timeout(void **state)
{
	struct peer target;

	rig.group_spec.pool_idle_ms = 20;
	rig_serve(&rig);
	dialled(&target);
	upstream_put(mine, UPSTREAM_END_KEEP);
	WAIT(&rig, peer_over(&target));
	assert_int_equal(row()->n_open, 0);
	peer_fini(&target);
}

static void test_draining_keeps_nothing(void **state)
{
	struct peer target;

	rig_serve(&rig);
	dialled(&target);
	rig.worker.draining = true;
	upstream_put(mine, UPSTREAM_END_KEEP);
	assert_int_equal(row()->n_open, 0);
	peer_fini(&target);
}

static void test_refused(void **state)
{
	close(rig.target_fds[0]);
	rig.target_fds[0] = -1;
	rig_serve(&rig);
	assert_int_equal(get(false), 0);
	assert_int_equal(n_failed, 0); /* never from within upstream_get() */
	WAIT(&rig, n_failed == 1);
	assert_int_equal(failed_because, CLOSE_target_refused);
	assert_int_equal(outstanding(), 0);
	assert_int_equal(row()->n_open, 0);
	assert_int_equal(row()->failures, 1);
}

static void test_no_target(void **state)
{
	atomic_store(&rig.targets[0]->health, TARGET_UNHEALTHY);
	rig_serve(&rig);
	assert_int_equal(get(false), -ENOENT);
}

static void test_limit_of_requests(void **state)
{
	struct upstream *first;

	rig.group_spec.limits.requests = 1;
	rig_serve(&rig);
	assert_int_equal(get(true), 0);
	first = mine;
	assert_int_equal(get(true), -EBUSY);
	assert_int_equal(rig.group->spec.state->workers[0].limited, 1);
	upstream_put(first, UPSTREAM_END_ABORT);
	assert_int_equal(get(true), 0);
	upstream_put(mine, UPSTREAM_END_ABORT);
	assert_int_equal(outstanding(), 0);
}

/* What waits in the pool, maybe another worker's, takes nobody's place; but it does not stay beyond
 * the limit. */
static void test_limit_of_connections(void **state)
{
	struct upstream *first;

	rig.group_spec.limits.connections = 1;
	rig_serve(&rig);
	assert_int_equal(get(false), 0);
	first = mine;
	WAIT(&rig, n_ready == 1);
	assert_int_equal(get(false), -EBUSY);
	upstream_put(first, UPSTREAM_END_KEEP);
	n_ready = 0;
	assert_int_equal(get(true), 0);
	assert_int_equal(atomic_load(&rig.targets[0]->open), 2);
	WAIT(&rig, n_ready == 1);
	upstream_put(mine, UPSTREAM_END_KEEP);
	assert_int_equal(atomic_load(&rig.targets[0]->open), 1);
	assert_int_equal(get(false), 0);
	assert_ptr_equal(mine, first);
	upstream_put(mine, UPSTREAM_END_CLOSE);
	assert_int_equal(atomic_load(&rig.targets[0]->open), 0);
	assert_int_equal(get(false), 0);
	upstream_put(mine, UPSTREAM_END_ABORT);
}

static void test_limit_of_pending(void **state)
{
	struct upstream *first;

	rig.group_spec.limits.pending = 1;
	rig_serve(&rig);
	assert_int_equal(get(true), 0);
	first = mine;
	assert_int_equal(get(true), -EBUSY);
	WAIT(&rig, n_ready == 1);
	assert_int_equal(get(true), 0); /* the first waits no longer */
	upstream_put(mine, UPSTREAM_END_ABORT);
	upstream_put(first, UPSTREAM_END_ABORT);
	assert_int_equal(atomic_load(&rig.group->spec.state->pending), 0);
	assert_int_equal(outstanding(), 0);
}

/* A listening socket whose queue is full answers no SYN. */
static void test_connect_timeout(void **state)
{
	int full[8], i;

	assert_int_equal(listen(rig.target_fds[0], 0), 0);
	for (i = 0; i < (int)array_len(full); i++)
		full[i] = socket_connect(&rig.targets[0]->addr);
	rig.group_spec.connect_ms = 40;
	rig_serve(&rig);
	assert_int_equal(get(false), 0);
	WAIT(&rig, n_failed == 1);
	assert_int_equal(failed_because, CLOSE_target_timeout);
	assert_int_equal(outstanding(), 0);
	for (i = 0; i < (int)array_len(full); i++)
		close(full[i]);
}

static void test_given_up_while_dialling(void **state)
{
	rig_serve(&rig);
	assert_int_equal(get(false), 0);
	upstream_put(mine, UPSTREAM_END_ABORT);
	assert_int_equal(outstanding(), 0);
	rig_turn(&rig);
	assert_int_equal(n_ready + n_failed, 0);
}

static void test_proxy_header_comes_first(void **state)
{
	static const char v1[] = "PROXY TCP4 192.0.2.9 192.0.2.1 4000 443\r\n";
	struct iovec iov = {(void *)"data", 4};
	struct peer target;

	rig.group_spec.proxy_out = PROXY_OUT_V1;
	rig_serve(&rig);
	dialled(&target);
	assert_int_equal(mine->stream->ops->writev(mine->stream, &iov, 1, false), 4);
	WAIT(&rig, peer_has(&target, "data"));
	assert_memory_equal(target.data, v1, strlen(v1));
	assert_string_equal(target.data + strlen(v1), "data");
	/* it speaks for one client: nobody else may use it */
	upstream_put(mine, UPSTREAM_END_KEEP);
	assert_int_equal(row()->n_open, 0);
	peer_fini(&target);
}

/* Removed: idle ones go at once, borrowed ones when the delay is over. */
static void test_sweep(void **state)
{
	struct upstream *idle;
	struct peer a, b;

	rig_serve(&rig);
	dialled(&a);
	idle = mine;
	assert_int_equal(get(false), 0);
	b = rig_accept(&rig, 0);
	WAIT(&rig, n_ready == 2);
	upstream_put(idle, UPSTREAM_END_KEEP);
	upstream_sweep(&rig.worker);
	assert_int_equal(row()->n_open, 2);
	atomic_store(&rig.targets[0]->removed, true);
	upstream_sweep(&rig.worker);
	WAIT(&rig, peer_over(&a));
	assert_int_equal(row()->n_open, 1);
	assert_int_equal(n_failed, 0);
	atomic_store(&rig.targets[0]->expired, true);
	upstream_sweep(&rig.worker);
	assert_int_equal(n_failed, 1);
	assert_int_equal(failed_because, CLOSE_deregistered);
	assert_int_equal(row()->n_open, 0);
	assert_int_equal(row()->failures, 0); /* not the target's fault */
	peer_fini(&a);
	peer_fini(&b);
}

static void test_put_back_to_a_removed_target(void **state)
{
	struct peer target;

	rig_serve(&rig);
	dialled(&target);
	atomic_store(&rig.targets[0]->removed, true);
	upstream_put(mine, UPSTREAM_END_KEEP);
	assert_int_equal(row()->n_open, 0);
	peer_fini(&target);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_pool_reuse),
		CASE(test_pool_without_proxy_header),
		CASE(test_pool_ends),
		CASE(test_request_not_sent),
		CASE(test_closed_idle),
		CASE(test_pool_is_bounded),
		CASE(test_pool_timeout),
		CASE(test_draining_keeps_nothing),
		CASE(test_refused),
		CASE(test_no_target),
		CASE(test_limit_of_requests),
		CASE(test_limit_of_connections),
		CASE(test_limit_of_pending),
		CASE(test_connect_timeout),
		CASE(test_given_up_while_dialling),
		CASE(test_proxy_header_comes_first),
		CASE(test_sweep),
		CASE(test_put_back_to_a_removed_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
