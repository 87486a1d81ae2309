/* What the configuration says about lists, and views of all entries: see lists.h. Any thread. */
#include "control/lists_parts.h"
#include "control/lists_text.h"
#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

static struct lists_entries entries_of(
	const struct dp_prefix *prefixes, size_t count, enum list_kind kind)
{
	struct lists_entries entries = {.count = count};

	entries.rows = mem_alloc((count + 1) * sizeof(*entries.rows));
	for (size_t i = 0; i < count; i++)
		entries.rows[i] = (struct lists_entry){
			.prefix = prefixes[i], .kind = (uint8_t)kind, .source = LIST_FROM_CONFIG};
	lists_entries_sort(&entries);
	return entries;
}

int lists_config_new(
	const struct lists_config_spec *spec, struct lists_config **ret_config, struct err *err)
{
	struct lists_config *config = mem_zalloc(sizeof(*config));
	int code = 0;

	config->refs = 1;
	config->hits = spec->hits;
	for (int kind = 0; kind < LIST_KINDS && !code; kind++) {
		struct lists_text_spec text = {.name = spec->paths[kind],
			.kind = (enum list_kind)kind,
			.source = LIST_FROM_FILE,
			.max = LISTS_MAX_ENTRIES};

		config->config[kind] =
			entries_of(spec->prefixes[kind], spec->counts[kind], (enum list_kind)kind);
		if (text.name)
			code = lists_text_read(&text, &config->file[kind], err);
	}
	if (code) {
		lists_config_free(config);
		return code;
	}
	*ret_config = config;
	return 0;
}

struct lists_config *lists_config_get(struct lists_config *config)
{
	atomic_fetch_add(&config->refs, 1);
	return config;
}

static bool entries_eq(const struct lists_entries *a, const struct lists_entries *b)
{
	size_t i;

	if (a->count != b->count)
		return false;
	for (i = 0; i < a->count; i++)
		if (dp_prefix_compare(&a->rows[i].prefix, &b->rows[i].prefix) != 0)
			return false;
	return true;
}

bool lists_config_eq(const struct lists_config *a, const struct lists_config *b)
{
	for (int kind = 0; kind < LIST_KINDS; kind++)
		if (!entries_eq(&a->config[kind], &b->config[kind]) ||
			!entries_eq(&a->file[kind], &b->file[kind]))
			return false;
	return a->hits == b->hits;
}

void lists_config_free(struct lists_config *config)
{
	if (!config || atomic_fetch_sub(&config->refs, 1) != 1)
		return;
	for (int kind = 0; kind < LIST_KINDS; kind++) {
		lists_entries_free(&config->config[kind]);
		lists_entries_free(&config->file[kind]);
	}
	free(config);
}

struct lists_view *lists_view_new(struct lists_config *config, struct lists_entries api[LIST_KINDS])
{
	struct lists_view *view = mem_zalloc(sizeof(*view));

	view->refs = 1;
	view->config = config;
	view->first_expiry_unix_s = INT64_MAX;
	for (int kind = 0; kind < LIST_KINDS; kind++) {
		for (size_t i = 0; i < api[kind].count; i++) {
			int64_t expiry = api[kind].rows[i].expires_unix_s;

			if (expiry && expiry < view->first_expiry_unix_s)
				view->first_expiry_unix_s = expiry;
		}
		view->api[kind] = api[kind];
		api[kind] = (struct lists_entries){};
	}
	return view;
}

void lists_view_put(struct lists_view *view)
{
	if (!view || atomic_fetch_sub(&view->refs, 1) != 1)
		return;
	lists_config_free(view->config);
	for (int kind = 0; kind < LIST_KINDS; kind++)
		lists_entries_free(&view->api[kind]);
	free(view);
}

static const struct lists_entries *entries_by_source(
	const struct lists_view *view, enum list_kind kind, enum lists_source source)
{
	if (source == LIST_FROM_API)
		return &view->api[kind];
	return source == LIST_FROM_FILE ? &view->config->file[kind] : &view->config->config[kind];
}

size_t lists_view_count(const struct lists_view *view, enum list_kind kind)
{
	size_t count = 0;

	for (int source = 0; source < LIST_SOURCES; source++)
		count += entries_by_source(view, kind, (enum lists_source)source)->count;
	return count;
}

struct lists_entry lists_view_entry(
	const struct lists_view *view, enum list_kind kind, size_t index)
{
	const struct lists_entries *entries = entries_by_source(view, kind, LIST_FROM_CONFIG);

	if (index >= entries->count) {
		index -= entries->count;
		entries = entries_by_source(view, kind, LIST_FROM_FILE);
	}
	if (index >= entries->count && entries != &view->api[kind]) {
		index -= entries->count;
		entries = &view->api[kind];
	}
	return entries->rows[index];
}

bool lists_view_match(const struct lists_view *view, enum list_kind kind, bool v6,
	const uint8_t *address, struct lists_entry *ret_entry)
{
	const struct lists_entry *longest = NULL;

	for (int source = 0; source < LIST_SOURCES; source++) {
		const struct lists_entry *entry = lists_entries_match(
			entries_by_source(view, kind, (enum lists_source)source), v6, address);

		if (entry && (!longest || entry->prefix.length_bits >= longest->prefix.length_bits))
			longest = entry;
	}
	if (longest)
		*ret_entry = *longest;
	return longest != NULL;
}

char *lists_view_export(const struct lists_view *view, enum list_kind kind, size_t *ret_len)
{
	return lists_text_print(&view->api[kind], ret_len);
}
