/*
 * One look at the certificates of listeners: which end soon, who was not told yet. Filled in by the
 * control thread, gone through by the loader thread, in pieces; one of them at a time.
 */
#ifndef SLUICE_CONTROL_EXPIRY_SCAN_H
#define SLUICE_CONTROL_EXPIRY_SCAN_H

#include "control/certs_in_use.h"
#include "control/expiry_book.h"
#include "core/list.h"

enum { EXPIRY_LEVELS_MAX = 17 };

/* For the webhook. */
struct expiry_alert {
	struct list link;
	uint8_t fingerprint[EXPIRY_FINGERPRINT_BYTES];
	uint32_t before_s;
	char *json; /* the certificate */
};

/* What became of an alert that waited. */
struct expiry_outcome {
	uint8_t fingerprint[EXPIRY_FINGERPRINT_BYTES];
	uint32_t before_s;
	bool is_delivered; /* else it was not of use any more */
};

/* One that waits. */
struct expiry_waiting {
	uint8_t fingerprint[EXPIRY_FINGERPRINT_BYTES];
	bool is_there; /* found: the certificate is still in use, and still near its end */
};

struct expiry_scan {
	/* Asked. */
	struct certs_in_use *certs;
	uint32_t levels_s[EXPIRY_LEVELS_MAX]; /* ascending, 0 (has expired) first */
	uint32_t n_levels;
	int64_t now_unix_s;
	bool has_webhook;
	uint32_t room; /* more alerts can wait */
	struct expiry_waiting *waiting; /* sorted by expiry_scan_begin() */
	uint32_t n_waiting;
	struct expiry_outcome *outcomes;
	uint32_t n_outcomes;
	/* Under way. */
	struct certs_cursor cursor;
	bool is_over;
	uint64_t took_us;
	/* Found. */
	struct list alerts;
	uint32_t n_alerts;
	uint64_t n_certificates, n_expired, n_expiring, n_told;
	uint32_t next_s; /* until the next one comes nearer than a level; UINT32_MAX: none will */
	bool is_book_changed;
};

void expiry_scan_begin(struct expiry_scan *scan, struct expiry_book *book);
/* Goes on; until is_over. What is told goes to the log. */
void expiry_scan_some(struct expiry_scan *scan, struct expiry_book *book);
/* Frees all but alerts that were taken out of the list. */
void expiry_scan_fini(struct expiry_scan *scan);
void expiry_alert_free(struct expiry_alert *alert);

#endif
