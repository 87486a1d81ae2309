/*
 * Asking for the addresses of host names, by c-ares: /etc/hosts, then DNS. Asked by one thread at a time;
 * answers come on a thread of c-ares, or on the one that asks or frees.
 */
#ifndef SLUICE_CONTROL_DNS_CHANNEL_H
#define SLUICE_CONTROL_DNS_CHANNEL_H

#include "control/config.h"
#include "core/err.h"
#include "net/addr.h"

struct dns_channel;

/* How servers are asked. */
struct dns_terms {
	char *servers; /* "192.0.2.1:53,[2001:db8::1]:53"; NULL: the system's */
	uint32_t timeout_ms;
};

/* The caller's to dns_terms_fini(). */
struct dns_terms dns_terms_of(const struct config_dns *dns);
struct dns_terms dns_terms_copy(const struct dns_terms *terms);
bool dns_terms_eq(const struct dns_terms *a, const struct dns_terms *b);
void dns_terms_fini(struct dns_terms *terms);

/* Of one family. */
struct dns_answer {
	const char *fault; /* NULL: there are addresses */
	bool says_none; /* the fault is not a server's: the name has no such addresses */
	union addr *addresses; /* port 0, any order; may be changed until done() returns */
	uint32_t n;
	uint32_t ttl_s; /* the shortest there is; 0: none */
};

int dns_channel_new(const struct dns_terms *terms, struct dns_channel **ret_channel,
	struct err *err) must_check;
/* What is under way ends without an answer. NULL is ignored. */
void dns_channel_free(struct dns_channel *channel);

/* `done` is called once, maybe from here. `answer` NULL: the channel ended meanwhile. */
typedef void dns_done(void *arg, const struct dns_answer *answer);
/* One family, AF_INET or AF_INET6: of both together it is not told when half of them failed. */
void dns_channel_ask(
	struct dns_channel *channel, const char *host, int family, dns_done *done, void *arg);

#endif
