/* Making versions of a directory of certificates: see certdir.h. */
#define LOG_MODULE "certificates"
#include "control/certdir_parts.h"

#include "control/certdir_walk.h"
#include "core/log.h"
#include "core/mem.h"
#include "tls/certindex.h"
#include "tls/files.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FAULTS_TOLD_MAX = 100 };

/* One version while it is made. */
struct making {
	const struct certdir_spec *spec;
	const struct certdir *before;
	struct cert_source *source;
	struct certdir_changes *changes;
	size_t room_removed, room_added;
	struct certmap_item *removed_faults, *added_faults; /* the added ones are counted */
	size_t n_removed_faults, n_added_faults;
	/* Places that were looked at; not needed where each is (`is_full`). */
	bool is_full;
	size_t n_met_pairs, n_met_faults; /* of `before`: those whose files were found */
	char **seen;
	size_t n_seen, seen_size;
};

/* --- changes */
static void add_cert(struct cert ***list, size_t *n, size_t *room, struct cert *cert)
{
	if (*n == *room) {
		*room = *room ? 2 * *room : 16;
		*list = mem_realloc(*list, *room * sizeof(**list));
	}
	(*list)[(*n)++] = cert;
}

static void note_removed(struct making *making, struct cert *cert)
{
	struct certdir_changes *changes = making->changes;

	add_cert(&changes->removed, &changes->n_removed, &making->room_removed, cert_get(cert));
}

/* Takes the caller's count. */
static void note_added(struct making *making, struct cert *cert)
{
	struct certdir_changes *changes = making->changes;

	add_cert(&changes->added, &changes->n_added, &making->room_added, cert);
}

static void put_all(struct cert **list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		cert_put(list[i]);
	free(list);
}

void certdir_changes_fini(struct certdir_changes *changes)
{
	put_all(changes->removed, changes->n_removed);
	put_all(changes->added, changes->n_added);
	*changes = (struct certdir_changes){0};
}

static void add_item(struct certmap_item **list, size_t *n, void *value)
{
	*list = mem_realloc(*list, (*n + 1) * sizeof(**list));
	(*list)[(*n)++] = (struct certmap_item){.value = value};
}

static void drop_fault(struct making *making, struct slice file)
{
	struct fault *fault = certdir_find_fault(making->before, file);

	if (fault)
		add_item(&making->removed_faults, &making->n_removed_faults, fault);
}

static void tell_fault(struct making *making, const struct fault *fault)
{
	if (making->changes->n_faults++ < FAULTS_TOLD_MAX)
		log_error("%s: %s: %s", making->spec->name, fault->file, fault->text);
}

static void note_fault(struct making *making, const struct found_pair *found, const char *text)
{
	struct fault *fault = mem_zalloc(sizeof(*fault) + strlen(found->cert_file) + 1);

	atomic_init(&fault->refs, 1);
	fault->identity = found->identity;
	fault->key_identity = found->key_identity;
	fault->text = mem_strdup(text);
	memcpy(fault->file, found->cert_file, strlen(found->cert_file) + 1);
	drop_fault(making, slice_of(found->cert_file));
	add_item(&making->added_faults, &making->n_added_faults, fault);
	tell_fault(making, fault);
}

/* --- one pair */
static size_t seen_place(const struct making *making, struct slice file)
{
	static const struct hash_key key = {5, 6};
	size_t at = (size_t)hash_bytes(&key, file.ptr, file.len) & (making->seen_size - 1);

	while (making->seen[at] && !slice_eq(slice_of(making->seen[at]), file))
		at = (at + 1) & (making->seen_size - 1);
	return at;
}

static void seen_grow(struct making *making)
{
	char **old = making->seen;
	size_t size = making->seen_size, i;

	making->seen_size = size ? 2 * size : 64;
	making->seen = mem_zalloc(making->seen_size * sizeof(char *));
	for (i = 0; i < size; i++)
		if (old[i])
			making->seen[seen_place(making, slice_of(old[i]))] = old[i];
	free(old);
}

/* Two names may touch one pair, and a folder has pairs that were touched themselves. */
static bool is_first_look(struct making *making, struct slice file)
{
	size_t at;

	if (making->is_full)
		return true;
	if (2 * making->n_seen >= making->seen_size)
		seen_grow(making);
	at = seen_place(making, file);
	if (making->seen[at])
		return false;
	making->seen[at] = mem_strndup(file.ptr, file.len);
	making->n_seen++;
	return true;
}

static bool is_same_files(const struct cert *cert, const struct found_pair *found)
{
	return cert_identity(cert) == found->identity &&
	       cert_key_identity(cert) == found->key_identity &&
	       slice_eq(cert_key_file(cert), slice_of(found->key_file));
}

static struct cert *from_index(struct making *making, const struct found_pair *found)
{
	struct cert *cert;

	if (making->before || !making->spec->index)
		return NULL;
	cert = certindex_find(making->spec->index, making->source, making->spec->path,
		slice_of(found->cert_file));
	if (cert && !is_same_files(cert, found)) {
		cert_put(cert);
		return NULL;
	}
	return cert;
}

/* At the first start there is nothing that could be lost: keys are looked at later. */
static int read_pair(struct making *making, const struct found_pair *found, struct cert **ret_cert,
	struct err *err)
{
	struct cert *cert;
	int r;

	making->changes->n_read++;
	r = cert_read(making->source, found->cert_file, found->key_file, &cert, err);
	if (r < 0)
		return r;
	r = making->before || making->spec->is_thorough ? cert_check(cert, err) : 0;
	if (r == 0)
		*ret_cert = cert;
	else
		cert_put(cert);
	return r;
}

static void take_pair(
	struct making *making, const struct found_pair *found, struct cert *old, struct cert *cert)
{
	drop_fault(making, slice_of(found->cert_file));
	if (old)
		note_removed(making, old);
	note_added(making, cert);
}

static bool is_gone(const struct making *making, const struct found_pair *found)
{
	char *path = mem_printf("%s/%s", making->spec->path, found->cert_file);
	bool is_gone = !tls_file_identity_at(path);

	free(path);
	return is_gone;
}

static void look_at(struct making *making, const struct found_pair *found)
{
	struct slice file = slice_of(found->cert_file);
	struct cert *old = certdir_find(making->before, file), *cert;
	struct fault *fault = certdir_find_fault(making->before, file);
	struct err err;
	int r;

	if (!is_first_look(making, file))
		return;
	making->n_met_pairs += old != NULL;
	making->n_met_faults += fault != NULL;
	if (old && is_same_files(old, found)) {
		if (fault)
			drop_fault(making, slice_of(found->cert_file));
		return;
	}
	if (fault && fault->identity == found->identity &&
		fault->key_identity == found->key_identity &&
		(!found->fault || !strcmp(found->fault, fault->text)))
		return;
	cert = from_index(making, found);
	r = cert ? 0 : found->fault ? err_set(&err, -EINVAL, "%s", found->fault) : 1;
	if (r == 1)
		r = read_pair(making, found, &cert, &err);
	if (r == 0)
		take_pair(making, found, old, cert);
	else if (r == -ENOENT && is_gone(making, found))
		return; /* since it was found: somebody will tell */
	else if (making->spec->is_patient)
		making->changes->n_unsettled++;
	else
		note_fault(making, found, err.text);
}

/* Neither certificate nor fault is there any more. */
static void forget(struct making *making, struct slice file)
{
	struct cert *old = certdir_find(making->before, file);

	if (!is_first_look(making, file))
		return;
	if (old)
		note_removed(making, old);
	drop_fault(making, file);
}

/* --- the version */
static void making_init(struct making *making, const struct certdir_spec *spec,
	const struct certdir *before, struct certdir_changes *changes)
{
	*making = (struct making){
		.spec = spec,
		.before = before,
		.source = before ? cert_source_get(before->source)
				 : cert_source_new(spec->name, spec->path, NULL),
		.changes = changes,
	};
}

static struct certmap *change_pairs(const struct making *making)
{
	const struct certdir_changes *changes = making->changes;
	struct certmap_item *removed = mem_zalloc((changes->n_removed + 1) * sizeof(*removed));
	struct certmap_item *added = mem_zalloc((changes->n_added + 1) * sizeof(*added));
	struct certmap *before = making->before ? certmap_get(making->before->pairs)
						: certmap_new(&certdir_pair_ops, changes->n_added);
	struct certmap *pairs;
	size_t i;

	for (i = 0; i < changes->n_removed; i++)
		removed[i].value = changes->removed[i];
	for (i = 0; i < changes->n_added; i++)
		added[i].value = changes->added[i];
	pairs = certmap_change(before, removed, changes->n_removed, added, changes->n_added);
	certmap_put(before);
	free(removed);
	free(added);
	return pairs;
}

static struct certmap *change_faults(const struct making *making)
{
	struct certmap *before = making->before
					 ? certmap_get(making->before->faults)
					 : certmap_new(&certdir_fault_ops, making->n_added_faults);
	struct certmap *faults = certmap_change(before, making->removed_faults,
		making->n_removed_faults, making->added_faults, making->n_added_faults);

	certmap_put(before);
	return faults;
}

static struct certdir *making_end(struct making *making)
{
	const struct certdir_changes *changes = making->changes;
	struct certdir *dir = NULL;
	size_t i;

	if (changes->n_faults > FAULTS_TOLD_MAX)
		log_error("%s: %u more pairs are bad (%u in all)", making->spec->name,
			changes->n_faults - FAULTS_TOLD_MAX, changes->n_faults);
	if (!making->before || changes->n_removed || changes->n_added || making->n_removed_faults ||
		making->n_added_faults) {
		dir = mem_zalloc(sizeof(*dir));
		atomic_init(&dir->refs, 1);
		dir->source = cert_source_get(making->source);
		dir->pairs = change_pairs(making);
		dir->faults = change_faults(making);
	}
	for (i = 0; i < making->n_added_faults; i++)
		certdir_fault_put(making->added_faults[i].value);
	for (i = 0; i < making->seen_size; i++)
		free(making->seen[i]);
	free(making->seen);
	free(making->added_faults);
	free(making->removed_faults);
	cert_source_put(making->source);
	return dir ? dir : certdir_get((struct certdir *)making->before);
}

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

static bool is_below(struct slice file, const char *folder, bool deep)
{
	size_t len = strlen(folder);

	if (len && (file.len <= len || memcmp(file.ptr, folder, len) != 0 || file.ptr[len] != '/'))
		return false;
	if (len)
		file = (struct slice){file.ptr + len + 1, file.len - len - 1};
	return deep || !memchr(file.ptr, '/', file.len);
}

/* Then nothing can be missing: what a reload finds but for a few pairs. */
static bool has_met_all(const struct making *making)
{
	return making->is_full && making->n_met_pairs == certdir_len(making->before) &&
	       making->n_met_faults == certdir_faults(making->before);
}

static bool is_missing(
	const struct presence *presence, struct slice file, const char *folder, bool deep)
{
	return is_below(file, folder, deep) && !presence->table[presence_place(presence, file)];
}

/* What `before` has in a folder and was not found. */
static void forget_missing(
	struct making *making, const struct found_pairs *found, const char *folder, bool deep)
{
	struct certdir_cursor cursor = {0};
	struct presence presence;
	struct fault *fault;
	struct cert *cert;

	if (!making->before || has_met_all(making))
		return;
	presence_init(&presence, found);
	while ((cert = certdir_next_value(making->before->pairs, &cursor)))
		if (is_missing(&presence, cert_file(cert), folder, deep))
			forget(making, cert_file(cert));
	cursor = (struct certdir_cursor){0};
	while ((fault = certdir_next_value(making->before->faults, &cursor)))
		if (is_missing(&presence, slice_of(fault->file), folder, deep) &&
			!certdir_find(making->before, slice_of(fault->file)))
			forget(making, slice_of(fault->file));
	free(presence.table);
}

static void folder_seen(void *arg, const char *folder)
{
	const struct certdir_spec *spec = arg;

	if (spec->folder_seen)
		spec->folder_seen(spec->arg, spec->path, folder);
}

/* -ENOENT counts as an empty folder, but for the directory itself. */
static int look_through(struct making *making, const char *folder, bool deep)
{
	struct found_pairs found = {0};
	size_t i;
	int r = certdir_walk(
		making->spec->path, folder, deep, folder_seen, (void *)making->spec, &found);

	if (r == 0 || (*folder && (r == -ENOENT || r == -ENOTDIR))) {
		for (i = 0; i < found.n; i++)
			look_at(making, &found.list[i]);
		forget_missing(making, &found, folder, deep);
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

	making_init(&making, spec, before, changes);
	making.is_full = true;
	r = look_through(&making, "", true);
	dir = making_end(&making);
	if (r < 0) {
		certdir_put(dir);
		return err_set(
			err, r, "cannot read the directory %s: %s", spec->path, strerror(-r));
	}
	*ret_dir = dir;
	return 0;
}

struct forgetting {
	struct making *making;
	const struct found_pairs *found;
};

static void forget_place(void *arg, const char *file)
{
	struct forgetting *forgetting = arg;
	size_t i;

	for (i = 0; i < forgetting->found->n; i++)
		if (!strcmp(forgetting->found->list[i].cert_file, file))
			return;
	forget(forgetting->making, slice_of(file));
}

static void look_at_stem(struct making *making, const struct certdir_touched *touched)
{
	struct found_pairs found = {0};
	struct forgetting forgetting = {making, &found};
	size_t i;

	certdir_find_stem(making->spec->path, touched->folder, touched->name, &found);
	for (i = 0; i < found.n; i++)
		look_at(making, &found.list[i]);
	certdir_places_of(touched->folder, touched->name, forget_place, &forgetting);
	found_pairs_fini(&found);
}

static void look_below(struct making *making, const struct certdir_touched *touched)
{
	char *folder = *touched->folder ? mem_printf("%s/%s", touched->folder, touched->name)
					: mem_strdup(touched->name);
	char *path = mem_printf("%s/%s", making->spec->path, folder);
	struct stat about;

	if (touched->was_folder || (stat(path, &about) == 0 && S_ISDIR(about.st_mode)))
		look_through(making, folder, true);
	free(path);
	free(folder);
}

static void look_again(struct making *making, const struct certdir_touched *touched)
{
	if (!*touched->name) {
		look_through(making, touched->folder, true);
		return;
	}
	switch (certdir_touch_of(touched->name)) {
	case TOUCH_NOTHING:
		break;
	case TOUCH_STEM:
		look_at_stem(making, touched);
		break;
	case TOUCH_FOLDER:
		look_through(making, touched->folder, false);
		break;
	case TOUCH_BELOW:
		look_below(making, touched);
		break;
	}
}

struct certdir *certdir_update(const struct certdir_spec *spec, struct certdir *before,
	const struct certdir_touched *touched, size_t n, struct certdir_changes *changes)
{
	struct making making;
	size_t i;

	making_init(&making, spec, before, changes);
	for (i = 0; i < n; i++)
		look_again(&making, &touched[i]);
	return making_end(&making);
}
