/*
 * Feeds bytes to a TLS server as the first flight of a client: the ClientHello parser (tls/hello.c),
 * certificate selection and the mapping of failures. The certificate is made at the start.
 */
#include "fuzz_cert.h"
#include "tls/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct iothread io;
static struct tls_thread *tls;
static struct tls_server *server;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cert *load_cert(void)
{
	char path[] = "/tmp/sluice-fuzz-tls-XXXXXX";
	struct cert_spec spec = {.name = "fuzz", .cert_path = path};
	struct cert *cert;
	struct err err;

	make_cert(path);
	must(cert_load(&spec, &cert, &err) == 0);
	unlink(path);
	return cert;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const alpn[] = {"http/1.1"};
	struct tls_server_spec spec = {.name = "fuzz", .alpn = alpn, .n_alpn = 1, .n_workers = 1};
	struct cert *cert = load_cert();
	struct err err;

	must(certstore_new(&cert, 1, &spec.certs, &err) == 0);
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
