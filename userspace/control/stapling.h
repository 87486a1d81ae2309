/*
 * OCSP responses for the certificates of listeners: out of files, or asked of their CAs' responders
 * and renewed in time; kept in state_dir over restarts. Only what was found good is stapled, and only
 * while it is. Control thread; files and signatures are the loader thread's work.
 */
#ifndef SLUICE_CONTROL_STAPLING_H
#define SLUICE_CONTROL_STAPLING_H

#include "core/attr.h"
#include <stdint.h>

struct build;
struct daemon;
struct stapling;

struct stapling_facts {
	uint64_t n; /* certificates that are to have a response */
	uint64_t n_stapled; /* that have one now */
	uint64_t n_must_missing; /* that must have one, and do not: clients refuse them */
	uint64_t n_revoked;
	uint64_t fetched, failed; /* responses that were fetched, and found good or not */
};

struct stapling *stapling_new(struct daemon *daemon);
/* The loader thread has ended. NULL is ignored. */
void stapling_free(struct stapling *stapling);
/* `build` is about to be put in force: its certificates get the responses that lie there for them, so
 * that none that must have one is served without it until the next look. On the loader thread; or on
 * the control thread before that one has any work. */
void stapling_ready(struct stapling *stapling, const struct build *build);
/* Another generation is in force, or files were touched. */
void stapling_look(struct stapling *stapling);
void stapling_facts(const struct stapling *stapling, struct stapling_facts *ret_facts);

#endif
