/*
 * The node's deny and allow lists: what the configuration and its files say, and on top of them
 * what was added at run time, with expiry, kept over a restart. Every change is put in force whole:
 * the loader thread merges, writes the state file and builds the maps, the control thread installs
 * them with one store, at most once a second. Control thread, unless it says otherwise.
 *
 *	lists_entries.h  sorted entries, looking up     lists_text.h    lines of prefixes
 *	lists_state.h    the state file                 lists_parts.h   how lists*.c fit together
 */
#ifndef SLUICE_CONTROL_LISTS_H
#define SLUICE_CONTROL_LISTS_H

#include "control/lists_entries.h"
#include "control/loader.h"
#include "dataplane/dp_deny.h"

enum {
	LISTS_MAX_ENTRIES = 2000000, /* of one list and source */
	LISTS_MAX_CHANGES = 4096,    /* waiting at once; more come as an import */
};

struct lists;

/* --- what the configuration says: made with it (any thread; it reads the files), immutable */
struct lists_config_spec {
	const struct dp_prefix *prefixes[LIST_KINDS]; /* LIST_DENY, LIST_ALLOW */
	size_t counts[LIST_KINDS];
	const char *paths[LIST_KINDS]; /* deny_file, allow_file; NULL: none */
	bool hits; /* count hits per prefix from the start */
};

struct lists_config;

/* The text of an error names file and line. */
int lists_config_new(const struct lists_config_spec *spec, struct lists_config **ret_config,
	struct err *err) must_check;
void lists_config_free(struct lists_config *config);

/* --- life */
struct lists_spec {
	struct loop *loop; /* the control thread's */
	struct loader *loader;
	struct dataplane *dp;
	const char *state_path; /* NULL: run-time entries end with the process */
};

/* At start: reads the state file and puts everything in force before it returns. Takes `config`
 * over. A state file that is damaged is put aside under NAME.damaged and logged, no error. */
int lists_new(const struct lists_spec *spec, struct lists_config *config, struct lists **ret_lists,
	struct err *err) must_check;
/* After loader_free(): no change is under way any more. */
void lists_free(struct lists *lists);
/* --- changes at run time */
struct lists_request {
	struct list link;
	/* The change is in force and kept (code 0), or nothing of it is, for the reason in the text. */
	void (*done)(struct lists_request *request, int code, const char *text);
};

/* A reload: takes `config` over. `request` is told when it is in force, at once where nothing has
 * changed; one at a time, NULL: nobody waits. */
void lists_config_set(
	struct lists *lists, struct lists_config *config, struct lists_request *request);

struct lists_change {
	enum list_kind kind;
	bool del;
	struct dp_prefix prefix;
	int64_t expires_unix_s; /* 0: never */
};

/* All or nothing. Adding what is there sets its expiry anew. Refused at once with the text (nothing
 * has changed, done() is not called): -ENOENT, to be deleted but not listed; -EPERM, to be deleted
 * but the configuration or a file lists it; -EINVAL, expired already; -EAGAIN, too many changes. */
int lists_change(struct lists *lists, const struct lists_change *changes, size_t count,
	struct lists_request *request, struct err *err) must_check;

/* Replaces all run-time entries of one list by the lines of `text` (lists_text.h), which is taken
 * over (free). A fault in it comes back through done(), with its line. */
void lists_import(struct lists *lists, enum list_kind kind, char *text, size_t len,
	struct lists_request *request);

/* --- reading */
/* All entries as they are in force: immutable, counted, readable on any thread. */
struct lists_view *lists_view_get(struct lists *lists);
void lists_view_put(struct lists_view *view); /* any thread */
size_t lists_view_count(const struct lists_view *view, enum list_kind kind);
/* By source, and within each by prefix (dp_prefix_compare). */
struct lists_entry lists_view_entry(
	const struct lists_view *view, enum list_kind kind, size_t index);
/* The longest entry that holds the address (network order; IPv4 in four bytes). */
bool lists_view_match(const struct lists_view *view, enum list_kind kind, bool v6,
	const uint8_t *address, struct lists_entry *ret_entry);
/* Run-time entries as lines that lists_import() takes; malloc'd. Long: on the loader thread. */
char *lists_view_export(const struct lists_view *view, enum list_kind kind, size_t *ret_len);

struct lists_report {
	size_t counts[LIST_KINDS][LIST_SOURCES];
	size_t map_bytes;
	uint64_t build_ms; /* of the last change, on the loader thread */
	int64_t changed_unix_s;
	bool hits;
	bool is_changing; /* something is not in force yet */
	char error[ERR_TEXT_BYTES]; /* of the last change, "": none */
};

void lists_report(const struct lists *lists, struct lists_report *ret_report);

/* --- hits per prefix of the deny list */
void lists_hits_set(struct lists *lists, bool on);

struct lists_hits {
	struct dp_deny_hits *rows; /* the caller's, `max` of them: most hits first */
	size_t max, count;
	/* `code` is 0, or negative with its text. count: how many rows there are. */
	void (*done)(struct lists_hits *hits, int code, const char *text);
	struct job job; /* not the caller's: */
	struct lists *lists;
	struct err err;
	int code;
};

/* `hits` lives until done() is called. */
void lists_hits_read(struct lists *lists, struct lists_hits *hits);

#endif
