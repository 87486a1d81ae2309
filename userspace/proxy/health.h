/*
 * Active health checks: one checker per target, on the control thread. Results go to the target
 * (workers read target->health) and, by callback, to whoever shows them (maps, log). State
 * survives reloads: a checker is found again by its target.
 */
#ifndef SLUICE_PROXY_HEALTH_H
#define SLUICE_PROXY_HEALTH_H

#include "net/stream.h"
#include "proxy/group.h"
#include <sluice/backend.h>

struct tls_client;
struct tls_thread;

/* The order of the words in settings.def. */
enum check_protocol {
	CHECK_OFF,
	CHECK_TCP,
	CHECK_TLS,
	CHECK_HTTP,
	CHECK_HTTPS,
	CHECK_GRPC,
	CHECK_GRPCS,
};

struct status_range {
	uint16_t first, last;
};

enum { CHECK_RANGES_MAX = 16, CHECK_DETAIL_BYTES = 120 };

/* How the targets of one group are checked; immutable, shared by its checkers. */
struct check_spec {
	struct shared shared;
	enum check_protocol protocol;
	uint16_t port;       /* 0: the target's own */
	bool is_h2;          /* HTTP/2; gRPC always is */
	char *service;       /* gRPC: what is asked about; NULL: the whole server */
	char *path, *host;   /* HTTP, gRPC; host NULL: the target's host or address, and port */
	char *tls_name;      /* NULL: the target's host or address */
	struct tls_client *tls; /* TLS, HTTPS, GRPCS; counted */
	enum proxy_out proxy_out; /* the targets expect a PROXY header: we send one for ourselves */
	struct status_range ranges[CHECK_RANGES_MAX]; /* of gRPC: its codes */
	uint32_t n_ranges;
	uint32_t interval_ms, timeout_ms, jitter_percent;
	uint32_t rise, fall;
};

/* Takes over the strings and the count on `tls`; one count, the caller's. */
struct check_spec *check_spec_new(const struct check_spec *contents);

/* What is known about a target. */
struct health_state {
	enum backend_state state;
	enum backend_reason reason;
	uint32_t successes, failures; /* consecutive */
	uint32_t latency_us; /* of the last check that succeeded */
	int64_t changed_unix_s;
	int64_t checked_unix_s; /* end of the last check; 0: none yet */
	uint64_t checks, checks_failed;
	uint32_t failed_bits; /* of the last 32 checks, the newest lowest: 1: it failed */
	char detail[CHECK_DETAIL_BYTES]; /* of the last check: "status 503", "connection refused" */
};

/* Called after every check; `changed`: the state is another than before. */
typedef void health_notify(
	void *arg, const struct target *target, const struct health_state *state, bool changed);

struct health;

struct health *health_new(
	struct iothread *io, struct tls_thread *tls, health_notify *notify, void *arg);
void health_free(struct health *health);

/* What another process knew of a target, for checkers that are made from now on; NULL: nothing. */
void health_set_known(struct health *health,
	const struct health_state *(*known)(void *arg, const struct target *target), void *arg);

struct health_target {
	struct target *target;
	struct check_spec *spec;
};

/* Makes the checkers exactly these: new ones start at once, missing ones end. */
void health_set(struct health *health, const struct health_target *targets, uint32_t n);
/* NULL: not checked by this. */
const struct health_state *health_get(const struct target *target);

#endif
