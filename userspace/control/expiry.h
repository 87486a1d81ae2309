/*
 * Watches when the certificates of listeners expire, and tells: a line in the log, a metric, a
 * webhook; once for each of the times of alerts.expiry, also over restarts, and never of a
 * certificate that was replaced meanwhile. Control thread; the loader thread goes through the
 * certificates in pieces.
 */
#ifndef SLUICE_CONTROL_EXPIRY_H
#define SLUICE_CONTROL_EXPIRY_H

#include "core/attr.h"
#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct expiry;

struct expiry_facts {
	int64_t looked_at_unix_s; /* 0: not yet */
	uint64_t n_certificates, n_expired, n_expiring; /* of listeners, at the last look */
	uint64_t told; /* alerts in the log */
	uint64_t delivered, failed; /* alerts that the webhook took; tries that it did not */
	uint64_t cancelled; /* certificates that were replaced before the webhook took the alert */
	uint64_t dropped; /* alerts that found the queue full */
	uint32_t waiting; /* alerts for the webhook */
	const char *error; /* why the last try failed; "": it did not */
};

struct expiry *expiry_new(struct daemon *daemon);
/* The loader thread has ended. NULL is ignored. */
void expiry_free(struct expiry *expiry);
/* Another generation is in force. */
void expiry_look(struct expiry *expiry);
void expiry_facts(const struct expiry *expiry, struct expiry_facts *ret_facts);

#endif
