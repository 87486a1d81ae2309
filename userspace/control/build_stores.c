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

/* All of one entry. */
static void add_entry(
	struct cert_list *list, const struct build *build, const struct config_certificate *entry)
{
	const struct built_cert *built = &build->certs[index_of(build, entry)];
	struct certdir_cursor cursor = {0};
	struct cert *cert;

	if (built->cert)
		add(list, built->cert);
	while (built->dir && (cert = certdir_next(built->dir, &cursor)))
		add(list, cert);
}

/* All that a listener names, in its order: the first one is the default. */
static int store_of_all(const struct build *build, const struct config_listener *wanted,
	struct certstore **ret_store, struct err *err)
{
	struct cert_list list = {0};
	uint32_t i;
	int r;

	for (i = 0; i < wanted->certificates_count; i++)
		add_entry(&list, build, wanted->certificates[i]);
	r = certstore_new(list.certs, list.n, ret_store, err);
	free(list.certs);
	return r;
}

static void add_all(struct cert_list *list, struct cert *const *certs, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		add(list, certs[i]);
}

/* An entry that the listener had before. */
struct was_entry {
	const struct config_certificate *config;
	bool stays;
};

static int compare_entries(const void *a, const void *b)
{
	const struct was_entry *x = a, *y = b;

	return strcmp(x->config->name, y->config->name);
}

static struct was_entry *list_before(const struct config_listener *was)
{
	struct was_entry *list = mem_zalloc((was->certificates_count + 1) * sizeof(*list));

	for (uint32_t i = 0; i < was->certificates_count; i++)
		list[i].config = was->certificates[i];
	qsort(list, was->certificates_count, sizeof(*list), compare_entries);
	return list;
}

/* Of an entry that stays: what has changed in it; all of it, if it is another now. */
static void list_changes_of(const struct building *building,
	const struct config_certificate *wanted, const struct config_certificate *was,
	struct cert_list *removed, struct cert_list *added)
{
	const struct build *before = building->before, *build = building->build;
	const struct building_certs *about = &building->certs[index_of(build, wanted)];
	struct cert *old = before->certs[index_of(before, was)].cert;
	struct cert *new = build->certs[index_of(build, wanted)].cert;

	if (!about->is_known) {
		add_entry(removed, before, was);
		add_entry(added, build, wanted);
		return;
	}
	add_all(removed, about->changes.removed, about->changes.n_removed);
	add_all(added, about->changes.added, about->changes.n_added);
	if (old == new)
		return;
	if (old)
		add(removed, old);
	if (new)
		add(added, new);
}

static void list_changes(const struct building *building, const struct config_listener *wanted,
	const struct config_listener *was, struct cert_list *ret_removed,
	struct cert_list *ret_added)
{
	struct was_entry *before = list_before(was), *entry, key = {0};
	uint32_t i;

	for (i = 0; i < wanted->certificates_count; i++) {
		key.config = wanted->certificates[i];
		entry = bsearch(
			&key, before, was->certificates_count, sizeof(key), compare_entries);
		if (!entry) {
			add_entry(ret_added, building->build, wanted->certificates[i]);
			continue;
		}
		entry->stays = true;
		list_changes_of(
			building, wanted->certificates[i], entry->config, ret_removed, ret_added);
	}
	for (i = 0; i < was->certificates_count; i++)
		if (!before[i].stays)
			add_entry(ret_removed, building->before, before[i].config);
	free(before);
}

static struct certstore *store_changed(const struct building *building,
	const struct config_listener *wanted, const struct config_listener *was,
	struct certstore *old)
{
	const struct build *build = building->build;
	struct cert *preferred = build->certs[index_of(build, wanted->certificates[0])].cert;
	struct cert_list removed = {0}, added = {0};
	struct certstore *store;

	list_changes(building, wanted, was, &removed, &added);
	if (removed.n || added.n || preferred != certstore_default(old))
		store = certstore_change(old, &(struct certstore_change){removed.certs, removed.n,
						      added.certs, added.n, preferred});
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

	/* The default may be missing where there are errors. */
	if (!old || !old->certs || wanted->certificates_count == 0 ||
		!building->build->certs[index_of(building->build, wanted->certificates[0])].cert)
		return store_of_all(building->build, wanted, ret_store, err);
	/* What stays is shared: a list of a hundred thousand with one more costs one. */
	*ret_store = store_changed(building, wanted, was, old->certs);
	return 0;
}
