/*
 * A stream (net/stream.h) over TLS on a TCP socket. Records made and opened here go through wire
 * buffers of the thread, one recv() per turn and one send() per flight or writev(); those of the kernel
 * through none. An idle stream owns no buffer. Made, used and closed on one thread. Never blocks.
 */
#ifndef SLUICE_TLS_STREAM_H
#define SLUICE_TLS_STREAM_H

#include "core/attr.h"
#include "net/stream.h"
#include "tls/client.h"
#include "tls/failure.h"
#include "tls/server.h"
#include <stdbool.h>
#include <stdint.h>

struct cert;
struct certcache;
struct tls_peer;
struct tls_thread;

/* What one writev() takes at most, where we make the records; it returns how much it took. */
enum { TLS_WRITE_BYTES_MAX = 512 * 1024 };

/* Wire buffers and pools of one I/O thread; outlives its streams. NULL: out of memory. */
struct tls_thread *tls_thread_new(struct iothread *thread) must_check;
void tls_thread_free(struct tls_thread *tls);
/* The certificates it has ready; how many at most is up to the caller (certcache_resize()). */
struct certcache *tls_thread_certs(const struct tls_thread *tls);
/* Its streams; any thread may read how large and how many they are. */
const struct pool *tls_thread_streams(const struct tls_thread *tls);

/*
 * Both own `fd` from then on (also on failure: it is closed), register it with the loop and keep
 * a count on the server or client. Then set stream->watch.ready and call
 * stream->ops->handshake() until it no longer says -EAGAIN. NULL: out of memory.
 */
struct stream *tls_stream_server(
	struct tls_thread *tls, struct tls_server *server, int fd) must_check;
/* `server_name`: a DNS name or an address in text; NULL: the one of the client's spec, or none.
 * `connecting`: connect() returned EINPROGRESS. */
struct stream *tls_stream_client(struct tls_thread *tls, struct tls_client *client, int fd,
	const char *server_name, bool connecting) must_check;

/* Why handshake(), read() or writev() said -EPROTO (also -ECONNRESET in a handshake). */
enum tls_failure tls_stream_failure(const struct stream *stream);
/* Details that the failure alone does not tell ("unknown CA", a reason of OpenSSL), or "". */
const char *tls_stream_failure_detail(const struct stream *stream);

struct tls_stream_facts {
	const char *version; /* "TLSv1.3"; "" before the handshake is over */
	const char *cipher;  /* "TLS_AES_128_GCM_SHA256" */
	const char *group;   /* "X25519MLKEM768"; "" if none (resumption without key exchange) */
	const char *alpn;    /* "http/1.1"; "" if none was agreed */
	const char *sni;     /* lower case; "" if none was sent */
	const struct cert *cert; /* the one we chose; NULL on the client side */
	enum ktls_place places[TLS_DIRECTIONS]; /* where the records are, and why */
	uint64_t key_updates; /* in both directions */
	bool was_cert_asked; /* client side: the peer asked for a certificate */
	const struct tls_peer *peer; /* the client's certificate, good or not; NULL: none */
	uint8_t alert; /* fatal, that ended it; 0: none */
	bool was_alerted; /* the peer sent it */
	bool resumed;
	bool ticket_refused; /* server: the client showed a ticket, and had to shake hands in full */
	uint32_t handshake_us; /* from the stream's start to the end of the handshake */
};

/* Strings live as long as the stream; also after a failure, as far as known. */
void tls_stream_facts(const struct stream *stream, struct tls_stream_facts *ret_facts);

/* OpenSSL's own name of a cipher: "ECDHE-RSA-AES128-GCM-SHA256"; "" for "". Static; any thread. */
const char *tls_cipher_short_name(const char *standard_name);

#endif
