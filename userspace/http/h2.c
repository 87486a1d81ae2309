/* HTTP/2 sessions: see h2.h. Life, reading, sending, the end. */
#include "http/h2_parts.h"

#include <errno.h>
#include <stdlib.h>

enum {
	KEEP_SESSIONS = 1024,
	KEEP_STREAMS = 1024,
	KEEP_HEADS = 16,
	READ_BYTES = BUF_MEDIUM,
	READS_PER_TURN = 16,
	ROUNDS_PER_TURN = 8,  /* of filling `out` */
	DRAIN_WAIT_MS = 1000, /* for the answer to the PING behind the notice */
};

const char h2_preface[H2_PREFACE_BYTES + 1] = NGHTTP2_CLIENT_MAGIC;

int h2_thread_init(struct h2_thread *thread, struct iothread *io)
{
	struct h2_vendor *vendor = mem_zalloc(sizeof(*vendor));

	*thread = (struct h2_thread){.io = io, .vendor = vendor, .bytes = mem_alloc(READ_BYTES)};
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
static void read_on(struct task *task);
static void drain_waited(struct timer *timer);

/* What we say first. */
static int submit_settings(struct h2 *h2)
{
	const nghttp2_settings_entry entries[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS_MAX},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h2->max_header_bytes},
		{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
	};
	int r = nghttp2_submit_settings(
		h2->session, NGHTTP2_FLAG_NONE, entries, sizeof(entries) / sizeof(entries[0]));

	return r < 0 ? r
		     : nghttp2_session_set_local_window_size(
			       h2->session, NGHTTP2_FLAG_NONE, 0, H2_CONNECTION_WINDOW);
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
		.settle_task.run = settle,
		.read_task.run = read_on,
		.drain_timer.fire = drain_waited,
	};
	list_init(&h2->streams);
	list_init(&h2->touched);
	list_init(&h2->blocked);
	h2_budget_init(&h2->budget, loop_now_ms(thread->io->loop));
	if (nghttp2_session_server_new2(
		    &h2->session, thread->vendor->callbacks, h2, thread->vendor->options) < 0) {
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

uint32_t h2_streams_open(const struct h2 *h2)
{
	return h2->n_streams;
}

bool h2_is_in_head(const struct h2 *h2)
{
	return h2->head != NULL;
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

static void gone(struct h2 *h2)
{
	if (h2->fault == H2_FAULT_NONE && h2->n_streams)
		h2->fault = H2_FAULT_GONE;
	h2->is_broken = true;
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
	timer_clear(&h2->drain_timer);
	check(h2, nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
			  nghttp2_session_get_last_proc_stream_id(h2->session), NGHTTP2_NO_ERROR,
			  NULL, 0));
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
	timer_set(h2->thread->io->loop, &h2->drain_timer, DRAIN_WAIT_MS);
	h2_settle_soon(h2);
}

/* --- sending */

/* Gives the stream what is in `out`. */
static void flush(struct h2 *h2)
{
	struct stream *io = h2->io;
	struct iovec iov;
	ssize_t sent;
	int r;

	while (buf_len(&h2->out) && !h2->is_broken) {
		iov = (struct iovec){buf_head(&h2->out), buf_len(&h2->out)};
		sent = io->ops->writev(io, &iov, 1, false);
		stream_note_pace(io, sent);
		if (sent == -EAGAIN)
			return;
		if (sent < 0)
			gone(h2);
		else
			buf_consume(&h2->out, (uint32_t)sent);
	}
	r = h2->is_broken ? 0 : io->ops->flush(io);
	if (r < 0 && r != -EAGAIN)
		gone(h2);
	if (!buf_len(&h2->out))
		buf_drop(&h2->out, &h2->thread->io->bufs);
}

bool h2_make_room(struct h2 *h2, uint32_t bytes)
{
	struct buf *out = &h2->out;

	if (out->data && buf_space(out) >= bytes)
		return true;
	if (buf_len(out) && h2->io->can_write)
		flush(h2);
	if (buf_hold(out, &h2->thread->io->bufs, H2_OUT_BYTES) < 0) {
		h2_end(h2, H2_FAULT_MEMORY, NGHTTP2_INTERNAL_ERROR);
		return false;
	}
	if (buf_space(out) < bytes)
		buf_compact(out);
	return !h2->is_broken && buf_space(out) >= bytes;
}

void h2_pull(struct h2 *h2)
{
	int r;

	h2_settle_soon(h2);
	if (h2->is_broken)
		return;
	r = nghttp2_session_send(h2->session);
	if (r < 0) /* no memory, or a callback failed: nothing can be said any more */
		gone(h2);
}

/* Those that wait for room, if there is some now. */
static bool wake_blocked(struct h2 *h2)
{
	struct list *link, *after;
	struct h2_stream *stream;
	bool any = false;

	list_for_each_safe(link, after, &h2->blocked) {
		stream = container_of(link, struct h2_stream, blocked);
		if (!h2_stream_may_write(stream))
			continue;
		list_del(&stream->blocked);
		stream->body.can_write = true;
		h2_touch(h2, stream);
		any = true;
	}
	return any;
}

/* Tells the owners what is new. */
static bool dispatch(struct h2 *h2)
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

static bool is_over(const struct h2 *h2)
{
	if (h2->is_broken)
		return true;
	return !buf_len(&h2->out) && !nghttp2_session_want_write(h2->session) &&
	       (h2->is_ending || !nghttp2_session_want_read(h2->session));
}

static void tell_changes(struct h2 *h2)
{
	bool is_in_head = h2_is_in_head(h2);

	if ((h2->told_open == h2->n_streams && h2->told_in_head == is_in_head) || h2->is_ending)
		return;
	h2->told_open = h2->n_streams;
	h2->told_in_head = is_in_head;
	h2->ops->changed(h2);
}

static void settle(struct task *task)
{
	struct h2 *h2 = container_of(task, struct h2, settle_task);
	bool more;
	int round;

	for (round = 0, more = true; more && round < ROUNDS_PER_TURN; round++) {
		h2_pull(h2);
		flush(h2);
		more = wake_blocked(h2);
		more |= dispatch(h2);
	}
	if (more) {
		task_cancel(task);
		loop_post(h2->thread->io->loop, task);
		return;
	}
	task_cancel(task); /* what it has done itself calls for no other */
	tell_changes(h2);
	if (is_over(h2))
		h2->ops->over(h2);
}

/* --- reading */

/* The library does not go on. */
static void end_by_library(struct h2 *h2, int error)
{
	switch (error) {
	case NGHTTP2_ERR_FLOODED: /* answers to PING and SETTINGS that are not taken */
		h2->flood = H2_COST_ping;
		h2_end(h2, H2_FAULT_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM);
		break;
	case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
		h2->flood = H2_COST_continuation;
		h2_end(h2, H2_FAULT_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM);
		break;
	case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
		h2_end(h2, H2_FAULT_PROTOCOL, NGHTTP2_PROTOCOL_ERROR);
		break;
	default:
		h2_end(h2, H2_FAULT_MEMORY, NGHTTP2_INTERNAL_ERROR);
		break;
	}
}

static void count_frames(struct h2 *h2, const uint8_t *bytes, size_t len)
{
	enum h2_cost cost;
	size_t at = 0;

	while (h2_scan_next(&h2->scan, bytes, len, &at)) {
		cost = h2_scan_cost(&h2->scan);
		if (cost != H2_COSTS)
			h2_spend(h2, cost);
	}
}

void h2_take(struct h2 *h2, const void *bytes, size_t len)
{
	nghttp2_ssize r;

	count_frames(h2, bytes, len);
	if (h2->is_ending)
		return;
	h2->is_reading = true;
	r = nghttp2_session_mem_recv2(h2->session, bytes, len);
	h2->is_reading = false;
	if (r < 0)
		end_by_library(h2, (int)r);
	h2_settle_soon(h2);
}

/* Reads once. False: nothing is there, or nobody wants it. */
static bool read_more(struct h2 *h2)
{
	struct stream *io = h2->io;
	ssize_t got;

	if (h2->is_broken || h2->is_ending || (!io->can_read && !io->ops->has_pending(io)))
		return false;
	got = io->ops->read(io, h2->thread->bytes, READ_BYTES);
	if (got == -EAGAIN)
		return false;
	if (got <= 0) {
		gone(h2);
		return false;
	}
	h2_take(h2, h2->thread->bytes, (size_t)got);
	dispatch(h2);
	return true;
}

void h2_run(struct h2 *h2)
{
	int reads;

	for (reads = 0; reads < READS_PER_TURN; reads++)
		if (!read_more(h2))
			break;
	if (reads == READS_PER_TURN)
		loop_post(h2->thread->io->loop, &h2->read_task);
	h2_settle_soon(h2);
}

static void read_on(struct task *task)
{
	h2_run(container_of(task, struct h2, read_task));
}
