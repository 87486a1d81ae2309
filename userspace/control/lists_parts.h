/*
 * What the files of the lists share; nobody else includes it.
 *	lists.c           life, and how changes are put in force         control thread
 *	lists_requests.c  changes asked for at run time                  control thread
 *	lists_merge.c     entries in force + changes = the next ones     loader thread
 *	lists_view.c      what the configuration says, views of it all   any thread
 *	lists_hits.c      hits per prefix                                control and loader thread
 */
#ifndef SLUICE_CONTROL_LISTS_PARTS_H
#define SLUICE_CONTROL_LISTS_PARTS_H

#include "control/lists.h"

#include <stdatomic.h>

struct lists_config {
	atomic_uint refs;
	struct lists_entries config[LIST_KINDS], file[LIST_KINDS];
	bool hits;
};

struct lists_view {
	atomic_uint refs;
	struct lists_config *config; /* counted */
	struct lists_entries api[LIST_KINDS];
	int64_t first_expiry_unix_s; /* INT64_MAX: nothing expires */
};

struct lists_config *lists_config_get(struct lists_config *config);
bool lists_config_eq(const struct lists_config *a, const struct lists_config *b);
/* Takes over the entries and one reference to `config`. */
struct lists_view *lists_view_new(
	struct lists_config *config, struct lists_entries api[LIST_KINDS]);

/* A change on its way: of one entry, or an import. */
struct lists_op {
	enum list_kind kind;
	struct lists_change change;
	char *text; /* of an import; NULL: `change` counts */
	size_t text_len;
	int code; /* of an import, when it has been parsed */
	struct lists_request *request; /* told by this op, NULL: by another of the same request */
	struct err err;
};

struct lists_ops {
	struct lists_op *rows;
	size_t count, room;
};

void lists_ops_free(struct lists_ops *ops);
/* What the entries of one list become by ops and time; imports that fail count for nothing. */
int lists_merge(const struct lists_entries *before, struct lists_ops *ops, enum list_kind kind,
	int64_t now_unix_s, struct lists_entries *ret_after, struct err *err) must_check;

struct lists {
	struct loop *loop;
	struct loader *loader;
	struct dataplane *dp;
	char *state_path;
	struct lists_view *view;     /* in force */
	struct lists_config *wanted; /* of a reload, not in force yet; NULL: none */
	struct lists_request *wanted_by; /* to be told; NULL: nobody, or its change is on its way */
	struct lists_ops ops; /* not on their way yet */
	const struct lists_ops *ops_going; /* on their way, not in force yet; NULL: none */
	struct change *change; /* on its way, also while it is freed; NULL: none */
	bool is_due; /* something is to be put in force as soon as possible */
	bool is_retry; /* ... or when `expiry` fires, because it has failed */
	bool hits_wanted;
	struct timer pace; /* the next change may begin */
	struct timer expiry; /* an entry ends */
	uint64_t begun_mono_ms;
	struct lists_report report;
};

/* Begins a change as soon as there may be one. */
void lists_poke(struct lists *lists);

#endif
