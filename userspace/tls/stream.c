/* TLS streams: making, ops, facts. See stream.h; the parts are named in stream_state.h. */
#include "tls/attached.h"
#include "tls/detached.h"

#include "core/clock.h"
#include "net/stream_arrival.h"
#include "tls/certcache.h"
#include "tls/peer.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	KEEP_STREAMS = 4096,
	ALERT_WARNING_LEVEL = 1,
};

struct tls_thread *tls_thread_new(struct iothread *thread)
{
	struct tls_thread *tls = calloc(1, sizeof(*tls));

	if (!tls)
		return NULL;
	tls->io = thread;
	tls->in = malloc(WIRE_IN_BYTES);
	tls->out = malloc(WIRE_OUT_BYTES);
	tls->bio_method = tls_bio_method_new();
	tls->certs = certcache_new(CERTCACHE_DEFAULT);
	pool_init_secret(&tls->streams, sizeof(struct tls_stream), KEEP_STREAMS);
	if (!tls->in || !tls->out || !tls->bio_method || record_ciphers_init(&tls->ciphers) < 0) {
		tls_thread_free(tls);
		return NULL;
	}
	return tls;
}

void tls_thread_free(struct tls_thread *tls)
{
	if (!tls)
		return;
	record_ciphers_fini(&tls->ciphers);
	certcache_free(tls->certs);
	pool_fini(&tls->streams);
	BIO_meth_free(tls->bio_method);
	free(tls->in);
	free(tls->out);
	free(tls);
}

struct certcache *tls_thread_certs(const struct tls_thread *tls)
{
	return tls->certs;
}

const struct pool *tls_thread_streams(const struct tls_thread *tls)
{
	return &tls->streams;
}

/* --- ops */
static bool is_kernels(const struct tls_stream *ts, enum tls_direction direction)
{
	return ts->places[direction] == KTLS_kernel;
}

static ssize_t detached_read(struct tls_stream *ts, void *bytes, size_t len)
{
	return is_kernels(ts, TLS_RX) ? ktls_read(ts, bytes, len) : records_read(ts, bytes, len);
}

static ssize_t detached_writev(struct tls_stream *ts, const struct iovec *iov, int n_iov, bool more)
{
	int r = ktls_is_due(ts, TLS_TX) ? ktls_start_tx(ts) : 0;

	if (r < 0)
		return r;
	if (is_kernels(ts, TLS_TX))
		return ktls_writev(ts, iov, n_iov, more);
	return records_writev(ts, iov, n_iov, more);
}

static ssize_t tls_read(struct stream *stream, void *bytes, size_t len)
{
	struct tls_stream *ts = tls_stream_of(stream);

	if (stream->read_ended)
		return stream->truncated ? -ECONNRESET : 0;
	switch (ts->state) {
	case TLS_STREAM_DETACHED:
		return detached_read(ts, bytes, len);
	case TLS_STREAM_ATTACHED:
		return attached_read(ts, bytes, len);
	case TLS_STREAM_FAILED:
		return -EPROTO;
	default:
		return -ENOTCONN;
	}
}

static ssize_t tls_writev(struct stream *stream, const struct iovec *iov, int n_iov, bool more)
{
	struct tls_stream *ts = tls_stream_of(stream);

	if (ts->notify_queued)
		return -EPIPE;
	switch (ts->state) {
	case TLS_STREAM_DETACHED:
		return detached_writev(ts, iov, n_iov, more);
	case TLS_STREAM_ATTACHED:
		return attached_writev(ts, iov, n_iov, more);
	case TLS_STREAM_FAILED:
		return -EPROTO;
	default:
		return -ENOTCONN;
	}
}

static int tls_flush(struct stream *stream)
{
	return wire_out_flush(tls_stream_of(stream));
}

static int tls_is_sent(struct stream *stream)
{
	struct tls_stream *ts = tls_stream_of(stream);
	int r = wire_out_flush(ts);

	return r == 0 && is_kernels(ts, TLS_TX) ? ktls_is_sent(ts) : r;
}

static int queue_notify(struct tls_stream *ts)
{
	int r = 0;

	if (ts->state == TLS_STREAM_DETACHED) {
		r = message_alert(ts, ALERT_WARNING_LEVEL, 0);
		if (r == -EAGAIN)
			return r; /* the kernel's records: next time */
	} else if (ts->state == TLS_STREAM_ATTACHED) {
		attached_notify(ts);
	}
	ts->notify_queued = true;
	return r < 0 ? r : wire_out_send(ts, false);
}

static int tls_shutdown(struct stream *stream)
{
	struct tls_stream *ts = tls_stream_of(stream);
	int r = 0;

	if (!ts->notify_queued)
		r = queue_notify(ts);
	if (r == 0)
		r = wire_out_flush(ts);
	if (r == 0 && !ts->fin_sent)
		r = stream_await(stream, STREAM_SENT);
	if (r < 0 || ts->fin_sent)
		return r;
	ts->fin_sent = true;
	return shutdown(stream->watch.fd, SHUT_WR) < 0 ? -errno : 0;
}

static bool tls_has_pending(const struct stream *stream)
{
	const struct tls_stream *ts = tls_stream_of(stream);

	switch (ts->state) {
	case TLS_STREAM_DETACHED:
		return records_has_pending(ts);
	case TLS_STREAM_ATTACHED:
		return attached_has_pending(ts);
	case TLS_STREAM_FAILED:
		return true; /* read() has something to say */
	default:
		return false;
	}
}

static bool tls_may_splice_in(const struct stream *stream)
{
	const struct tls_stream *ts = tls_stream_of(stream);

	return ts->state == TLS_STREAM_DETACHED && !ts->peer_notified && ktls_may(ts, TLS_RX);
}

static bool tls_may_splice_out(const struct stream *stream)
{
	const struct tls_stream *ts = tls_stream_of(stream);

	return ts->state == TLS_STREAM_DETACHED && !ts->notify_queued && ktls_may(ts, TLS_TX);
}

static bool tls_opens_records(const struct stream *stream)
{
	return !is_kernels(tls_stream_of(stream), TLS_RX);
}

static bool tls_can_splice_in(struct stream *stream)
{
	struct tls_stream *ts = tls_stream_of(stream);

	if (ts->state != TLS_STREAM_DETACHED)
		return false;
	ts->wanted[TLS_RX] = true;
	if (unlikely(ktls_is_due(ts, TLS_RX)) && ktls_start_rx(ts) < 0)
		return false; /* read() says why */
	return is_kernels(ts, TLS_RX) && !ts->plain_left;
}

static bool tls_can_splice_out(struct stream *stream)
{
	struct tls_stream *ts = tls_stream_of(stream);

	if (ts->state != TLS_STREAM_DETACHED || ts->notify_queued)
		return false;
	ts->wanted[TLS_TX] = true;
	if (unlikely(ktls_is_due(ts, TLS_TX)) && ktls_start_tx(ts) < 0)
		return false; /* writev() says why */
	return is_kernels(ts, TLS_TX);
}

static ssize_t tls_splice_in(struct stream *stream, int pipe_fd, size_t max)
{
	struct tls_stream *ts = tls_stream_of(stream);

	if (stream->read_ended)
		return stream->truncated ? -ECONNRESET : 0;
	if (ts->state == TLS_STREAM_FAILED)
		return -EPROTO;
	return is_kernels(ts, TLS_RX) ? ktls_splice_in(ts, pipe_fd, max) : -EINVAL;
}

static ssize_t tls_splice_out(struct stream *stream, int pipe_fd, size_t len)
{
	struct tls_stream *ts = tls_stream_of(stream);

	if (ts->notify_queued)
		return -EPIPE;
	if (ts->state == TLS_STREAM_FAILED)
		return -EPROTO;
	return is_kernels(ts, TLS_TX) ? ktls_splice_out(ts, pipe_fd, len) : -EINVAL;
}

static void free_stream(struct task *task)
{
	struct tls_stream *ts = container_of(task, struct tls_stream, base.free_task);

	if (ts->server) {
		free(ts->sni);
		tls_peer_free(ts->peer);
	}
	pool_put(&ts->tls->streams, ts);
}

static void tls_close(struct stream *stream, bool abort)
{
	struct tls_stream *ts = tls_stream_of(stream);
	uint32_t worker = ts->tls->io->worker;

	tls_ssl_free(ts);
	wire_release(ts);
	record_key_clear(&ts->tls->ciphers, &ts->rx);
	record_key_clear(&ts->tls->ciphers, &ts->tx);
	if (ts->server)
		tls_server_drop(ts->server, worker);
	if (ts->client)
		tls_client_drop(ts->client, worker);
	stream_end(stream, abort, free_stream);
}

static const struct stream_ops tls_ops = {
	.handshake = tls_handshake,
	.read = tls_read,
	.writev = tls_writev,
	.flush = tls_flush,
	.is_sent = tls_is_sent,
	.shutdown = tls_shutdown,
	.has_pending = tls_has_pending,
	.close = tls_close,
	.may_splice_in = tls_may_splice_in,
	.may_splice_out = tls_may_splice_out,
	.opens_records = tls_opens_records,
	.can_splice_in = tls_can_splice_in,
	.can_splice_out = tls_can_splice_out,
	.splice_in = tls_splice_in,
	.splice_out = tls_splice_out,
	.is_plain = false,
};

/* --- making */
static void send_held(struct tls_stream *ts)
{
	if (!ts->held || ts->out_stash_len)
		return; /* the ticket follows with the next data */
	wire_out_take_held(ts);
	if (wire_out_send(ts, false) < 0)
		ts->base.can_read = true; /* read() meets the error of the socket */
}

static void on_timer(struct timer *timer)
{
	struct tls_stream *ts = container_of(timer, struct tls_stream, base.timer);

	send_held(ts);
	if (ts->base.await_ms)
		stream_look_again(timer);
}

static bool attach_ssl(struct tls_stream *ts, SSL_CTX *ctx)
{
	BIO *bio;

	ts->ssl = SSL_new(ctx);
	if (!ts->ssl)
		return false;
	bio = BIO_new(ts->tls->bio_method);
	if (!bio)
		return false;
	BIO_set_data(bio, ts);
	SSL_set_bio(ts->ssl, bio, bio);
	return true;
}

static struct tls_stream *new_stream(struct tls_thread *tls, int fd, SSL_CTX *ctx)
{
	struct tls_stream *ts = pool_get(&tls->streams);

	if (!ts)
		return NULL;
	*ts = (struct tls_stream){
		.base = {.ops = &tls_ops,
			.thread = tls->io,
			.watch.fd = fd,
			.timer.fire = on_timer},
		.tls = tls,
		.state = TLS_STREAM_HANDSHAKE,
		.bio_type = RECORD_DATA,
		.started_us = clock_mono_us(),
		.version = "",
		.cipher = "",
		.group = "",
		.alpn = "",
	};
	if (attach_ssl(ts, ctx))
		return ts;
	SSL_free(ts->ssl);
	pool_put(&tls->streams, ts);
	return NULL;
}

static void discard(struct tls_stream *ts)
{
	SSL_free(ts->ssl);
	pool_put(&ts->tls->streams, ts);
}

struct stream *tls_stream_server(struct tls_thread *tls, struct tls_server *server, int fd)
{
	struct tls_stream *ts = new_stream(tls, fd, tls_server_ctx(server));

	if (!ts || loop_add(tls->io->loop, &ts->base.watch) < 0) {
		if (ts)
			discard(ts);
		close(fd);
		return NULL;
	}
	ts->server = server;
	tls_server_hold(server, tls->io->worker);
	ts->base.can_read = ts->base.can_write = true;
	SSL_set_accept_state(ts->ssl);
	return &ts->base;
}

struct stream *tls_stream_client(struct tls_thread *tls, struct tls_client *client, int fd,
	const char *server_name, bool connecting)
{
	struct tls_stream *ts = new_stream(tls, fd, tls_client_ctx(client));

	if (!ts || tls_client_prepare(client, ts, server_name) < 0 ||
		loop_add(tls->io->loop, &ts->base.watch) < 0) {
		if (ts)
			discard(ts);
		close(fd);
		return NULL;
	}
	ts->client = client;
	tls_client_hold(client, tls->io->worker);
	ts->base.can_read = ts->base.can_write = !connecting;
	ts->state = connecting ? TLS_STREAM_CONNECTING : TLS_STREAM_HANDSHAKE;
	SSL_set_connect_state(ts->ssl);
	return &ts->base;
}

/* --- what is known */
enum tls_failure tls_stream_failure(const struct stream *stream)
{
	return tls_stream_of(stream)->failure;
}

const char *tls_stream_failure_detail(const struct stream *stream)
{
	const struct tls_stream *ts = tls_stream_of(stream);

	return ts->detail ? ts->detail : "";
}

void tls_stream_facts(const struct stream *stream, struct tls_stream_facts *ret_facts)
{
	const struct tls_stream *ts = tls_stream_of(stream);

	*ret_facts = (struct tls_stream_facts){
		.version = ts->version,
		.cipher = ts->cipher,
		.group = ts->group,
		.alpn = ts->alpn,
		.sni = ts->server && ts->sni ? ts->sni : "",
		.cert = ts->server ? ts->cert : NULL,
		.places = {ts->places[TLS_RX], ts->places[TLS_TX]},
		.key_updates = ts->key_updates,
		.was_cert_asked = ts->was_cert_asked,
		.peer = ts->server ? ts->peer : NULL,
		.alert = ts->alert,
		.was_alerted = ts->was_alerted,
		.resumed = ts->resumed,
		.ticket_refused = ts->ticket_shown && !ts->resumed,
		.handshake_us = ts->handshake_us,
	};
}

const char *tls_cipher_short_name(const char *standard_name)
{
	return *standard_name ? OPENSSL_cipher_name(standard_name) : "";
}
