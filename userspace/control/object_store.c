/* The objects in force: see object_store.h. */
#define LOG_MODULE "objects"
#include "control/object_store.h"

#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>

struct config_overlay object_store_overlay(
	const struct object_store *store, const struct object_set *set)
{
	return (struct config_overlay){set, versions_blob_path(store->versions), false};
}

static int compose(struct object_store *store, struct config **ret_config, struct err *err)
{
	struct config_overlay overlay = object_store_overlay(store, &store->set);
	struct config_errors errors;
	int r;

	overlay.leaves_orphans = true;
	config_errors_init(&errors);
	r = config_compose(&store->text, &overlay, ret_config, &store->rows, &errors);
	if (r < 0) {
		config_errors_print(&errors, stderr);
		err_set(err, r,
			store->set.n ? "the configuration has errors (see above); objects made "
				       "through the admin API are part of it: to start without "
				       "them, move the folder away that has %s"
				     : "the configuration has errors (see above)",
			versions_blob_path(store->versions));
	}
	config_errors_fini(&errors);
	return r;
}

static int read_text(struct object_store *store, const char *path, struct err *err)
{
	struct config_errors errors;
	int r;

	config_errors_init(&errors);
	r = config_text_read(&store->text, path, &errors);
	if (r < 0) {
		config_errors_print(&errors, stderr);
		err_set(err, r, "the configuration cannot be read (see above)");
	}
	config_errors_fini(&errors);
	return r;
}

static int open_over_file(
	struct object_store *store, const char *path, struct config **config, struct err *err)
{
	struct config *both = NULL;
	int r = read_text(store, path, err);

	if (r == 0)
		r = compose(store, &both, err);
	if (r < 0)
		return r;
	config_free(*config);
	*config = both;
	return 0;
}

int object_store_open(struct object_store *store, const char *path, int lock_fd,
	struct config **config, struct err *err)
{
	struct err warning;
	int r;

	*store = (struct object_store){0};
	r = versions_open_with((*config)->state_dir_path, &disk_kernel_calls, lock_fd,
		&store->versions, &store->set, &warning, err);
	if (r < 0)
		return r;
	if (warning.text[0])
		log_error("%s", warning.text);
	r = open_over_file(store, path, config, err);
	if (r < 0)
		return r;
	object_store_refresh(store);
	if (versions_head(store->versions))
		log_info("version %llu of the objects made through the admin API: %zu objects",
			(unsigned long long)versions_head(store->versions), store->set.n);
	return 0;
}

int object_store_peek(struct object_store *store, const char *path, struct config **config,
	struct err *ret_warning, struct err *err)
{
	int r;

	*store = (struct object_store){0};
	r = versions_peek(
		(*config)->state_dir_path, &store->versions, &store->set, ret_warning, err);
	if (r == -EACCES || r == -EPERM) {
		*ret_warning = *err;
		return 0;
	}
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	store->head = versions_head(store->versions);
	r = open_over_file(store, path, config, err);
	if (r < 0)
		object_store_fini(store);
	return r;
}

static void forget_history(struct object_store *store)
{
	for (size_t i = 0; i < store->n_history; i++)
		free(store->history[i].changes);
	free(store->history);
	store->history = NULL;
	store->n_history = 0;
}

void object_store_refresh(struct object_store *store)
{
	const struct version *list;

	forget_history(store);
	list = versions_list(store->versions, &store->n_history);
	store->history = mem_alloc((store->n_history + 1) * sizeof(store->history[0]));
	for (size_t i = 0; i < store->n_history; i++) {
		store->history[i] = list[i];
		store->history[i].changes = mem_strdup(list[i].changes);
	}
	store->head = versions_head(store->versions);
}

void object_store_fini(struct object_store *store)
{
	forget_history(store);
	versions_free(store->versions);
	object_set_fini(&store->set);
	object_rows_fini(&store->rows);
	config_text_fini(&store->text);
	*store = (struct object_store){0};
}
