/*
 * Certificates whose files change while the daemon runs, and names of targets that stand for other
 * addresses: what the watch of the folders or the resolver reports is put in force as a generation that
 * differs in nothing else. Control thread; the loader thread does
 * the work.
 */
#ifndef SLUICE_CONTROL_RENEWAL_H
#define SLUICE_CONTROL_RENEWAL_H

#include "core/attr.h"
#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct renewal;

/* The last change of certificates that the watch brought about. */
struct renewal_facts {
	int64_t at_unix_s; /* 0: none yet */
	uint32_t n_removed, n_added;
	uint32_t took_us; /* from the look at the files until it was in force */
	uint64_t changes; /* since the start */
};

/* Before the first generation is built: the daemon's env has the watch from then on. */
void renewal_new(struct daemon *daemon);
/* The first generation is in force. */
void renewal_begin(struct daemon *daemon);
/* Another generation is in force: what it could not look at is looked at again after a while. */
void renewal_retry(struct daemon *daemon);
/* Something that no file tells of has changed: a key in a token was opened anew, or a name stands for
 * other addresses. */
void renewal_look(struct daemon *daemon);
/* The loader thread has ended. */
void renewal_free(struct daemon *daemon);

/* A generation is being made: a reload must wait; reload_continue() is called then. */
bool renewal_is_running(const struct daemon *daemon);
const struct renewal_facts *renewal_facts(const struct daemon *daemon);

#endif
