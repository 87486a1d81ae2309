/* One health check under way: connect, PROXY header, TLS, HTTP, in that order as far as asked. */
#ifndef SLUICE_PROXY_PROBE_H
#define SLUICE_PROXY_PROBE_H

#include "http/h2.h"
#include "proxy/health.h"

struct probe_call;

enum { PROBE_ANSWER_MAX = 8192 };

struct probe {
	const struct check_spec *spec; /* the checker's; lives as long as the probe */
	union addr addr;               /* with the port override */
	const char *host; /* the target's; NULL: it has none */
	struct iothread *io;
	struct tls_thread *tls;
	struct h2_thread *h2_thread;
	struct probe_call *call; /* HTTP/2: the request under way */
	struct watch dial;             /* until connected */
	struct stream *stream;         /* then */
	struct timer timer;
	bool request_sent;
	bool is_judged; /* the target asked for a certificate, and may still refuse ours */
	uint32_t waited_ms; /* for that */
	uint64_t started_us;
	uint32_t answer_len;
	char *answer; /* malloced for HTTP */
	/* Called once; the probe is stopped then. */
	void (*done)(struct probe *probe, enum backend_reason reason, const char *detail);
};

/* `probe` zeroed but for spec, addr, host, io, tls, h2_thread, done. May call `done` before it returns. */
void probe_start(struct probe *probe);
/* Ends it without a result. */
void probe_stop(struct probe *probe);

#endif
