/*
 * Inside of a TLS stream, shared by the files that make it: wire.c (socket bytes), bio.c (what
 * OpenSSL sees of the socket), handshake.c (up to the keys), stream.c (the ops). Then each direction's
 * records are made and opened by records.c, or by the kernel (ktls.c, ktls_io.c); messages.c has those
 * that are not data. The SSL object lives up to the end of the handshake, a client's with TLS 1.3 up to
 * its first data (tickets); what is left of a stream is its two keys. Only where the records stay with
 * OpenSSL (attached.c) it lives as long as the stream.
 */
#ifndef SLUICE_TLS_STREAM_STATE_H
#define SLUICE_TLS_STREAM_STATE_H

#include "core/attr.h"
#include "net/stream.h"
#include "tls/failure.h"
#include "tls/ktls.h"
#include "tls/record.h"
#include "tls/stream.h"
#include "tls/stream_ends.h"
#include "tls/wire.h"
#include <openssl/ssl.h>

enum {
	WIRE_IN_BYTES = BUF_LARGE, /* one recv() at most; what a stream leaves fits a BUF_LARGE */
	/* A ticket: some 300 bytes, the name that the client sent, and its certificate if it showed one
	 * (client_auth.c has a limit for that). */
	WIRE_HELD_MAX = 6 * 1024,
	/* A flight: the ticket, a KeyUpdate, and what one writev() takes as records. */
	WIRE_OUT_BYTES = TLS_WRITE_BYTES_MAX + WIRE_HELD_MAX + 2048,
};

struct tls_stream;

struct tls_thread {
	struct iothread *io;
	struct record_ciphers ciphers;
	struct certcache *certs;
	BIO_METHOD *bio_method;
	struct pool streams;
	uint8_t *in; /* ciphertext of `in_owner` at [in_start, in_end) */
	uint32_t in_start, in_end;
	struct tls_stream *in_owner;
	uint8_t *out; /* the flight being put together; empty between calls of ops */
	uint32_t out_len;
	bool ktls_is_known, ktls_exists; /* what the kernel said ... */
	uint64_t ktls_ask_again_us; /* ... a no for a while only: a module may be loaded */
	uint8_t ktls_refused[2][RECORD_CIPHERS]; /* by TLS 1.2 and 1.3: enum ktls_place; 0: no */
	int8_t ktls_rekeys; /* the kernel takes new keys: 1, does not: -1, not known: 0 */
};

enum tls_stream_state {
	TLS_STREAM_CONNECTING, /* client side: connect() is under way */
	TLS_STREAM_HANDSHAKE, /* `ssl` runs it */
	TLS_STREAM_DETACHED, /* the keys are here: see `places`; a client may keep `ssl` for tickets */
	TLS_STREAM_ATTACHED, /* records stay with `ssl`: max_fragment_length, no AEAD, or CCM */
	TLS_STREAM_FAILED,
};

struct tls_stream {
	struct stream base;
	struct tls_thread *tls;
	struct tls_server *server; /* one of the two */
	struct tls_client *client;
	SSL *ssl;
	enum tls_stream_state state;
	bool eof; /* recv() returned 0 */
	bool hello_seen; /* server: the ClientHello was complete and well-formed */
	bool notify_queued; /* our close_notify is sealed */
	bool fin_sent;
	bool peer_notified; /* the peer's close_notify came */
	bool update_owed; /* the peer asked for new keys of ours (KeyUpdate) */
	uint8_t bio_type; /* of the next record OpenSSL writes once keys are ours */
	uint8_t empty_records;
	uint8_t places[TLS_DIRECTIONS]; /* enum ktls_place */
	bool wanted[TLS_DIRECTIONS]; /* the kernel gets it as soon as it can */
	bool required; /* ktls: require */
	bool has_ulp; /* TCP_ULP is set */
	bool was_cert_asked; /* client: the peer asked for a certificate */
	int socket_error; /* negative errno of the socket, while OpenSSL hides it */
	uint32_t handshake_in; /* bytes OpenSSL read so far, or since data came; bounded */
	uint32_t message_left; /* of a post-handshake message that is being skipped */
	uint32_t plain_left; /* bytes at in_start that are already opened ... */
	uint32_t plain_gap; /* ... and what follows them up to the next record */
	union {
		struct { /* server */
			struct cert *cert;
			char *sni; /* NULL: none */
			struct tls_peer *peer; /* NULL: the client has shown no certificate */
		};
		struct { /* client: whose session may be resumed; 0: unknown */
			uint64_t name_hash, peer_hash;
			int64_t session_until_s; /* of the one it resumes */
		};
	};
	struct record_key rx, tx; /* id 0: not agreed yet */
	uint32_t key_updates;
	/* Of a direction TX in the kernel: bytes_out at which it is asked for its sequence number, and
	 * what TCP has taken of the connection, without the data and the records' overhead. */
	uint64_t tx_ask_at, tx_base;
	uint8_t *in_stash; /* ours while another stream uses the wire buffer; NULL: nothing */
	uint8_t *out_stash; /* what the socket did not take; NULL: nothing */
	uint8_t *held; /* the sealed session ticket: goes with the first data, or by base.timer */
	uint32_t in_stash_len, out_stash_start, out_stash_len, held_len;
	/* Facts and failure */
	uint64_t started_us;
	uint32_t handshake_us;
	bool resumed;
	bool ticket_shown; /* server: the client wanted to resume */
	uint8_t failure; /* enum tls_failure */
	bool was_alerted; /* the peer sent `alert`; else we did */
	uint8_t alert; /* the last fatal one; 0: none */
	const char *version, *cipher, *group, *alpn;
	const char *detail; /* a text that stays: "unknown CA"; NULL: none */
};
static inline struct tls_stream *tls_stream_of(const struct stream *stream)
{
	return container_of(stream, struct tls_stream, base);
}

/* --- bio.c */
BIO_METHOD *tls_bio_method_new(void) must_check;
struct tls_stream *tls_bio_stream(const SSL *ssl);

/* --- handshake.c */
int tls_handshake(struct stream *stream) must_check;
int tls_fail(struct tls_stream *ts, enum tls_failure failure, int code); /* returns `code` */
/* Frees the SSL object; a session that came of it stays good. */
void tls_ssl_free(struct tls_stream *ts);
/* OpenSSL's info callback of a server: keeps the alert that ended a handshake. */
void tls_note_alert(const SSL *ssl, int where, int value);
/* As tls_fail, from OpenSSL's error queue. */
int tls_fail_ssl(struct tls_stream *ts, int ssl_result);
/* What a fatal alert of the peer means. */
enum tls_failure tls_alert_failure(const struct tls_stream *ts, uint8_t alert);

#endif
