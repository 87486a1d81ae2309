/*
 * Feeds bytes to a TLS server as the first flight of a client: the ClientHello parser (tls/hello.c),
 * certificate selection and the mapping of failures. The certificate is made at the start.
 */
#include "tls/stream.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct iothread io;
static struct tls_thread *tls;
static struct tls_server *server;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_so)
{
	if (!is_so)
		abort();
}

static struct cert *make_cert(void)
{
	char path[] = "/tmp/sluice-fuzz-tls-XXXXXX";
	FILE *out = fdopen(mkstemp(path), "w");
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x509 = X509_new();
	struct cert_spec spec = {"fuzz", path, NULL, NULL};
	struct cert *cert;
	struct err err;

	must(out && key && x509);
	X509_gmtime_adj(X509_getm_notBefore(x509), 0);
	X509_gmtime_adj(X509_getm_notAfter(x509), 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
		(const uint8_t *)"www.test", -1, -1, 0);
	X509_set_issuer_name(x509, X509_get_subject_name(x509));
	X509_set_pubkey(x509, key);
	must(X509_sign(x509, key, EVP_sha256()) > 0);
	must(PEM_write_X509(out, x509) &&
		PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL));
	fclose(out);
	must(cert_load(&spec, &cert, &err) == 0);
	unlink(path);
	X509_free(x509);
	EVP_PKEY_free(key);
	return cert;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const alpn[] = {"http/1.1"};
	struct tls_server_spec spec = {
		.name = "fuzz", .n_certs = 1, .alpn = alpn, .n_alpn = 1, .n_workers = 1};
	struct cert *cert = make_cert();
	struct err err;

	spec.certs = &cert;
	spec.tickets = tls_tickets_new();
	must(tls_server_new(&spec, &server, &err) == 0);
	must(iothread_init(&io, 0) == 0);
	tls = tls_thread_new(&io);
	must(tls != NULL);
	return 0;
}

static void stop(struct task *task)
{
	loop_stop(io.loop);
}

static void no_events(struct watch *watch, uint32_t events)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct task task = {.run = stop};
	struct stream *stream;
	int fds[2], r;

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	stream = tls_stream_server(tls, server, fds[0]);
	must(stream != NULL);
	stream->watch.ready = no_events;
	must(send(fds[1], data, size, 0) >= 0 || size == 0);
	r = stream->ops->handshake(stream);
	must(r == -EAGAIN || r == -EPROTO || r == -ECONNRESET);
	must((r == -EAGAIN) == (tls_stream_failure(stream) == TLS_FAILURE_none));
	stream->ops->close(stream, false);
	close(fds[1]);
	loop_post(io.loop, &task);
	loop_run(io.loop);
	return 0;
}
