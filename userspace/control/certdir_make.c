/* Making versions of a directory of certificates: see certdir.h. */
#define LOG_MODULE "certificates"
#include "control/certdir_making.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include <stdlib.h>
#include <string.h>

enum { FAULTS_TOLD_MAX = 100 };

/* --- changes */
static void add_cert(struct cert ***list, size_t *n, size_t *room, struct cert *cert)
{
	if (*n == *room) {
		*room = *room ? 2 * *room : 16;
		*list = mem_realloc(*list, *room * sizeof(**list));
	}
	(*list)[(*n)++] = cert;
}

void certdir_note_removed(struct making *making, struct cert *cert)
{
	struct certdir_changes *changes = making->changes;

	add_cert(&changes->removed, &changes->n_removed, &making->room_removed, cert_get(cert));
}

/* Takes the caller's count. */
void certdir_note_added(struct making *making, struct cert *cert)
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

void certdir_drop_fault(struct making *making, struct slice file)
{
	struct fault *fault = certdir_find_fault(making->before, file);

	if (fault)
		add_item(&making->removed_faults, &making->n_removed_faults, fault);
}

static void tell_fault(struct making *making, const struct fault *fault)
{
	if (making->changes->n_faults++ < FAULTS_TOLD_MAX && !making->spec->is_quiet)
		log_error("%s: %s: %s%s", making->spec->name, fault->file, fault->text,
			certdir_find(making->before, slice_of(fault->file))
				? ": the one that was good stays"
				: "");
}

static bool is_same_fault(const struct fault *a, const struct fault *b)
{
	return a->identity == b->identity && a->key_identity == b->key_identity &&
	       !strcmp(a->text, b->text);
}

void certdir_note_fault(
	struct making *making, const struct found_pair *found, const char *text, bool is_passing)
{
	struct fault *fault = mem_zalloc(sizeof(*fault) + strlen(found->cert_file) + 1), *old;

	atomic_init(&fault->refs, 1);
	fault->identity = is_passing ? 0 : found->identity;
	fault->key_identity = is_passing ? 0 : found->key_identity;
	fault->text = mem_strdup(text);
	memcpy(fault->file, found->cert_file, strlen(found->cert_file) + 1);
	old = certdir_find_fault(making->before, slice_of(found->cert_file));
	if (old && is_same_fault(old, fault)) {
		certdir_fault_put(fault);
		return;
	}
	certdir_drop_fault(making, slice_of(found->cert_file));
	add_item(&making->added_faults, &making->n_added_faults, fault);
	if (!old || strcmp(old->text, text) != 0)
		tell_fault(making, fault);
}

/* --- places */
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

bool certdir_is_first_look(struct making *making, struct slice file)
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

/* --- the version */
void certdir_making_init(struct making *making, const struct certdir_spec *spec,
	const struct certdir *before, struct certdir_changes *changes)
{
	*making = (struct making){
		.spec = spec,
		.before = before,
		.source = before ? cert_source_get(before->source)
				 : cert_source_new_of(spec->name, spec->path, &spec->password),
		.changes = changes,
		.now_unix_s = clock_unix_s(),
		.root_device = before ? before->root_device : 0,
		.root_inode = before ? before->root_inode : 0,
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

static bool is_another(const struct making *making)
{
	const struct certdir *before = making->before;

	return !before || making->changes->n_removed || making->changes->n_added ||
	       making->n_removed_faults || making->n_added_faults ||
	       making->root_device != before->root_device ||
	       making->root_inode != before->root_inode;
}

struct certdir *certdir_making_end(struct making *making)
{
	const struct certdir_changes *changes = making->changes;
	struct certdir *dir = NULL;
	size_t i;

	if (changes->n_faults > FAULTS_TOLD_MAX && !making->spec->is_quiet)
		log_error("%s: %u more pairs are bad (%u in all)", making->spec->name,
			changes->n_faults - FAULTS_TOLD_MAX, changes->n_faults);
	if (is_another(making)) {
		dir = mem_zalloc(sizeof(*dir));
		atomic_init(&dir->refs, 1);
		dir->source = cert_source_get(making->source);
		dir->pairs = change_pairs(making);
		dir->faults = change_faults(making);
		dir->root_device = making->root_device;
		dir->root_inode = making->root_inode;
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
