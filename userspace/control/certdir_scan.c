/* Looking at a directory, all of it or what was touched: see certdir.h. */
#define LOG_MODULE "certificates"
#include "control/certdir_making.h"

#include "core/mem.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	LOOKS_MAX = 32
}; /* each goes through all pairs: with more of them one look at all is cheaper */

/* --- what is no longer there */

/* Certificate files that were found, for look-ups. */
struct presence {
	const struct found_pairs *found;
	uint32_t *table;
	size_t mask;
};

static size_t presence_place(const struct presence *presence, struct slice file)
{
	static const struct hash_key key = {3, 4};
	size_t at = (size_t)hash_bytes(&key, file.ptr, file.len) & presence->mask;

	while (presence->table[at] &&
		!slice_eq(slice_of(presence->found->list[presence->table[at] - 1].cert_file), file))
		at = (at + 1) & presence->mask;
	return at;
}

static void presence_init(struct presence *presence, const struct found_pairs *found)
{
	size_t size = 2, i;

	while (size < 2 * found->n + 1)
		size *= 2;
	*presence = (struct presence){found, mem_zalloc(size * sizeof(uint32_t)), size - 1};
	for (i = 0; i < found->n; i++)
		presence->table[presence_place(presence, slice_of(found->list[i].cert_file))] =
			(uint32_t)i + 1;
}

/* NULL: nothing was found there. */
static const struct found_pair *present(const struct presence *presence, struct slice file)
{
	size_t at = presence_place(presence, file);

	return presence->table[at] ? &presence->found->list[presence->table[at] - 1] : NULL;
}

static bool is_below(struct slice file, const char *folder)
{
	size_t len = strlen(folder);

	return !len || (file.len > len && !memcmp(file.ptr, folder, len) && file.ptr[len] == '/');
}

/* Below a folder that could not be read. */
static bool is_unseen(const struct presence *presence, struct slice file)
{
	const struct found_pair *folder;
	size_t i;

	for (i = 0; presence->found->n_unseen && i < file.len; i++) {
		if (file.ptr[i] != '/')
			continue;
		folder = present(presence, (struct slice){file.ptr, i});
		if (folder && folder->is_folder)
			return true;
	}
	return false;
}

static bool is_missing(const struct presence *presence, struct slice file, const char *folder)
{
	return is_below(file, folder) && !present(presence, file) && !is_unseen(presence, file);
}

/* Then nothing can be missing: what a reload finds but for a few pairs. */
static bool has_met_all(const struct making *making)
{
	return making->is_full && making->n_met_pairs == certdir_len(making->before) &&
	       making->n_met_faults == certdir_faults(making->before);
}

/* The certificate has another name now: NAME.pem instead of NAME.crt, with the same key. */
static bool is_key_used(const struct presence *presence, const struct cert *old)
{
	static const char *const endings[] = {".crt", ".pem", ".cer"};
	struct slice file = cert_file(old);
	char *place = mem_strndup(file.ptr, file.len);
	const struct found_pair *found = NULL;
	size_t i;

	for (i = 0; file.len > 4 && !found && i < array_len(endings); i++) {
		memcpy(place + file.len - 4, endings[i], 4);
		found = present(presence, slice_of(place));
		if (found && !slice_eq(slice_of(found->key_file), cert_key_file(old)))
			found = NULL;
	}
	free(place);
	return found;
}

struct forgetting {
	struct making *making;
	const struct presence *presence;
};

static void forget_place(void *arg, const char *place)
{
	const struct forgetting *forgetting = arg;
	struct slice file = slice_of(place);
	const struct cert *old = certdir_find(forgetting->making->before, file);

	if (!present(forgetting->presence, file))
		certdir_forget(
			forgetting->making, file, old && is_key_used(forgetting->presence, old));
}

/* What `before` has in a folder, and below it, and was not found. */
static void forget_missing(
	struct making *making, const struct presence *presence, const char *folder)
{
	struct certdir_cursor cursor = {0};
	struct fault *fault;
	struct cert *cert;

	if (!making->before || has_met_all(making))
		return;
	while ((cert = certdir_next_value(making->before->pairs, &cursor)))
		if (is_missing(presence, cert_file(cert), folder))
			certdir_forget(making, cert_file(cert), is_key_used(presence, cert));
	cursor = (struct certdir_cursor){0};
	while ((fault = certdir_next_value(making->before->faults, &cursor)))
		if (is_missing(presence, slice_of(fault->file), folder) &&
			!certdir_find(making->before, slice_of(fault->file)))
			certdir_forget(making, slice_of(fault->file), false);
}

/* --- folders */
static void folder_seen(void *arg, const char *folder)
{
	const struct certdir_spec *spec = arg;

	if (spec->folder_seen)
		spec->folder_seen(spec->arg, spec->path, folder);
}

/* A mount point without what was mounted there, say. */
static bool is_another_and_empty(const struct making *making, const struct found_pairs *found)
{
	const struct certdir *before = making->before;

	return before && certdir_len(before) && !found->n &&
	       (found->root_inode != before->root_inode ||
		       found->root_device != before->root_device);
}

static void keep_all(struct found_pairs *found)
{
	found_pairs_fault(found, "",
		"the directory is empty, and another one than before: is it not mounted? The "
		"certificates that were good stay until something is there");
	found->list[found->n - 1].error = -ENODEV;
	found->is_cut = true;
}

/* It can be read: what was wrong with the folder itself is over. */
static void forget_folder(struct making *making, const char *folder)
{
	struct slice place = slice_of(*folder ? folder : CERTDIR_ROOT_PLACE);

	if (!making->is_full && certdir_find_fault(making->before, place))
		certdir_forget(making, place, false);
}

static void look_at_all(struct making *making, const struct found_pairs *found)
{
	size_t i;

	for (i = 0; i < found->n; i++)
		certdir_look_at(making, &found->list[i]);
}

/* A folder, and (`deep`) what is below it. -errno: it cannot be looked at; one that is gone is an
 * empty one, but not the directory itself. */
static int look_through(struct making *making, const char *folder, bool deep)
{
	struct found_pairs found = {0};
	struct presence presence;
	struct forgetting forgetting = {making, &presence};
	int r = certdir_walk(
		making->spec->path, folder, deep, folder_seen, (void *)making->spec, &found);

	if (r == 0 && is_another_and_empty(making, &found)) {
		keep_all(&found);
	} else if (r == 0) {
		making->root_device = found.root_device;
		making->root_inode = found.root_inode;
	}
	if (r == 0 || (*folder && certdir_is_gone(r))) {
		presence_init(&presence, &found);
		look_at_all(making, &found);
		forget_folder(making, folder);
		if (deep && !found.is_cut)
			forget_missing(making, &presence, folder);
		else if (!found.is_cut)
			certdir_special_places(folder, forget_place, &forgetting);
		free(presence.table);
		r = 0;
	}
	found_pairs_fini(&found);
	return r;
}

int certdir_scan(const struct certdir_spec *spec, struct certdir *before, struct certdir **ret_dir,
	struct certdir_changes *changes, struct err *err)
{
	struct making making;
	struct certdir *dir;
	int r;

	certdir_making_init(&making, spec, before, changes);
	making.is_full = true;
	r = look_through(&making, "", true);
	dir = certdir_making_end(&making);
	if (r < 0) {
		certdir_put(dir);
		return err_set(
			err, r, "cannot read the directory %s: %s", spec->path, strerror(-r));
	}
	*ret_dir = dir;
	return 0;
}

/* --- what was touched */

/* Folders to look through, in order, each once. */
struct looks {
	struct look {
		char *folder;
		bool deep;
	} *list;
	size_t n, n_deep;
};

static void add_look(struct looks *looks, char *folder, bool deep)
{
	if (!(looks->n & (looks->n - 1)))
		looks->list = mem_realloc(
			looks->list, (looks->n ? 2 * looks->n : 1) * sizeof(*looks->list));
	looks->list[looks->n++] = (struct look){folder, deep};
}

static int compare_looks(const void *a, const void *b)
{
	const struct look *x = a, *y = b;
	int order = strcmp(x->folder, y->folder);

	return order ? order : y->deep - x->deep;
}

static void looks_end(struct looks *looks)
{
	size_t i, n = 0;

	if (looks->n)
		qsort(looks->list, looks->n, sizeof(*looks->list), compare_looks);
	for (i = 0; i < looks->n; i++) {
		if (n && !strcmp(looks->list[n - 1].folder, looks->list[i].folder)) {
			free(looks->list[i].folder);
			continue;
		}
		looks->list[n++] = looks->list[i];
		looks->n_deep += looks->list[i].deep;
	}
	looks->n = n;
}

static void looks_fini(struct looks *looks)
{
	size_t i;

	for (i = 0; i < looks->n; i++)
		free(looks->list[i].folder);
	free(looks->list);
}

/* NULL: it is none, and was none. Allocated. */
static char *folder_of_name(const struct making *making, const struct certdir_touched *touched)
{
	char *folder = *touched->folder ? mem_printf("%s/%s", touched->folder, touched->name)
					: mem_strdup(touched->name);
	char *path = mem_printf("%s/%s", making->spec->path, folder);
	struct stat about;

	if (!touched->was_folder && (stat(path, &about) < 0 || !S_ISDIR(about.st_mode))) {
		free(folder);
		folder = NULL;
	}
	free(path);
	return folder;
}

static void plan(
	const struct making *making, const struct certdir_touched *touched, struct looks *looks)
{
	enum certdir_touch touch = *touched->name ? certdir_touch_of(touched->name) : TOUCH_ALL;
	char *below;

	if (touch == TOUCH_ALL || touch == TOUCH_SPECIAL)
		add_look(looks, mem_strdup(touched->folder), touch == TOUCH_ALL);
	if (touch == TOUCH_ALL || touch == TOUCH_NOTHING)
		return;
	below = folder_of_name(making, touched);
	if (below)
		add_look(looks, below, true);
}

static void look_at_folder(struct making *making, const char *folder, bool deep)
{
	struct found_pairs found = {0};
	int r = look_through(making, folder, deep);

	if (r == 0)
		return;
	found_pairs_unseen(&found, folder, r);
	look_at_all(making, &found);
	found_pairs_fini(&found);
}

static void look_at_stem(struct making *making, const struct certdir_touched *touched)
{
	struct found_pairs found = {0};
	struct presence presence;
	struct forgetting forgetting = {making, &presence};
	int r = certdir_find_stem(making->spec->path, touched->folder, touched->name, &found);

	if (r < 0 && !(*touched->folder && certdir_is_gone(r)))
		found_pairs_unseen(&found, touched->folder, r);
	else
		forget_folder(making, touched->folder);
	look_at_all(making, &found);
	presence_init(&presence, &found);
	if (!found.n_unseen)
		certdir_places_of(touched->folder, touched->name, forget_place, &forgetting);
	free(presence.table);
	found_pairs_fini(&found);
}

static bool is_of_directory(const struct looks *looks)
{
	return looks->n && !*looks->list[0].folder && looks->list[0].deep;
}

struct certdir *certdir_update(const struct certdir_spec *spec, struct certdir *before,
	const struct certdir_touched *touched, size_t n, struct certdir_changes *changes)
{
	struct looks looks = {0};
	struct making making;
	size_t i;

	certdir_making_init(&making, spec, before, changes);
	for (i = 0; i < n; i++)
		plan(&making, &touched[i], &looks);
	looks_end(&looks);
	making.is_full = is_of_directory(&looks) || looks.n_deep > LOOKS_MAX;
	if (making.is_full)
		look_at_folder(&making, "", true);
	for (i = 0; !making.is_full && i < looks.n; i++)
		look_at_folder(&making, looks.list[i].folder, looks.list[i].deep);
	for (i = 0; !making.is_full && i < n; i++)
		if (certdir_touch_of(touched[i].name) == TOUCH_STEM)
			look_at_stem(&making, &touched[i]);
	looks_fini(&looks);
	return certdir_making_end(&making);
}
