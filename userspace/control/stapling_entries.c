/* Certificates with their OCSP responses: see stapling_entries.h. Loader thread. */
#include "control/stapling_parts.h"

#include "control/config.h"
#include "core/clock.h"
#include "core/mem.h"
#include "tls/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CERTS_AT_ONCE = 2048 }; /* each a look for a file */

static int compare_fingerprints(const void *a, const void *b)
{
	return memcmp(a, b, CERT_FINGERPRINT_BYTES); /* the first member */
}

static int compare_with_entry(const void *fingerprint, const void *entry)
{
	return memcmp(fingerprint, (*(struct stapling_entry *const *)entry)->fingerprint,
		CERT_FINGERPRINT_BYTES);
}

struct stapling_entry *stapling_find(
	const struct stapling_entries *entries, const uint8_t *fingerprint)
{
	struct stapling_entry **found = NULL;

	if (entries->n)
		found = bsearch(fingerprint, entries->list, entries->n, sizeof(*entries->list),
			compare_with_entry);
	return found ? *found : NULL;
}

/* --- files */
void stapling_read_file(struct stapling_entries *entries, struct stapling_entry *entry)
{
	uint64_t identity = tls_file_identity_at(entry->file);
	bool had_staple = entry->staple;
	uint8_t *bytes;
	struct err err;
	size_t len;
	int r;

	if (identity && identity == entry->file_identity)
		return;
	entry->file_identity = 0;
	if (tls_file_read(entry->file, &bytes, &len, &err) < 0) {
		stapling_set_error(entry, err.text, had_staple);
		return;
	}
	r = stapling_take(entries, entry, bytes, len);
	if (r != -EAGAIN)
		entry->file_identity = identity;
	if (r == -EKEYREVOKED && entry->fetches)
		stapling_keep(entries, entry, bytes, len); /* the file may go */
	if (r < 0) {
		err_set(&err, 0, "%s", entry->error);
		err_context(&err, 0, "%s", entry->file);
		stapling_set_error(entry, err.text, had_staple);
	}
	tls_file_free(bytes, len);
}

/* --- which there are */
static void entry_free(struct stapling_entry *entry)
{
	uint32_t i;

	for (i = 0; i < entry->n_certs; i++)
		cert_put(entry->certs[i]);
	free(entry->certs);
	free(entry->file);
	staple_put(entry->staple);
	free(entry);
}

static void forget_seen(struct stapling_entries *entries)
{
	size_t i;

	for (i = 0; i < entries->n_seen; i++) {
		if (entries->seen[i].cert)
			cert_put(entries->seen[i].cert);
		free(entries->seen[i].file);
	}
	free(entries->seen);
	entries->seen = NULL;
	entries->n_seen = entries->room_seen = 0;
}

void stapling_entries_fini(struct stapling_entries *entries)
{
	size_t i;

	for (i = 0; i < entries->n; i++)
		entry_free(entries->list[i]);
	forget_seen(entries);
	for (i = 0; i < entries->n_old; i++)
		staple_put(entries->old[i]);
	free(entries->old);
	free(entries->list);
	free(entries->state_dir);
	*entries = (struct stapling_entries){0};
}

/* "/certs/eu/a.ocsp" of "eu/a.crt"; NULL: there is none. */
static char *file_of(const struct cert *cert, const struct config_certificate *config)
{
	struct slice file = cert_file(cert);
	const char *dot;
	char *path;

	if (config->ocsp_path)
		return mem_strdup(config->ocsp_path);
	if (!config->directory_path)
		return NULL;
	dot = memrchr(file.ptr, '.', file.len);
	path = mem_printf("%s/%.*s.ocsp", config->directory_path,
		(int)(dot ? dot - file.ptr : (ptrdiff_t)file.len), file.ptr);
	if (tls_file_identity_at(path))
		return path;
	free(path);
	return NULL;
}

static bool does_fetch(const struct cert *cert, const struct config_certificate *config)
{
	return config->ocsp == CONFIG_OCSP_ON ||
	       (config->ocsp == CONFIG_OCSP_AUTO && cert_facts(cert)->must_staple);
}

static void see(struct stapling_entries *entries, struct cert *cert,
	const struct config_certificate *config)
{
	bool fetches = does_fetch(cert, config);
	char *file = file_of(cert, config);
	struct stapling_seen *seen;

	if (!file && !fetches && !cert_facts(cert)->must_staple)
		return;
	if (entries->n_seen == entries->room_seen) {
		entries->room_seen = entries->room_seen ? 2 * entries->room_seen : 16;
		entries->seen =
			mem_realloc(entries->seen, entries->room_seen * sizeof(*entries->seen));
	}
	seen = &entries->seen[entries->n_seen++];
	*seen = (struct stapling_seen){.cert = cert_get(cert), .file = file, .fetches = fetches};
	cert_fingerprint(cert, seen->fingerprint);
}

/* The entry of `n` that are the same certificate takes over what they hold. */
static void fill(struct stapling_entry *entry, struct stapling_seen *seen, size_t n)
{
	bool fetched = entry->fetches;
	char *file = NULL;
	size_t i;

	for (i = 0; i < entry->n_certs; i++)
		cert_put(entry->certs[i]);
	entry->certs = mem_realloc(entry->certs, n * sizeof(*entry->certs));
	entry->n_certs = (uint32_t)n;
	entry->fetches = false;
	for (i = 0; i < n; i++) {
		entry->certs[i] = seen[i].cert;
		entry->fetches |= seen[i].fetches;
		seen[i].cert = NULL;
		if (file)
			continue;
		file = seen[i].file;
		seen[i].file = NULL;
	}
	if (!file != !entry->file || (file && strcmp(file, entry->file) != 0) ||
		fetched != entry->fetches) {
		entry->file_identity = 0;
		entry->due_unix_s = 0; /* as if it were new */
	}
	free(entry->file);
	entry->file = file;
}

static void drop(struct stapling_entries *entries, struct stapling_entry *entry)
{
	struct staple *staple = entry->staple;

	entry->staple = NULL;
	stapling_attach(entries, entry);
	staple_put(staple);
	entries->is_cleaned &= !entry->fetches;
	entry_free(entry);
}

static struct stapling_entry *taken_over(
	struct stapling_entries *entries, size_t *at, struct stapling_seen *seen, size_t n)
{
	struct stapling_entry *entry = NULL;
	int order = -1;

	while (*at < entries->n && order < 0) {
		order = memcmp(entries->list[*at]->fingerprint, seen->fingerprint,
			sizeof(seen->fingerprint));
		if (order < 0)
			drop(entries, entries->list[(*at)++]);
	}
	if (order == 0)
		entry = entries->list[(*at)++];
	else
		entry = mem_zalloc(sizeof(*entry));
	memcpy(entry->fingerprint, seen->fingerprint, sizeof(entry->fingerprint));
	fill(entry, seen, n);
	return entry;
}

/* Files are looked at, and responses kept from before; who must be asked is due at once. */
static void prepare(struct stapling_entries *entries, struct stapling_entry *entry, bool is_new)
{
	int64_t now_unix_s = clock_unix_s();

	if (entry->file)
		stapling_read_file(entries, entry);
	else if (entry->fetches && is_new)
		stapling_read_kept(entries, entry);
	else if (!entry->fetches && !entry->staple)
		stapling_set_error(entry,
			"it must have one, and has no file with one (certificates[].ocsp is off)",
			false);
	stapling_attach(entries, entry);
	if (!entry->is_asked && (is_new || entry->file || !entry->fetches))
		entry->due_unix_s = stapling_next_try(entry, now_unix_s);
	if (*entry->error || entry->staple)
		stapling_tell(entry);
}

static void merge(struct stapling_entries *entries)
{
	struct stapling_entry **list = mem_alloc((entries->n_seen + 1) * sizeof(*list));
	size_t i, end, at = 0, n = 0;

	if (entries->n_seen)
		qsort(entries->seen, entries->n_seen, sizeof(*entries->seen), compare_fingerprints);
	for (i = 0; i < entries->n_seen; i = end) {
		for (end = i + 1; end < entries->n_seen &&
				  !compare_fingerprints(&entries->seen[i], &entries->seen[end]);)
			end++;
		list[n++] = taken_over(entries, &at, &entries->seen[i], end - i);
	}
	while (at < entries->n)
		drop(entries, entries->list[at++]);
	free(entries->list);
	entries->list = list;
	entries->n = n;
	for (i = 0; i < n; i++)
		prepare(entries, list[i], !list[i]->due_unix_s);
	forget_seen(entries);
	if (!entries->is_cleaned)
		stapling_clean(entries);
}

static void set_state_dir(struct stapling_entries *entries, const struct certs_in_use *certs)
{
	if (!entries->state_dir)
		entries->state_dir = mem_strdup(certs->config->state_dir_path);
}

bool stapling_entries_look(struct stapling_entries *entries, const struct certs_in_use *certs,
	struct certs_cursor *cursor)
{
	struct cert *cert = NULL;
	uint32_t n = 0;

	set_state_dir(entries, certs);
	while (n++ < CERTS_AT_ONCE && (cert = certs_in_use_next(certs, cursor)))
		see(entries, cert, certs->entries[cursor->entry].config);
	if (cert)
		return false;
	merge(entries);
	return true;
}

/* --- before they serve */

/* The certificate of no entry. */
static bool find_staple(struct stapling_entries *entries, struct cert *cert,
	const struct config_certificate *config)
{
	struct stapling_entry alone = {
		.certs = &cert,
		.n_certs = 1,
		.file = file_of(cert, config),
		.fetches = does_fetch(cert, config),
	};
	bool is_found;

	cert_fingerprint(cert, alone.fingerprint);
	if (alone.file)
		stapling_read_file(entries, &alone);
	else if (alone.fetches)
		stapling_read_kept(entries, &alone);
	is_found = alone.staple;
	staple_put(alone.staple); /* the certificate has its own */
	free(alone.file);
	return is_found;
}

/* True: it must have one, nothing was known of it, and it has none. Of the others a directory may
 * have a hundred thousand, which can do without one until the look. */
static bool make_ready(struct stapling_entries *entries, struct cert *cert,
	const struct config_certificate *config)
{
	bool is_must = cert_facts(cert)->must_staple;
	uint8_t fingerprint[CERT_FINGERPRINT_BYTES];
	struct stapling_entry *entry;

	if (cert_staple(cert) || (!is_must && config->directory_path))
		return false;
	cert_fingerprint(cert, fingerprint);
	entry = stapling_find(entries, fingerprint);
	if (!entry)
		return is_must && !find_staple(entries, cert, config);
	if (entry->staple)
		stapling_give_back(entries, cert_staple_exchange(cert, staple_get(entry->staple)));
	return false;
}

bool stapling_entries_ready(struct stapling_entries *entries, const struct certs_in_use *certs)
{
	struct certs_cursor cursor = {0};
	bool is_missing = false;
	struct cert *cert;

	set_state_dir(entries, certs);
	while ((cert = certs_in_use_next(certs, &cursor)))
		is_missing |= make_ready(entries, cert, certs->entries[cursor.entry].config);
	return is_missing;
}
