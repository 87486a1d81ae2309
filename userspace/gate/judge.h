/*
 * The verdict on a first flight: the same code for the gate (no socket yet) and for connections that
 * are judged after accept. Pure but for the token buckets it charges; any worker; allocates nothing.
 */
#ifndef SLUICE_GATE_JUDGE_H
#define SLUICE_GATE_JUDGE_H

#include "core/attr.h"
#include "gate/policy.h"
#include "tls/clienthello.h"
#include "tls/ja4.h"

struct gate_judgement {
	enum gate_reason reason; /* GATE_released: let it in */
	enum gate_reason would_be; /* dry run: the limit that was exceeded; else GATE_released */
	union addr client; /* of the PROXY header, else as given */
	union addr local; /* of the PROXY header; AF_UNSPEC: there is none, or it names nobody */
	size_t proxy_bytes; /* length of the PROXY header in front of the hello */
	bool has_hello; /* the members below are filled in */
	struct clienthello hello; /* borrows from `bytes` or `scratch` */
	enum clienthello_fault fault; /* with GATE_hello_malformed and GATE_not_tls; else OK */
	char ja4[JA4_BYTES]; /* "" without a hello */
};

/*
 * `bytes`: the connection's stream from its first byte. -EAGAIN: sound so far, but not complete.
 * 0: `ret` is final. `limits` NULL: nothing is charged (the gate has done it). `scratch`: CLIENTHELLO_SCRATCH_BYTES, the caller's (one per worker).
 */
int gate_judge(const struct gate_policy *policy, struct gate_limits *limits,
	const union addr *client, const void *bytes, size_t len, void *scratch, uint64_t now_us,
	struct gate_judgement *ret) must_check;

/* After -EAGAIN, for those same bytes: with fewer than this many the answer stays the same, so that a
 * stream that comes byte by byte need not be parsed at every byte. */
size_t gate_judge_needs(const struct gate_judgement *judgement, const void *bytes, size_t len);

/* The TLS record of an alert (7 bytes) for the reason, or 0 when it gets a RST. */
enum { GATE_ALERT_BYTES = 7 };
size_t gate_alert(const struct gate_policy *policy, const struct gate_judgement *judgement,
	uint8_t ret_record[static GATE_ALERT_BYTES]);

#endif
