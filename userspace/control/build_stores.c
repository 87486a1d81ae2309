/* Which certificates a listener serves: see build.h. */
#define LOG_MODULE "config"
#include "control/build_parts.h"
#include "core/mem.h"
#include "tls/certstore.h"

#include <stdlib.h>
#include <string.h>

struct cert_list {
	struct cert **certs; /* not counted */
	size_t n, room;
};

static void add(struct cert_list *list, struct cert *cert)
{
	if (list->n == list->room) {
		list->room = list->room ? 2 * list->room : 16;
		list->certs = mem_realloc(list->certs, list->room * sizeof(struct cert *));
	}
	list->certs[list->n++] = cert;
}

static size_t index_of(const struct build *build, const struct config_certificate *certificate)
{
	return (size_t)(certificate - build->config->certificates);
}

/* All that a listener names, in its order: the first one is the default. */
static int store_of_all(const struct build *build, const struct config_listener *wanted,
	struct certstore **ret_store, struct err *err)
{
	struct cert_list list = {0};
	struct certdir_cursor cursor;
	const struct built_cert *built;
	struct cert *cert;
	uint32_t i;
	int r;

	for (i = 0; i < wanted->certificates_count; i++) {
		built = &build->certs[index_of(build, wanted->certificates[i])];
		if (built->cert)
			add(&list, built->cert);
		cursor = (struct certdir_cursor){0};
		while (built->dir && (cert = certdir_next(built->dir, &cursor)))
			add(&list, cert);
	}
	r = certstore_new(list.certs, list.n, ret_store, err);
	free(list.certs);
	return r;
}

/* The same entries as before, each known: their changes are all that is to be done. */
static bool is_comparable(const struct building *building, const struct config_listener *wanted,
	const struct config_listener *was)
{
	uint32_t i;

	if (was->certificates_count != wanted->certificates_count)
		return false;
	for (i = 0; i < wanted->certificates_count; i++)
		if (!building->certs[index_of(building->build, wanted->certificates[i])].is_known ||
			strcmp(was->certificates[i]->name, wanted->certificates[i]->name) != 0)
			return false;
	return true;
}

static void add_all(struct cert_list *list, struct cert *const *certs, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		add(list, certs[i]);
}

static void list_changes(const struct building *building, const struct config_listener *wanted,
	const struct config_listener *was, struct cert_list *ret_removed,
	struct cert_list *ret_added)
{
	const struct certdir_changes *changes;
	struct cert *old, *new;
	size_t index;
	uint32_t i;

	for (i = 0; i < wanted->certificates_count; i++) {
		index = index_of(building->build, wanted->certificates[i]);
		changes = &building->certs[index].changes;
		add_all(ret_removed, changes->removed, changes->n_removed);
		add_all(ret_added, changes->added, changes->n_added);
		old = building->before->certs[index_of(building->before, was->certificates[i])]
			      .cert;
		new = building->build->certs[index].cert;
		if (old == new)
			continue;
		add(ret_removed, old);
		add(ret_added, new);
	}
}

static struct certstore *store_changed(const struct building *building,
	const struct config_listener *wanted, const struct config_listener *was,
	struct certstore *old)
{
	const struct build *build = building->build;
	struct cert_list removed = {0}, added = {0};
	struct certstore *store;

	list_changes(building, wanted, was, &removed, &added);
	if (removed.n || added.n)
		store = certstore_change(old,
			&(struct certstore_change){removed.certs, removed.n, added.certs, added.n,
				build->certs[index_of(build, wanted->certificates[0])].cert});
	else
		store = certstore_get(old);
	free(removed.certs);
	free(added.certs);
	return store;
}

int build_store(struct building *building, const struct config_listener *wanted,
	struct certstore **ret_store, struct err *err)
{
	const struct built_listener *old = build_before_listener(building, wanted->name);
	const struct config_listener *was =
		old ? &building->before->config->listeners[old - building->before->built] : NULL;

	if (!old || !old->certs || !is_comparable(building, wanted, was))
		return store_of_all(building->build, wanted, ret_store, err);
	*ret_store = store_changed(building, wanted, was, old->certs);
	return 0;
}
