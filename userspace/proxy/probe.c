/* One health check: see probe.h. Control thread. */
#include "proxy/probe_call.h"
#include "http/h1_head.h"
#include "http/h1_write.h"
#include "net/proxyproto.h"
#include "net/socket.h"
#include "tls/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	REQUEST_BYTES_MAX = 2048,
	/* In TLS 1.3 a target judges our certificate when we think the handshake is over: a check that
	 * says nothing else waits for that so long. */
	JUDGEMENT_MS = 100,
};

void probe_stop(struct probe *probe)
{
	timer_clear(&probe->timer);
	if (probe->dial.fd >= 0)
		loop_close(probe->io->loop, &probe->dial);
	probe_call_free(probe->call);
	probe->call = NULL;
	if (probe->stream) {
		if (!probe->stream->ops->is_plain)
			probe->stream->ops->shutdown(probe->stream); /* close_notify */
		probe->stream->ops->close(probe->stream, false);
	}
	probe->stream = NULL;
	free(probe->answer);
	probe->answer = NULL;
}

void probe_end(struct probe *probe, enum backend_reason reason, const char *detail)
{
	char copy[CHECK_DETAIL_BYTES];

	snprintf(copy, sizeof(copy), "%s", detail); /* may be the stream's */
	probe_stop(probe);
	probe->done(probe, reason, copy);
}

static void end_with_errno(struct probe *probe, int error)
{
	enum backend_reason reason = WHY_INTERNAL_ERROR;

	if (error == ECONNREFUSED)
		reason = WHY_CONNECTION_REFUSED;
	else if (error == ECONNRESET || error == EPIPE)
		reason = WHY_CONNECTION_RESET;
	else if (error == ETIMEDOUT)
		reason = WHY_TARGET_TIMEOUT;
	else if (error == EHOSTUNREACH || error == ENETUNREACH)
		reason = WHY_HOST_UNREACHABLE;
	probe_end(probe, reason, strerror(error));
}

static void end_with_tls_failure(struct probe *probe)
{
	const char *more = tls_stream_failure_detail(probe->stream);
	char detail[CHECK_DETAIL_BYTES];

	snprintf(detail, sizeof(detail), "%s%s%s",
		tls_failure_name(tls_stream_failure(probe->stream)), *more ? ": " : "", more);
	probe_end(probe, WHY_TLS_FAILED, detail);
}

static bool is_http(const struct probe *probe)
{
	return probe->spec->protocol == CHECK_HTTP || probe->spec->protocol == CHECK_HTTPS;
}

const char *probe_host(const struct probe *probe, char text[static PROBE_HOST_BYTES])
{
	if (probe->spec->host)
		return probe->spec->host;
	if (!probe->host)
		return addr_format(&probe->addr, text);
	snprintf(text, PROBE_HOST_BYTES, "%s:%u", probe->host, addr_port(&probe->addr));
	return text;
}

static int send_request(struct probe *probe)
{
	char text[REQUEST_BYTES_MAX], host[PROBE_HOST_BYTES];
	struct iovec iov = {.iov_base = text};
	int len = snprintf(text, sizeof(text),
		"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: sluice-health\r\nConnection: close\r\n\r\n",
		probe->spec->path, probe_host(probe, host));
	ssize_t sent;

	if (len >= (int)sizeof(text))
		return -ENOBUFS;
	iov.iov_len = (size_t)len;
	sent = probe->stream->ops->writev(probe->stream, &iov, 1, false);
	if (sent < 0)
		return (int)sent;
	probe->request_sent = true;
	return sent == len ? 0 : -EIO;
}

bool probe_is_good(const struct probe *probe, unsigned int code)
{
	const struct check_spec *spec = probe->spec;
	uint32_t i;

	for (i = 0; i < spec->n_ranges; i++)
		if (code >= spec->ranges[i].first && code <= spec->ranges[i].last)
			return true;
	return false;
}

static void judge_status(struct probe *probe, unsigned int status)
{
	char detail[CHECK_DETAIL_BYTES];

	snprintf(detail, sizeof(detail), "status %u", status);
	probe_end(probe, probe_is_good(probe, status) ? WHY_NONE : WHY_RESPONSE_CODE_MISMATCH,
		detail);
}

/* True when there is a verdict. */
static bool judge_answer(struct probe *probe)
{
	struct h1_limits limits = H1_LIMITS_DEFAULT;
	struct http_header items[H1_HEADERS_DEFAULT];
	struct h1_expected expected = {0};
	struct http_response response;
	enum h1_error error;
	struct h1_head head;
	uint32_t skipped = 0; /* interim responses */
	int r;

	do {
		h1_head_init(&head);
		http_headers_lend(&response.headers, items, array_len(items));
		r = h1_head_response(&head, &limits, &expected, probe->answer + skipped,
			probe->answer_len - skipped, &response, &error);
		if (r > 0)
			skipped += (uint32_t)r;
	} while (r > 0 && http_response_is_interim(&response));
	if (r == -EAGAIN && probe->answer_len < PROBE_ANSWER_MAX)
		return false;
	if (r < 0)
		probe_end(probe, WHY_INVALID_RESPONSE,
			r == -EAGAIN ? "response head too long" : h1_error_row(error)->help);
	else
		judge_status(probe, response.status);
	return true;
}

static void read_answer(struct probe *probe)
{
	struct stream *stream = probe->stream;
	ssize_t got;

	while (stream->can_read || stream->ops->has_pending(stream)) {
		got = stream->ops->read(stream, probe->answer + probe->answer_len,
			PROBE_ANSWER_MAX - probe->answer_len);
		if (got == -EAGAIN)
			return;
		if (got == 0) {
			probe_end(probe, WHY_CONNECTION_RESET, "closed without an answer");
			return;
		}
		if (got == -EPROTO) {
			end_with_tls_failure(probe);
			return;
		}
		if (got < 0) {
			end_with_errno(probe, (int)-got);
			return;
		}
		probe->answer_len += (uint32_t)got;
		if (judge_answer(probe))
			return;
	}
}

static void not_refused(struct timer *timer)
{
	struct probe *probe = container_of(timer, struct probe, timer);

	probe->started_us += UINT64_C(1000) * probe->waited_ms; /* not the target's time */
	probe_end(probe, WHY_NONE, "TLS handshake done");
}

static void wait_for_judgement(struct probe *probe)
{
	struct stream *stream = probe->stream;
	struct tls_stream_facts facts;
	ssize_t got = -EAGAIN;
	char byte;

	tls_stream_facts(stream, &facts);
	if (!facts.was_cert_asked) {
		probe_end(probe, WHY_NONE, "TLS handshake done");
		return;
	}
	if (!probe->is_judged) {
		probe->is_judged = true;
		probe->waited_ms = JUDGEMENT_MS < probe->spec->timeout_ms / 2
					   ? JUDGEMENT_MS
					   : probe->spec->timeout_ms / 2;
		probe->timer.fire = not_refused;
		timer_set(probe->io->loop, &probe->timer, probe->waited_ms);
	}
	if (stream->can_read || stream->ops->has_pending(stream))
		got = stream->ops->read(stream, &byte, 1);
	if (got == -EPROTO)
		end_with_tls_failure(probe);
	else if (got == 0 || got == -ECONNRESET)
		probe_end(probe, WHY_CONNECTION_RESET,
			"closed after it had asked for a client certificate");
	else if (got != -EAGAIN)
		probe_end(probe, WHY_NONE, "TLS handshake done");
}

static void proceed(struct probe *probe)
{
	struct stream *stream = probe->stream;
	int r = probe->call ? 0 : stream->ops->handshake(stream);

	if (r == -EAGAIN)
		return;
	if (r < 0) {
		end_with_tls_failure(probe);
		return;
	}
	if (probe->spec->is_h2) {
		probe_call_proceed(probe);
		return;
	}
	if (!is_http(probe)) {
		wait_for_judgement(probe);
		return;
	}
	r = probe->request_sent ? 0 : send_request(probe);
	if (r < 0)
		end_with_errno(probe, -r);
	else
		read_answer(probe);
}

static void stream_ready(struct watch *watch, uint32_t events)
{
	struct stream *stream = stream_of_watch(watch);

	stream_note_events(stream, events);
	proceed(stream->owner);
}

static int send_proxy_header(struct probe *probe, int fd)
{
	struct proxyproto header = {.is_local = true};
	uint8_t bytes[PROXYPROTO_V1_BYTES_MAX];
	int len;

	if (probe->spec->proxy_out == PROXY_OUT_OFF)
		return 0;
	len = probe->spec->proxy_out == PROXY_OUT_V1
		      ? proxyproto_build_v1(&header, bytes, sizeof(bytes))
		      : proxyproto_build_v2(&header, NULL, bytes, sizeof(bytes));
	if (len < 0)
		return len;
	return send(fd, bytes, (size_t)len, MSG_NOSIGNAL) == len ? 0 : -EPIPE;
}

static void start_stream(struct probe *probe, int fd)
{
	const struct check_spec *spec = probe->spec;
	char name[ADDR_TEXT_BYTES];

	if (spec->protocol == CHECK_TLS || spec->protocol == CHECK_HTTPS ||
		spec->protocol == CHECK_GRPCS)
		probe->stream = tls_stream_client(probe->tls, spec->tls, fd,
			spec->tls_name ? spec->tls_name
			: probe->host  ? probe->host
				       : addr_format_host(&probe->addr, name),
			false);
	else
		probe->stream = plain_stream_new(probe->io, fd, false);
	if (is_http(probe) && !spec->is_h2)
		probe->answer = malloc(PROBE_ANSWER_MAX);
	if (!probe->stream || (is_http(probe) && !spec->is_h2 && !probe->answer)) {
		probe_end(probe, WHY_INTERNAL_ERROR, "out of memory");
		return;
	}
	probe->stream->owner = probe;
	probe->stream->watch.ready = stream_ready;
	proceed(probe);
}

static void dial_ready(struct watch *watch, uint32_t events)
{
	struct probe *probe = container_of(watch, struct probe, dial);
	int fd = watch->fd, error = 0, r;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error) {
		end_with_errno(probe, error);
		return;
	}
	r = send_proxy_header(probe, fd);
	if (r < 0) {
		end_with_errno(probe, -r);
		return;
	}
	if (probe->spec->protocol == CHECK_TCP) {
		probe_end(probe, WHY_NONE, "connected");
		return;
	}
	loop_del(probe->io->loop, watch);
	watch->fd = -1;
	start_stream(probe, fd);
}

static void timed_out(struct timer *timer)
{
	struct probe *probe = container_of(timer, struct probe, timer);

	if (probe_call_was_judged(probe))
		return;
	probe_end(probe, WHY_TARGET_TIMEOUT,
		probe->request_sent ? "no answer in time"
		: probe->stream     ? "no TLS handshake in time"
				    : "no connection in time");
}

void probe_start(struct probe *probe)
{
	int fd = socket_connect(&probe->addr), r;

	probe->started_us = loop_now_us(probe->io->loop);
	probe->timer.fire = timed_out;
	probe->dial.fd = fd;
	probe->dial.ready = dial_ready;
	if (fd < 0) {
		end_with_errno(probe, -fd);
		return;
	}
	r = loop_add(probe->io->loop, &probe->dial);
	if (r < 0)
		end_with_errno(probe, -r);
	else
		timer_set(probe->io->loop, &probe->timer, probe->spec->timeout_ms);
}
