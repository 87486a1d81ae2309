/*
 * The addresses of host names that targets are configured by. Look-ups are made by c-ares, whose own
 * thread waits for servers: nobody else does, but resolver_prepare() for its time. An answer stays good
 * until the next one that has addresses, an address that is missing there for a while more; what a name stands for is read by whoever builds a generation,
 * on any thread. Made, given names and freed by the control thread.
 */
#ifndef SLUICE_CONTROL_RESOLVER_H
#define SLUICE_CONTROL_RESOLVER_H

#include "control/config.h"
#include "control/loader.h"
#include "core/err.h"
#include "net/addr.h"

struct resolver;

struct resolver_spec {
	struct loop *loop;     /* the control thread's */
	struct loader *loader; /* begins look-ups: c-ares reads /etc/hosts then */
	/* Control thread: names stand for other addresses than before. */
	void (*changed)(void *arg);
	void *arg;
};

int resolver_new(const struct resolver_spec *spec, struct resolver **ret_resolver,
	struct err *err) must_check;
/* Nobody waits from now on, and nothing begins. */
void resolver_stop(struct resolver *resolver);
/* The loader thread has ended. NULL is ignored. */
void resolver_free(struct resolver *resolver);

/* Loader thread, and the control thread at start: begins to look up the names of `config` that are
 * unknown, and waits for them for `wait_ms` at most. */
void resolver_prepare(struct resolver *resolver, const struct config *config, uint32_t wait_ms);
/* Control thread: names are those of `config` from now on. */
void resolver_apply(struct resolver *resolver, const struct config *config);

/* Rises whenever a name stands for other addresses. */
uint64_t resolver_version(struct resolver *resolver);

/* The addresses of a name, port 0, sorted: `max` at most, those that have been there longest. Any thread. */
uint32_t resolver_addresses(struct resolver *resolver, const char *host, enum config_family family,
	union addr *ret_addresses, uint32_t max);

struct resolver_facts {
	uint32_t n_addresses; /* all there are */
	uint32_t n_missing; /* of these: the last answer was without them */
	int64_t answered_unix_s; /* the last good answer; 0: none yet */
	uint32_t ttl_s; /* of that */
	char fault
		[ERR_TEXT_BYTES]; /* of the last look-ups; "": they were good, or there were none yet */
};

/* False: nobody asked for the name. */
bool resolver_facts(struct resolver *resolver, const char *host, enum config_family family,
	struct resolver_facts *ret_facts);

#endif
