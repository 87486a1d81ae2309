/* HTTP/2 sessions: see h2.h. Life, reading, sending, the end. */
#include "http/h2_parts.h"

#include <errno.h>
#include <stdlib.h>

enum {
	KEEP_SESSIONS = 1024,
	KEEP_STREAMS = 1024,
	KEEP_HEADS = 16,
	ROUNDS_PER_TURN = 8,  /* of filling `out` */
	BYTES_PER_TURN = 1024 * 1024,
	DRAIN_WAIT_MS = 1000, /* for the answer to the PING behind the notice */
	RESETS_MAX = 1000000,
	/* Of an answer, as the library counts them: targets may send 64 KiB, rules and cookies add to
	 * that, and each of hundreds of fields counts a few bytes more. */
	HEAD_BYTES_MAX = 256 * 1024,
};

const char h2_preface[H2_PREFACE_BYTES + 1] = NGHTTP2_CLIENT_MAGIC;

int h2_thread_init(struct h2_thread *thread, struct iothread *io)
{
	struct h2_vendor *vendor = mem_zalloc(sizeof(*vendor));

	*thread = (struct h2_thread){.io = io, .vendor = vendor, .bytes = mem_alloc(H2_READ_BYTES)};
	pool_init(&thread->sessions, sizeof(struct h2), KEEP_SESSIONS);
	pool_init(&thread->streams, sizeof(struct h2_stream), KEEP_STREAMS);
	pool_init(&thread->heads, sizeof(struct h2_head), KEEP_HEADS);
	if (nghttp2_session_callbacks_new(&vendor->callbacks) < 0 ||
		nghttp2_option_new(&vendor->options) < 0) {
		h2_thread_fini(thread);
		return -ENOMEM;
	}
	h2_callbacks_set(vendor->callbacks);
	nghttp2_option_set_no_auto_window_update(vendor->options, 1);
	nghttp2_option_set_no_closed_streams(vendor->options, 1);
	nghttp2_option_set_max_reserved_remote_streams(vendor->options, 0);
	nghttp2_option_set_max_send_header_block_length(vendor->options, HEAD_BYTES_MAX);
	/* The budget decides, which knows how much a connection does. */
	nghttp2_option_set_stream_reset_rate_limit(vendor->options, RESETS_MAX, RESETS_MAX);
	return 0;
}

void h2_thread_fini(struct h2_thread *thread)
{
	if (!thread->vendor)
		return;
	nghttp2_session_callbacks_del(thread->vendor->callbacks);
	nghttp2_option_del(thread->vendor->options);
	free(thread->vendor);
	free(thread->bytes);
	pool_fini(&thread->sessions);
	pool_fini(&thread->streams);
	pool_fini(&thread->heads);
	*thread = (struct h2_thread){0};
}

static void settle(struct task *task);
static void drain_waited(struct timer *timer);

/* What we say first. */
static int submit_settings(struct h2 *h2)
{
	const nghttp2_settings_entry entries[] = {
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h2->max_header_bytes},
		{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
		h2->is_client ? (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0}
			      : (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
					H2_STREAMS_MAX},
		{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
	};
	size_t n = sizeof(entries) / sizeof(entries[0]);
	int r = nghttp2_submit_settings(
		h2->session, NGHTTP2_FLAG_NONE, entries, h2->takes_connect ? n : n - 1);

	return r < 0 ? r
		     : nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
			       h2->is_client ? H2_CLIENT_WINDOW : H2_CONNECTION_WINDOW);
}

static int session_new(struct h2 *h2)
{
	const struct h2_vendor *vendor = h2->thread->vendor;

	if (!h2->is_client)
		return nghttp2_session_server_new2(
			&h2->session, vendor->callbacks, h2, vendor->options);
	h2_scan_skip_preface(&h2->scan); /* servers send none */
	return nghttp2_session_client_new2(&h2->session, vendor->callbacks, h2, vendor->options);
}

struct h2 *h2_new(struct h2_thread *thread, struct stream *io, const struct h2_spec *spec,
	const struct h2_ops *ops, void *owner)
{
	struct h2 *h2 = pool_get(&thread->sessions);

	if (!h2)
		return NULL;
	*h2 = (struct h2){
		.thread = thread,
		.io = io,
		.ops = ops,
		.owner = owner,
		.max_header_bytes = spec->max_header_bytes,
		.is_client = spec->is_client,
		.takes_connect = spec->takes_connect && !spec->is_client,
		.settle_task.run = settle,
		.read_task.run = h2_read_on,
		.drain_timer.fire = drain_waited,
	};
	list_init(&h2->streams);
	list_init(&h2->touched);
	list_init(&h2->blocked);
	h2_budget_init(&h2->budget, loop_now_ms(thread->io->loop));
	if (session_new(h2) < 0) {
		pool_put(&thread->sessions, h2);
		return NULL;
	}
	if (submit_settings(h2) < 0) {
		h2_free(h2);
		return NULL;
	}
	h2_settle_soon(h2);
	return h2;
}

void h2_free(struct h2 *h2)
{
	nghttp2_session_del(h2->session);
	while (!list_is_empty(&h2->streams))
		h2_stream_free(container_of(h2->streams.next, struct h2_stream, link));
	task_cancel(&h2->settle_task);
	task_cancel(&h2->read_task);
	timer_clear(&h2->drain_timer);
	buf_drop(&h2->out, &h2->thread->io->bufs);
	pool_put(&h2->thread->heads, h2->head);
	pool_put(&h2->thread->sessions, h2);
}

void *h2_owner(const struct h2 *h2)
{
	return h2->owner;
}

enum h2_wait h2_waits(const struct h2 *h2)
{
	if (h2->is_ending)
		return H2_WAITS_TAKER;
	if (h2->head)
		return H2_WAITS_HEAD;
	if (buf_len(&h2->out) || (h2->n_streams && !h2->n_owned))
		return H2_WAITS_TAKER;
	return h2->n_owned ? H2_WAITS_OWNERS : H2_WAITS_REQUEST;
}

struct h2_stream *h2_next_owned(const struct h2 *h2, struct h2_stream *after)
{
	struct list *link = after ? after->link.next : h2->streams.next;
	struct h2_stream *stream;

	for (; link != &h2->streams; link = link->next) {
		stream = container_of(link, struct h2_stream, link);
		if (stream->body.owner)
			return stream;
	}
	return NULL;
}

bool h2_is_ending(const struct h2 *h2)
{
	return h2->is_ending;
}

enum h2_fault h2_fault(const struct h2 *h2)
{
	return h2->fault;
}

enum h2_cost h2_flood(const struct h2 *h2)
{
	return h2->flood;
}

/* --- ends */

void h2_end(struct h2 *h2, enum h2_fault fault, uint32_t code)
{
	if (h2->is_ending)
		return;
	h2->is_ending = true;
	h2->fault = fault;
	if (nghttp2_session_terminate_session(h2->session, code) < 0)
		h2->is_broken = true;
	h2_settle_soon(h2);
}

void h2_spend(struct h2 *h2, enum h2_cost cost)
{
	if (h2->is_ending || h2_budget_spend(&h2->budget, cost, loop_now_ms(h2->thread->io->loop)))
		return;
	h2->flood = cost;
	h2_end(h2, H2_FAULT_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM);
}

void h2_terminate(struct h2 *h2)
{
	h2_end(h2, H2_FAULT_NONE, NGHTTP2_NO_ERROR);
}

void h2_gone(struct h2 *h2)
{
	if (h2->fault == H2_FAULT_NONE && h2->n_streams)
		h2->fault = H2_FAULT_GONE;
	h2->is_broken = true;
	if (h2->is_client)
		h2_cut(h2);
	h2_settle_soon(h2);
}

static void check(struct h2 *h2, int r)
{
	if (r < 0)
		h2_end(h2, H2_FAULT_MEMORY, NGHTTP2_INTERNAL_ERROR);
}

/* The last step: what came until now is answered, what comes later is not looked at. */
static void drain_last(struct h2 *h2)
{
	h2->drain = H2_DRAIN_LAST;
	h2->last_id = nghttp2_session_get_last_proc_stream_id(h2->session);
	timer_clear(&h2->drain_timer);
	check(h2, nghttp2_submit_goaway(
			  h2->session, NGHTTP2_FLAG_NONE, h2->last_id, NGHTTP2_NO_ERROR, NULL, 0));
	h2_settle_soon(h2);
}

static void drain_waited(struct timer *timer)
{
	drain_last(container_of(timer, struct h2, drain_timer));
}

void h2_drained(struct h2 *h2)
{
	if (h2->drain == H2_DRAIN_NOTICE && !h2->is_ending)
		drain_last(h2);
}

void h2_drain(struct h2 *h2)
{
	if (h2->drain != H2_DRAIN_NONE || h2->is_ending)
		return;
	h2->drain = H2_DRAIN_NOTICE;
	check(h2, nghttp2_submit_shutdown_notice(h2->session));
	check(h2, nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL));
	h2->pings++;
	timer_set(h2->thread->io->loop, &h2->drain_timer, DRAIN_WAIT_MS);
	h2_settle_soon(h2);
}

/* --- the end of each turn */

/* The first of those that wait for room, if there is some and it was not woken in this round. Who is not
 * served has the next room: nobody's answer is held up by a faster one. */
static bool wake_next(struct h2 *h2)
{
	struct h2_stream *stream = container_of(h2->blocked.next, struct h2_stream, blocked);

	/* Behind our last GOAWAY nothing is sent, whatever windows there are. */
	if (h2->is_ending || list_is_empty(&h2->blocked) || stream->round == h2->round ||
		!h2_has_room(h2))
		return false;
	stream->round = h2->round;
	list_del(&stream->blocked);
	if (!h2_stream_has_window(stream)) {
		list_add_tail(&h2->blocked, &stream->blocked);
		return true;
	}
	stream->share = list_is_empty(&h2->blocked) ? H2_SHARE_ALONE_BYTES : H2_SHARE_BYTES;
	stream->body.can_write = true;
	h2_touch(h2, stream);
	return true;
}

bool h2_dispatch(struct h2 *h2)
{
	struct h2_stream *stream;
	bool any = false;

	while (!list_is_empty(&h2->touched)) {
		stream = container_of(h2->touched.next, struct h2_stream, touched);
		list_del(&stream->touched);
		if (!stream->is_released)
			h2->ops->event(stream);
		any = true;
	}
	return any;
}

/* Sends, and has those go on who can. False: there is nothing more to do now. */
static bool go_round(struct h2 *h2)
{
	bool any;

	h2_pull(h2);
	h2_flush(h2);
	h2->round++;
	any = h2_dispatch(h2);
	while (wake_next(h2))
		any |= h2_dispatch(h2);
	return any;
}

static bool is_over(const struct h2 *h2)
{
	/* Answers that have come whole may still be on their way to others. */
	if (h2->is_client && h2->n_owned && !h2->is_ending)
		return false;
	if (h2->is_broken)
		return true;
	if (buf_len(&h2->out) || nghttp2_session_want_write(h2->session))
		return false;
	return h2->is_ending || !nghttp2_session_want_read(h2->session) ||
	       (h2->read_ended && !h2->n_owned); /* half of a head is nobody's */
}

static void tell_changes(struct h2 *h2)
{
	enum h2_wait wait = h2_waits(h2);

	/* Of a client that takes nothing, requests are no sign of life. */
	if (h2->told_wait == wait && (h2->told_heads == h2->heads || wait == H2_WAITS_TAKER))
		return;
	h2->told_wait = wait;
	h2->told_heads = h2->heads;
	h2->ops->changed(h2);
}

static void tell_settings(struct h2 *h2)
{
	if (h2->told_settings || !h2->has_settings)
		return;
	h2->told_settings = true;
	if (h2->ops->settings)
		h2->ops->settings(h2);
}

static void settle(struct task *task)
{
	struct h2 *h2 = container_of(task, struct h2, settle_task);
	uint64_t bytes_max = h2->io->bytes_out + BYTES_PER_TURN;
	int round = 0;
	bool more;

	tell_settings(h2);
	do
		more = go_round(h2);
	while (more && ++round < ROUNDS_PER_TURN && h2->io->bytes_out < bytes_max);
	if (h2->is_held && !h2_is_held_up(h2)) {
		h2->is_held = false;
		loop_post(h2->thread->io->loop, &h2->read_task);
	}
	task_cancel(task); /* what it has done itself calls for no other */
	tell_changes(h2);
	if (more)
		loop_post(h2->thread->io->loop, task);
	else if (is_over(h2))
		h2->ops->over(h2);
}
