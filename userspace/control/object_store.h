/*
 * The objects in force: those made through the admin API with their versions on disk, the text of the
 * configuration file they lie over, and what both make together. Belongs to the control thread; the
 * loader thread reads it, and writes versions, while a reload or a transaction is under way.
 */
#ifndef SLUICE_CONTROL_OBJECT_STORE_H
#define SLUICE_CONTROL_OBJECT_STORE_H

#include "control/config_merge.h"
#include "control/object_rows.h"
#include "control/versions.h"

struct object_store {
	struct versions *versions;
	struct object_set set;
	struct config_text text; /* of the file, as it is in force */
	struct object_rows rows;
	/* What views tell of the versions: they may be read while the loader thread writes one. */
	uint64_t head;
	struct version *history; /* oldest first */
	size_t n_history;
};

/* Reads the file `path` and what was made through the API before; `config` (of the file alone: it says
 * where the state is) gives way to both together. Errors of them go to standard error. `lock_fd`:
 * as versions_open_with(). */
int object_store_open(struct object_store *store, const char *path, int lock_fd,
	struct config **config, struct err *err) must_check;
/* The same to look at it, while a daemon may be running with it: neither is anything written, nor can
 * anything be changed afterwards. Where nothing was made through the API, or it may not be read
 * (`ret_warning`), `config` stays as it is, and `store` is all zero. */
int object_store_peek(struct object_store *store, const char *path, struct config **config,
	struct err *ret_warning, struct err *err) must_check;
/* The loader thread is done with the versions: brings `head` and `history` up to date. */
void object_store_refresh(struct object_store *store);
void object_store_fini(struct object_store *store);
struct config_overlay object_store_overlay(
	const struct object_store *store, const struct object_set *set);

#endif
