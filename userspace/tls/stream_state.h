/*
 * Inside of a TLS stream, shared by the files that make it: wire.c (socket bytes), bio.c (what
 * OpenSSL sees of the socket), handshake.c (up to the keys), records.c (after that) and stream.c
 * (the ops). The SSL object lives for the handshake only; then a stream is its two keys.
 */
#ifndef SLUICE_TLS_STREAM_STATE_H
#define SLUICE_TLS_STREAM_STATE_H

#include "core/attr.h"
#include "net/stream.h"
#include "tls/failure.h"
#include "tls/record.h"
#include "tls/stream.h"
#include <openssl/ssl.h>

enum {
	WIRE_IN_BYTES = BUF_LARGE, /* one recv() at most; what a stream leaves fits a BUF_LARGE */
	WIRE_HELD_MAX = 2048, /* a ticket: some 300 bytes, and the name that the client sent */
	/* A flight: the ticket, a KeyUpdate, and what one writev() takes as records. */
	WIRE_OUT_BYTES = TLS_WRITE_BYTES_MAX + 4096,
	TLS_DETAIL_BYTES = 48,
};

struct tls_stream;

struct tls_thread {
	struct iothread *io;
	struct record_ciphers ciphers;
	BIO_METHOD *bio_method;
	struct pool streams;
	uint8_t *in; /* ciphertext of `in_owner` at [in_start, in_end) */
	uint32_t in_start, in_end;
	struct tls_stream *in_owner;
	uint8_t *out; /* the flight being put together; empty between calls of ops */
	uint32_t out_len;
};

enum tls_stream_state {
	TLS_STREAM_CONNECTING, /* client side: connect() is under way */
	TLS_STREAM_HANDSHAKE,  /* `ssl` runs it */
	TLS_STREAM_DETACHED,   /* records are ours; a client may keep `ssl` for tickets */
	TLS_STREAM_ATTACHED,   /* records stay with `ssl` (max_fragment_length was agreed) */
	TLS_STREAM_FAILED,
};

struct tls_stream {
	struct stream base;
	struct tls_thread *tls;
	struct tls_server *server; /* one of the two */
	struct tls_client *client;
	SSL *ssl;
	enum tls_stream_state state;
	bool eof;           /* recv() returned 0 */
	bool hello_seen;    /* server: the ClientHello was complete and well-formed */
	bool notify_queued; /* our close_notify is sealed */
	bool fin_sent;
	bool peer_notified; /* the peer's close_notify came */
	bool update_owed;   /* the peer asked for new keys of ours (KeyUpdate) */
	uint8_t bio_type;   /* of the next record OpenSSL writes once keys are ours */
	uint8_t empty_records;
	int socket_error;           /* negative errno of the socket, while OpenSSL hides it */
	uint32_t handshake_in;      /* bytes OpenSSL read so far, or since data came; bounded */
	uint32_t message_left;      /* of a post-handshake message that is being skipped */
	uint32_t plain_left;        /* bytes at in_start that are already opened ... */
	uint32_t plain_gap;         /* ... and what follows them up to the next record */
	uint64_t name_hash, peer_hash; /* client: whose session may be resumed; 0: unknown */
	struct record_key rx, tx;   /* id 0: not agreed yet */
	struct buf in_stash;        /* ours while another stream uses the wire buffer */
	uint8_t *out_stash;         /* what the socket did not take; NULL: nothing */
	uint32_t out_stash_start, out_stash_len;
	uint8_t *held;              /* the sealed session ticket: goes with the first data */
	uint32_t held_len;
	struct timer held_timer;
	struct task free_task;
	/* Facts and failure */
	uint64_t started_us;
	uint32_t handshake_us;
	const struct cert *cert;
	const char *version, *cipher, *group, *alpn;
	char *sni; /* NULL: none */
	bool resumed;
	uint8_t failure; /* enum tls_failure */
	char detail[TLS_DETAIL_BYTES]; /* "peer_alert unknown_ca" */
};
static inline struct tls_stream *tls_stream_of(const struct stream *stream)
{
	return container_of(stream, struct tls_stream, base);
}

/* --- wire.c: bytes of the socket */
/* Makes the wire buffer ours: the bytes of its last user go to that stream's stash. 0/-ENOMEM. */
int wire_claim(struct tls_stream *ts) must_check;
/* One recv() behind what is there, for a reader of `want` bytes. Bytes, 0 at the end, -errno. */
ssize_t wire_fill(struct tls_stream *ts, size_t want) must_check;
/* Ours in the wire buffer or the stash. */
uint32_t wire_peek(const struct tls_stream *ts, const uint8_t **ret_bytes);
/* Takes `len` bytes off the front (claimed). */
void wire_consume(struct tls_stream *ts, uint32_t len);
/* Forgets everything, at close. */
void wire_release(struct tls_stream *ts);
uint32_t wire_out_room(const struct tls_thread *tls);
/* Puts the held ticket in front of an empty flight. */
void wire_out_take_held(struct tls_stream *ts);
/* Sends the flight; what is not taken goes to the stash. 0 (also if stashed), -errno. */
int wire_out_send(struct tls_stream *ts, bool more) must_check;
/* Sends the stash. 0: nothing is left; -EAGAIN; -errno. */
int wire_out_flush(struct tls_stream *ts) must_check;

/* --- bio.c */
BIO_METHOD *tls_bio_method_new(void) must_check;
struct tls_stream *tls_bio_stream(const SSL *ssl);

/* --- handshake.c */
int tls_handshake(struct stream *stream) must_check;
/* Records the first failure. Returns `code`. */
int tls_fail(struct tls_stream *ts, enum tls_failure failure, int code);
/* Frees the SSL object; a session that came of it stays good. */
void tls_ssl_free(struct tls_stream *ts);
/* As tls_fail, from OpenSSL's error queue. */
int tls_fail_ssl(struct tls_stream *ts, int ssl_result);

/* --- records.c: a detached stream */
ssize_t records_read(struct tls_stream *ts, void *bytes, size_t len) must_check;
ssize_t records_writev(
	struct tls_stream *ts, const struct iovec *iov, int n_iov, bool more) must_check;
/* Seals an alert into the flight. */
int records_alert(struct tls_stream *ts, uint8_t level, uint8_t description) must_check;
bool records_has_pending(const struct tls_stream *ts);
/* Makes the next whole record header and content at in_start, for OpenSSL. 0, -EAGAIN, -EBADMSG. */
int records_open_for_ssl(struct tls_stream *ts) must_check;

/* --- server.c, client.c */
struct ssl_ctx_st *tls_server_ctx(const struct tls_server *server);
void tls_server_hold(struct tls_server *server, uint32_t worker);
void tls_server_drop(struct tls_server *server, uint32_t worker);
/* The agreed protocol as a string that lives as long as the server or client; "" if none. */
const char *tls_server_alpn(const struct tls_server *server, const SSL *ssl);
struct ssl_ctx_st *tls_client_ctx(const struct tls_client *client);
void tls_client_hold(struct tls_client *client, uint32_t worker);
void tls_client_drop(struct tls_client *client, uint32_t worker);
const char *tls_client_alpn(const struct tls_client *client, const SSL *ssl);
/* Name and verification, before the handshake. 0 or -ENOMEM/-EINVAL. */
int tls_client_prepare(
	struct tls_client *client, struct tls_stream *ts, const char *server_name) must_check;
/* The address is known (connected): offers the last session with it. */
void tls_client_resume(struct tls_stream *ts);
/* TLS 1.2: the ticket of a resumed session may be a new one; OpenSSL tells nobody. */
void tls_client_renewed(struct tls_stream *ts);

#endif
