/*
 * Whom a listener lets in changes by steps: each change that turns away clients who were let in
 * before is one. A connection has the epoch in which it was let in; conn_terms.h compares. Part of
 * a listener, immutable.
 */
#ifndef SLUICE_PROXY_LISTENER_TERMS_H
#define SLUICE_PROXY_LISTENER_TERMS_H

#include <stdint.h>

struct listener_terms {
	uint64_t epoch;
	uint64_t drain_below,
		close_below; /* older connections are to drain, to close; others are kept */
	uint64_t identity_below; /* what older ones have shown is not told any more */
};

#endif
