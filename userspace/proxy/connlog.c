/* Lines of the connection log: see connlog.h. The names of most members are those of AWS's. */
#include "proxy/connlog.h"

#include "core/line.h"
#include "core/linering.h"
#include "tls/cert.h"
#include "tls/peer.h"
#include "tls/stream.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LINE_BYTES = 16 * 1024, TEXT_BYTES_MAX = 2048 };

static void put(struct line *line, const char *format, ...) printf_like(2, 3);

/* Every member is bounded, and all together are shorter than a line. */
static void put(struct line *line, const char *format, ...)
{
	size_t room = line->size - line->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line->bytes + line->len, room, format, args);
	va_end(args);
	if (n > 0)
		line->len += (size_t)n < room ? (size_t)n : room - 1;
}

/* Empty: null. */
static void put_text(struct line *line, const char *name, struct slice text)
{
	if (!text.len) {
		put(line, ",\"%s\":null", name);
		return;
	}
	put(line, ",\"%s\":\"", name);
	line_put_json(line, text, TEXT_BYTES_MAX);
	put(line, "\"");
}

static void put_word(struct line *line, const char *name, const char *text)
{
	put_text(line, name, slice_of(text));
}

static void put_time(struct line *line)
{
	struct timespec now;
	struct tm utc;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	put(line, "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ\"", utc.tm_year + 1900,
		utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
		now.tv_nsec / 1000);
}

static void put_ends(struct line *line, const struct conn *conn)
{
	char text[ADDR_TEXT_BYTES];

	put(line, ",\"conn_trace_id\":\"TID_%016" PRIx64 "\"", conn->id);
	put_word(line, "listener", conn->listener->spec.name);
	put_word(line, "client_ip", addr_format_host(&conn->client, text));
	put(line, ",\"client_port\":%u,\"listener_port\":%u", addr_port(&conn->client),
		addr_port(&conn->local));
}

static void put_agreed(
	struct line *line, const struct conn *conn, const struct tls_stream_facts *facts)
{
	uint32_t us = facts->handshake_us;
	char name[CERT_NAME_BYTES];

	put_word(line, "tls_protocol", facts->version);
	put_word(line, "tls_cipher", facts->cipher);
	put_word(line, "tls_keyexchange", facts->group);
	if (us)
		put(line, ",\"tls_handshake_latency\":%u.%06u", us / 1000000, us % 1000000);
	else
		put(line, ",\"tls_handshake_latency\":null");
	put(line, ",\"resumed\":%s", facts->resumed ? "true" : "false");
	put_word(line, "domain_name", facts->sni);
	put_word(line, "alpn", facts->alpn);
	put_word(line, "policy", tls_server_policy(conn->listener->spec.tls)->name);
	put_word(line, "chosen_cert", facts->cert ? cert_name(facts->cert, name) : "");
	put_word(line, "ja4", conn->ja4);
}

static void put_peer(struct line *line, const struct tls_peer *peer)
{
	static const struct tls_peer none;
	const struct tls_peer *shown = peer ? peer : &none;

	put_text(line, "leaf_client_cert_subject", shown->subject);
	put_text(line, "leaf_client_cert_validity", shown->validity);
	put_text(line, "leaf_client_cert_serial_number", shown->serial);
}

static const char *verify_status(enum tls_failure failure)
{
	switch (failure) {
	case TLS_FAILURE_client_cert_too_deep:
		return "Failed:ClientCertMaxChainDepthExceeded";
	case TLS_FAILURE_client_cert_too_large:
		return "Failed:ClientCertMaxSizeExceeded";
	case TLS_FAILURE_client_cert_revoked:
		return "Failed:ClientCertCrlHit";
	case TLS_FAILURE_client_cert_untrusted:
		return "Failed:ClientCertUntrusted";
	case TLS_FAILURE_client_cert_not_yet_valid:
		return "Failed:ClientCertNotYetValid";
	case TLS_FAILURE_client_cert_expired:
		return "Failed:ClientCertExpired";
	case TLS_FAILURE_client_cert_unsupported:
		return "Failed:ClientCertTypeUnsupported";
	case TLS_FAILURE_client_cert_purpose:
		return "Failed:ClientCertPurposeInvalid";
	case TLS_FAILURE_client_cert_bad:
		return "Failed:ClientCertInvalid";
	default:
		return "Failed:UnmappedConnectionError";
	}
}

struct outcome {
	const char *status, *failure, *detail; /* empty: null */
	uint8_t alert; /* 0: none */
	bool was_alerted; /* the client sent it */
};

static void put_outcome(struct line *line, const struct outcome *outcome)
{
	put_word(line, "tls_verify_status", outcome->status);
	put_word(line, "failure", outcome->failure);
	put_word(line, "failure_detail", outcome->detail);
	if (outcome->alert)
		put(line, ",\"alert\":%u,\"alert_from\":\"%s\"", outcome->alert,
			outcome->was_alerted ? "client" : "server");
	else
		put(line, ",\"alert\":null,\"alert_from\":null");
}

static void put_line(struct linering *ring, const struct conn *conn,
	const struct tls_stream_facts *facts, const struct outcome *outcome)
{
	char bytes[LINE_BYTES];
	struct line line = {.bytes = bytes, .size = sizeof(bytes)};

	put_time(&line);
	put_ends(&line, conn);
	put_agreed(&line, conn, facts);
	put_peer(&line, facts->peer);
	put_outcome(&line, outcome);
	put(&line, "}\n");
	linering_put(ring, bytes, line.len);
}

static struct linering *ring_of(const struct conn *conn)
{
	return atomic_load_explicit(&conn->worker->connlog, memory_order_acquire);
}

void connlog_put(const struct conn *conn, const char *failed)
{
	struct linering *ring = ring_of(conn);
	struct outcome outcome = {.status = "Success", .failure = "", .detail = ""};
	struct tls_stream_facts facts;
	enum tls_failure failure;

	if (likely(!ring))
		return;
	tls_stream_facts(conn->front, &facts);
	if (failed) {
		failure = tls_stream_failure(conn->front);
		outcome.status = verify_status(failure);
		outcome.failure = failure == TLS_FAILURE_none ? failed : tls_failure_name(failure);
		outcome.detail = tls_stream_failure_detail(conn->front);
		outcome.alert = facts.alert;
		outcome.was_alerted = facts.was_alerted;
	}
	put_line(ring, conn, &facts, &outcome);
}

void connlog_put_early(const struct conn *conn, const struct connlog_early *early)
{
	const struct outcome outcome = {
		.status = verify_status(TLS_FAILURE_none),
		.failure = early->failure,
		.detail = early->detail,
		.alert = early->alert,
	};
	struct linering *ring = ring_of(conn);
	char name[CERTSTORE_NAME_MAX + 1] = "";
	struct tls_stream_facts facts = {
		.version = "", .cipher = "", .group = "", .alpn = "", .sni = name};

	if (likely(!ring))
		return;
	if (early->server_name.len && early->server_name.len < sizeof(name))
		memcpy(name, early->server_name.ptr, early->server_name.len);
	put_line(ring, conn, &facts, &outcome);
}
