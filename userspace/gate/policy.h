/*
 * What a listener lets in, immutable and counted: part of a snapshot, made by control/build, read by
 * the gate (before there is a socket) and by proxy/frontend (after accept) alike.
 */
#ifndef SLUICE_GATE_POLICY_H
#define SLUICE_GATE_POLICY_H

#include "core/attr.h"
#include "core/err.h"
#include "core/shared.h"
#include "core/slice.h"
#include "gate/limits.h"
#include "gate/names.h"
#include "gate/reasons.h"
#include "net/addr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_server;
struct gate_ja4_list;

enum gate_proxy_in { GATE_PROXY_OFF, GATE_PROXY_ACCEPT, GATE_PROXY_REQUIRE };

struct gate_policy_spec {
	const char *name;      /* the listener's */
	uint32_t listener_id;
	/* Which names are known: of the TLS server's certificates, or, for a listener that does not
	 * decrypt, of its rules. One of the two. */
	struct tls_server *tls; /* a count is taken */
	const struct gate_name *names;
	size_t n_names;
	bool refuse_unknown_name, refuse_missing_name;
	bool refuse_by_alert; /* where the reason has an alert; else always RST */
	enum gate_proxy_in proxy_in;
	/* Code points of TLS; 0 and 0: not looked at (a listener that does not decrypt). */
	uint16_t version_min, version_max;
	const char *const
		*alpn; /* refuse clients that offer only others; n_alpn 0: not looked at */
	size_t n_alpn;
	const char *const *ja4_deny; /* whole fingerprints, or beginnings that end in '*' */
	size_t n_ja4_deny;
	const char *const *ja4_allow; /* not empty: no others */
	size_t n_ja4_allow;
	struct gate_limit per_source, per_prefix, per_listener, per_name, per_ja4; /* handshakes */
	bool dry_run; /* limits only count */
};

struct gate_policy {
	struct shared shared;
	struct gate_policy_spec spec; /* own copies */
	struct gate_names *names; /* NULL: spec.tls knows */
	struct gate_ja4_list *ja4_deny, *ja4_allow; /* NULL: none */
};

int gate_policy_new(const struct gate_policy_spec *spec, uint32_t n_workers,
	struct gate_policy **ret_policy, struct err *err) must_check;

/* Counters of one worker, all listeners: written by that worker, read relaxed by the control thread. */
struct gate_counts {
	uint64_t reasons[GATE_REASONS];
	uint64_t would_refuse[GATE_REASONS]; /* limits.dry_run: by the limit that was exceeded */
	uint64_t frames, flights_open;
};

#endif
