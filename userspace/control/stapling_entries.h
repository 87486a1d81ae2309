/*
 * The certificates that are to have an OCSP response, and what is known of each. Gone through and
 * changed by the loader thread while a job of stapling.c runs; else by nobody.
 */
#ifndef SLUICE_CONTROL_STAPLING_ENTRIES_H
#define SLUICE_CONTROL_STAPLING_ENTRIES_H

#include "control/certs_in_use.h"
#include "control/stapling.h"
#include "tls/cert.h"
#include "tls/ocsp.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	STAPLING_ERROR_BYTES = 200,
	STAPLING_RESPONDERS = 1024, /* some may share a number, and what holds for it */
};

/* Those of one scheme and host. */
struct stapling_responder {
	uint32_t n_asked; /* now */
	uint32_t failures; /* in a row */
	int64_t rests_until_unix_s; /* it was silent: none of its certificates is asked for */
};

struct stapling_entry {
	uint8_t fingerprint[CERT_FINGERPRINT_BYTES];
	struct cert **certs; /* all that are this certificate; counted */
	uint32_t n_certs;
	char *file; /* NULL: none */
	uint64_t file_identity; /* as it was read; 0: it could not be, and is tried again */
	bool fetches;
	uint32_t responder; /* its number; 0: not looked for yet, or there is none */
	bool is_asked; /* the responder is being asked */
	bool is_revoked; /* as of said_unix_s */
	bool is_told; /* `error` is in the log */
	uint32_t failures; /* in a row */
	int64_t said_unix_s; /* when its CA last said something of it; what is older is not believed */
	int64_t due_unix_s; /* when something is to be done; INT64_MAX: never */
	struct staple *staple; /* good when it was looked at; NULL: none */
	char error[STAPLING_ERROR_BYTES]; /* of the last try; "": it was good */
};

/* A certificate of the look under way. */
struct stapling_seen {
	uint8_t fingerprint[CERT_FINGERPRINT_BYTES];
	struct cert *cert; /* counted */
	char *file;
	bool fetches;
};

struct stapling_entries {
	struct stapling_entry **list; /* by fingerprint */
	size_t n;
	struct stapling_seen *seen;
	size_t n_seen, room_seen;
	struct staple **old; /* replaced ones, to be given back when workers have passed a turn */
	size_t n_old;
	struct stapling_responder responders[STAPLING_RESPONDERS + 1];
	char *state_dir; /* where fetched ones are kept */
	bool is_cleaned; /* responses of certificates that are gone were removed */
	bool has_failed; /* keeping them; and it was told */
	uint64_t fetched, failed;
};

void stapling_entries_fini(struct stapling_entries *entries);
/* Goes on with a look; true: it is over, and the entries are those of `certs`. */
bool stapling_entries_look(struct stapling_entries *entries, const struct certs_in_use *certs,
	struct certs_cursor *cursor);
/* Certificates that are about to be put in force get what is known of them, or lies there for them; a
 * look comes only later. True: one that must have a response is new, and has none. No job needed. */
bool stapling_entries_ready(struct stapling_entries *entries, const struct certs_in_use *certs);
/* A responder is no longer being asked; is_silent: it could not be reached, or did not answer. */
void stapling_entries_told(struct stapling_entries *entries, uint32_t responder, bool is_silent);
/* What it said. `error`: why it did not; else "". */
void stapling_entries_answer(struct stapling_entries *entries, const uint8_t *fingerprint,
	const uint8_t *der, size_t len, const char *error);
/* Does what is due without asking anybody: files, responses whose time is over. Of the entries whose
 * responders may be asked now returns the one that has been due longest; NULL: there is none. */
struct stapling_entry *stapling_entries_due(struct stapling_entries *entries, int64_t now_unix_s);
/* Its responder is being asked: stapling_entries_told() follows. */
void stapling_entries_ask(struct stapling_entries *entries, struct stapling_entry *entry);
/* It could not be asked. */
void stapling_entries_failed(
	struct stapling_entries *entries, struct stapling_entry *entry, const char *error);
/* When something is due again (INT64_MAX: never), and how things are. */
int64_t stapling_entries_count(
	const struct stapling_entries *entries, struct stapling_facts *facts);

#endif
