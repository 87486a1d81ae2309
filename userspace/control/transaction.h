/*
 * A change of objects through the admin API, all or nothing: made from what is in force when its
 * turn comes, checked as a configuration is, written to disk, put in force, and only then answered.
 * reload.c runs it: it is a reload whose file is the one in force. Requests are made by the control
 * thread (views_change*.c) and carried out by the loader thread.
 */
#ifndef SLUICE_CONTROL_TRANSACTION_H
#define SLUICE_CONTROL_TRANSACTION_H

#include "control/apply.h"
#include "control/object_store.h"
#include "core/slice.h"

struct change_request;

enum change_op {
	CHANGE_PUT,
	CHANGE_PATCH,  /* of what the API made; RFC 7396 */
	CHANGE_DELETE,
	CHANGE_MOVE, /* of a rule: {priority}; those in its way make room */
	CHANGE_USE, /* which certificates a listener has: {add, remove, default} */
};

struct change {
	enum change_op op;
	char *kind, *name;
	yyjson_val *settings; /* of the request's document; NULL: DELETE */
	/* Only if the object is as it was: its ETag, or "*": it is there. NULL: whatever it is. */
	char *if_match;
	bool is_new; /* only if it is not there */
};

/* What is refused before a configuration is made of it. */
struct change_refusal {
	unsigned int http_status; /* 0: nothing is */
	const char *code;
	struct err text;
};

/* The body of a request as changes; `root` is an object. NULL: done. Else: what it should be. */
typedef const char *change_reader(struct change_request *request, yyjson_val *root);

struct change_request {
	char *received; /* as the client sent it, until it is read; NULL: there is no body. Wiped */
	size_t received_bytes;
	struct slice unread; /* the body, in it */
	change_reader *read;
	yyjson_doc *doc; /* of the body, when it has been read */
	char *body; /* which `doc` points into; may have keys: wiped */
	size_t body_bytes;
	struct change *changes;
	size_t n;
	bool is_rollback;
	bool to_previous; /* to the version before the one that is in force when its turn comes */
	uint64_t rollback_to; /* else; 0: to the file alone */
	char *if_match; /* only if this version ("v12") is in force; NULL: any */
	struct reload_how how;
	uint32_t uid; /* of struct admin_peer, like the next two */
	int32_t pid;
	char who[VERSION_WHO_BYTES];
};

struct change_request *change_request_new(void);
struct change *change_request_add(
	struct change_request *request, enum change_op op, const char *kind, const char *name);
/* NULL is ignored. */
void change_request_free(struct change_request *request);

/* change_body.c: what a body says. The first one reads it, which takes its time if it is big: on the
 * loader thread. False: `ret_refusal` says why it cannot be. */
bool change_request_read(struct change_request *request, struct change_refusal *ret_refusal);
change_reader change_read_settings, change_read_certificate, change_read_names, change_read_several,
	change_read_priority;
/* Memory that it needs. */
size_t change_request_bytes(const struct change_request *request);

struct transaction {
	const struct change_request *request;
	struct object_store *store; /* borrowed */
	const struct build *before; /* in force */
	struct object_set set; /* as it will be */
	bool is_unchanged;
	uint64_t rollback_to; /* of a rollback */
	struct version about;
	struct change_refusal refusal;
};

/* Contents are on disk from then on. False: `refusal` says why. Loader thread, like the next two. */
bool transaction_make(struct transaction *transaction);
/* Tells what `build` makes of it, and writes the version. False: `refusal`. */
bool transaction_keep(struct transaction *transaction, const struct build *build);
/* Nothing came of it. */
void transaction_abandon(struct transaction *transaction);
void transaction_fini(struct transaction *transaction);

/* transaction_changes.c: one change after the other. */
bool transaction_refuse(struct transaction *transaction, unsigned int http_status, const char *code,
	const char *format, ...) printf_like(4, 5);
bool transaction_change(struct transaction *transaction, const struct change *change);
/* transaction_move.c */
bool transaction_move(struct transaction *transaction, const struct change *change);
/* transaction_contents.c: its settings, of `doc`, with {"blob": SHA-256} where contents were, which are
 * on disk then. NULL: refused. */
yyjson_mut_val *transaction_contents(
	struct transaction *transaction, const struct change *change, yyjson_mut_doc *doc);

#endif
