/*
 * Handing records over to the kernel: see ktls.h. A direction goes at a record boundary, when no
 * byte of it is at hand here: its key and sequence number by setsockopt(), then the key is wiped.
 * There is no way back. What the kernel cannot do is found out by asking it, and remembered.
 */
#include "tls/ktls_kernel.h"

#include "core/clock.h"
#include "net/stream_arrival.h"
#include "tls/detached.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ASK_AGAIN_US = 60 * 1000000,
	ALERT_FATAL = 2,
	ALERT_INTERNAL_ERROR = 80,
	KERNEL_ENOTSUPP = 524, /* what net/tls returns for a version it does not know */
	/* Asked that often at least, so that many records may be too many: RECORD_KEY_OLD has more
	 * room than that. */
	RECORDS_MARGIN = 1 << 16,
};

static const char *const place_names[KTLS_PLACES] = {
#define KTLS_PLACE(id, help) #id,
#include "tls/ktls_places.def"
#undef KTLS_PLACE
};

static const char *const place_helps[KTLS_PLACES] = {
#define KTLS_PLACE(id, help) help,
#include "tls/ktls_places.def"
#undef KTLS_PLACE
};

static const char *const direction_places[TLS_DIRECTIONS][KTLS_PLACES] = {
	[TLS_RX] =
		{
#define KTLS_PLACE(id, help) "rx: " #id,
#include "tls/ktls_places.def"
#undef KTLS_PLACE
		},
	[TLS_TX] =
		{
#define KTLS_PLACE(id, help) "tx: " #id,
#include "tls/ktls_places.def"
#undef KTLS_PLACE
		},
};

const char *ktls_place_name(enum ktls_place place)
{
	return place_names[place];
}

const char *ktls_place_help(enum ktls_place place)
{
	return place_helps[place];
}

/* --- what the kernel can do */
/* A socket that is not connected is refused with ENOTCONN by a kernel that has TLS, with ENOENT by
 * another. */
bool ktls_kernel_exists(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool exists;

	if (fd < 0)
		return false;
	exists = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0 ||
		 errno == ENOTCONN;
	close(fd);
	return exists;
}

static bool kernel_has_tls(struct tls_thread *tls)
{
	if (likely(tls->ktls_exists))
		return true;
	if (tls->ktls_is_known && loop_now_us(tls->io->loop) < tls->ktls_ask_again_us)
		return false;
	tls->ktls_exists = ktls_kernel_exists();
	tls->ktls_is_known = true;
	tls->ktls_ask_again_us = clock_mono_us() + ASK_AGAIN_US;
	return tls->ktls_exists;
}

static enum ktls_place place_of_error(int error)
{
	switch (error) {
	case ENOENT: /* no such algorithm */
	case EINVAL:
		return KTLS_cipher;
	case EOPNOTSUPP:
	case KERNEL_ENOTSUPP:
		return KTLS_version;
	case ENOTCONN:
		return KTLS_closing;
	default:
		return KTLS_kernel_refused;
	}
}

/* --- handing over */
static int take_ulp(struct tls_stream *ts)
{
	if (ts->has_ulp)
		return 0;
	if (setsockopt(ts->base.watch.fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) < 0)
		return -errno;
	ts->has_ulp = true;
	return 0;
}

static uint8_t *refused_place(const struct tls_stream *ts, enum tls_direction direction)
{
	const struct record_key *key = direction == TLS_TX ? &ts->tx : &ts->rx;

	return &ts->tls->ktls_refused[key->is_tls13][key->cipher];
}

static enum ktls_place hand_over(struct tls_stream *ts, enum tls_direction direction)
{
	uint8_t *refused = refused_place(ts, direction);
	enum ktls_place place;
	int r;

	if (!kernel_has_tls(ts->tls))
		return KTLS_no_kernel_tls;
	if (*refused)
		return *refused;
	r = take_ulp(ts);
	if (r == -ENOENT)
		return KTLS_no_kernel_tls;
	if (r < 0)
		return r == -ENOTCONN ? KTLS_closing : KTLS_kernel_refused;
	r = ktls_give_key(ts, direction);
	if (r == 0)
		return KTLS_kernel;
	place = place_of_error(-r);
	if (place == KTLS_cipher || place == KTLS_version)
		*refused = (uint8_t)place;
	return place;
}

/* For a connection that must be the kernel's. */
static int fail_required(struct tls_stream *ts, enum tls_direction direction)
{
	ts->detail = direction_places[direction][ts->places[direction]];
	if (ts->state == TLS_STREAM_ATTACHED) /* the keys are OpenSSL's: no alert of ours */
		return tls_fail(ts, TLS_FAILURE_ktls_required, -EPROTO);
	return message_refuse(ts, ALERT_INTERNAL_ERROR, TLS_FAILURE_ktls_required);
}

static bool is_refused(const struct tls_stream *ts, enum tls_direction direction)
{
	return ts->places[direction] != KTLS_kernel && ts->places[direction] != KTLS_waits &&
	       ts->places[direction] != KTLS_buffered;
}

/* Every record has a byte of data, or is one of a few others: until as many bytes were sent as
 * records are left, the kernel need not be asked again. */
static void ask_later(struct tls_stream *ts)
{
	uint64_t left = RECORDS_MARGIN;

	if (ts->tx.seq + RECORDS_MARGIN < RECORD_KEY_OLD)
		left = RECORD_KEY_OLD - ts->tx.seq;
	ts->tx_ask_at = ts->tx.cipher == RECORD_CHACHA20 ? UINT64_MAX : ts->base.bytes_out + left;
}

bool ktls_may(const struct tls_stream *ts, enum tls_direction direction)
{
	switch (ts->places[direction]) {
	case KTLS_kernel:
		return true;
	case KTLS_waits:
	case KTLS_buffered:
		return kernel_has_tls(ts->tls) && !*refused_place(ts, direction);
	default:
		return false;
	}
}

int ktls_start_tx(struct tls_stream *ts)
{
	int r = wire_out_flush(ts);

	if (r == 0 && ts->held && ts->base.can_write) {
		wire_out_take_held(ts);
		r = wire_out_send(ts, true); /* leaves with the first data */
	}
	if (r < 0 && r != -EAGAIN)
		return r;
	if (r < 0 || ts->held || ts->out_stash_len) {
		ts->places[TLS_TX] = KTLS_buffered;
		return 0;
	}
	ts->tx_base = stream_tcp_bytes(&ts->base) - ts->base.bytes_out -
		      ts->tx.seq * record_overhead(&ts->tx);
	ask_later(ts);
	ts->places[TLS_TX] = (uint8_t)hand_over(ts, TLS_TX);
	if (ts->required && is_refused(ts, TLS_TX))
		return fail_required(ts, TLS_TX);
	return 0;
}

int ktls_start_rx(struct tls_stream *ts)
{
	const uint8_t *bytes;

	if (ts->plain_left || wire_peek(ts, &bytes)) {
		ts->places[TLS_RX] = KTLS_buffered;
		return 0;
	}
	if (ts->peer_notified || ts->eof) {
		ts->places[TLS_RX] = KTLS_closing;
		return 0;
	}
	ts->places[TLS_RX] = (uint8_t)hand_over(ts, TLS_RX);
	if (ts->places[TLS_RX] == KTLS_kernel)
		ts->base.can_read = true; /* what had come before is the kernel's, too */
	if (ts->required && is_refused(ts, TLS_RX))
		return fail_required(ts, TLS_RX);
	return 0;
}

/* --- what is wanted */
static void decide(
	struct tls_stream *ts, enum ktls_place rx, enum ktls_place tx, bool want_rx, bool want_tx)
{
	ts->places[TLS_RX] = (uint8_t)rx;
	ts->places[TLS_TX] = (uint8_t)tx;
	ts->wanted[TLS_RX] = want_rx;
	ts->wanted[TLS_TX] = want_tx;
}

/* Why OpenSSL keeps the records. */
static enum ktls_place attached_place(const struct tls_stream *ts)
{
	if (SSL_SESSION_get_max_fragment_length(SSL_get0_session(ts->ssl)) != 0)
		return KTLS_record_size;
	return SSL_version(ts->ssl) < TLS1_2_VERSION ? KTLS_version : KTLS_cipher;
}

/* "auto" hands a direction over when splice() asks: counted in instructions (`make bench-vm`: Linux
 * 6.12, TLS 1.3, AES-128-GCM) bytes that are copied are dearer with the kernel's records than with
 * ours. */
void ktls_decide(struct tls_stream *ts)
{
	enum tls_ktls setting =
		ts->server ? tls_server_ktls(ts->server) : tls_client_ktls(ts->client);

	if (setting == TLS_KTLS_OFF)
		decide(ts, KTLS_off, KTLS_off, false, false);
	else if (ts->state == TLS_STREAM_ATTACHED)
		decide(ts, setting == TLS_KTLS_TX ? KTLS_off : attached_place(ts),
			attached_place(ts), false, false);
	else if (!kernel_has_tls(ts->tls))
		decide(ts, setting == TLS_KTLS_TX ? KTLS_off : KTLS_no_kernel_tls,
			KTLS_no_kernel_tls, false, false);
	else if (setting == TLS_KTLS_TX)
		decide(ts, KTLS_off, KTLS_waits, false, true);
	else
		decide(ts, KTLS_waits, KTLS_waits, ts->required, ts->required);
}

void ktls_prepare(struct tls_stream *ts)
{
	enum tls_ktls setting =
		ts->server ? tls_server_ktls(ts->server) : tls_client_ktls(ts->client);

	ts->required = setting == TLS_KTLS_REQUIRE;
	if (ts->required && !ts->has_ulp && kernel_has_tls(ts->tls) && take_ulp(ts) < 0)
		ts->has_ulp = false; /* asked once more, and judged, after the handshake */
}

int ktls_require(struct tls_stream *ts)
{
	int r;

	if (!ts->required || ts->places[TLS_TX] == KTLS_kernel)
		return 0;
	if (is_refused(ts, TLS_TX))
		return fail_required(ts, TLS_TX);
	r = ktls_start_tx(ts);
	if (r < 0)
		return r;
	if (ts->places[TLS_TX] != KTLS_kernel)
		return -EAGAIN;
	/* What the peer sent along with its Finished is at hand: then read() does it. */
	return ktls_start_rx(ts);
}

/* --- new keys */
int ktls_rekey(struct tls_stream *ts, enum tls_direction direction)
{
	struct record_key *key = direction == TLS_TX ? &ts->tx : &ts->rx;
	int r;

	if (direction == TLS_TX) {
		r = ktls_ask_seq(ts);
		if (r < 0)
			return r;
		ts->tx_base += key->seq * record_overhead(key);
	}
	r = record_key_update(&ts->tls->ciphers, key);
	if (r < 0)
		return r;
	r = ktls_give_key(ts, direction);
	if (r == 0) {
		ts->tls->ktls_rekeys = 1;
		ask_later(ts);
		return 0;
	}
	if (r != -EBUSY) /* that is what kernels before 6.14 say */
		return r;
	ts->tls->ktls_rekeys = -1;
	return -EOPNOTSUPP;
}

/* Asks with a cipher that the connection does not have: EBUSY, without looking at it, by a kernel
 * that takes no second key; EINVAL by one that would. */
bool ktls_can_rekey(struct tls_stream *ts)
{
	const struct tls_crypto_info none = {TLS_1_3_VERSION, 0};

	if (!ts->tx.is_tls13 || !ts->tx.secret_len)
		return false;
	if (!ts->tls->ktls_rekeys &&
		setsockopt(ts->base.watch.fd, SOL_TLS, OPTION_TLS_TX, &none, sizeof(none)) < 0)
		ts->tls->ktls_rekeys = errno == EINVAL ? 1 : -1;
	return ts->tls->ktls_rekeys > 0;
}

int ktls_ask_seq(struct tls_stream *ts)
{
	int r = ktls_key_seq(ts, &ts->tx.seq);

	if (r == 0)
		ask_later(ts);
	return r;
}
