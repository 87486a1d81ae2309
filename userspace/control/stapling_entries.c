/* Certificates with their OCSP responses: see stapling_entries.h. Loader thread. */
#define LOG_MODULE "ocsp"
#include "control/stapling_entries.h"

#include "control/config.h"
#include "control/disk.h"
#include "core/clock.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/mem.h"
#include "tls/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CERTS_AT_ONCE = 2048, /* each a look for a file */
	RESPONDERS_AT_ONCE = 2048, /* certificates whose responder is looked for */
	ASKED_OF_ONE_MAX = 2, /* at a time: a slow responder leaves room for others */
	REST_MAX_S = 300, /* of a silent responder */
	HEX_BYTES = 2 * CERT_FINGERPRINT_BYTES + 1,
};

static const char folder_name[] = "ocsp";

/* --- the log */
static const char *name_of(const struct stapling_entry *entry, char *buf)
{
	return cert_name(entry->certs[0], buf);
}

static bool is_must(const struct stapling_entry *entry)
{
	return cert_facts(entry->certs[0])->must_staple;
}

/* Once for each reason. */
static void tell(struct stapling_entry *entry)
{
	char name[CERT_NAME_BYTES];

	if (entry->is_told)
		return;
	entry->is_told = true;
	name_of(entry, name);
	if (!*entry->error)
		log_info("certificate %s has an OCSP response", name);
	else if (entry->staple)
		log_warn("the OCSP response of certificate %s is not renewed yet: %s", name,
			entry->error);
	else if (is_must(entry))
		log_error(
			"certificate %s must have an OCSP response and has none: clients that look "
			"refuse it: %s",
			name, entry->error);
	else
		log_warn("certificate %s has no OCSP response: %s", name, entry->error);
}

static void set_error(struct stapling_entry *entry, const char *text, bool had_staple)
{
	if (!strcmp(entry->error, text) && had_staple == (entry->staple != NULL))
		return;
	snprintf(entry->error, sizeof(entry->error), "%s", text);
	entry->is_told = false;
}

/* --- staples */
static void give_back(struct stapling_entries *entries, struct staple *staple)
{
	if (!staple)
		return;
	entries->old = mem_realloc(entries->old, (entries->n_old + 1) * sizeof(*entries->old));
	entries->old[entries->n_old++] = staple;
}

static void attach(struct stapling_entries *entries, const struct stapling_entry *entry)
{
	uint32_t i;

	for (i = 0; i < entry->n_certs; i++)
		if (cert_staple(entry->certs[i]) != entry->staple)
			give_back(
				entries, cert_staple_exchange(entry->certs[i],
						 entry->staple ? staple_get(entry->staple) : NULL));
}

/* Takes `staple`. */
static void set_staple(
	struct stapling_entries *entries, struct stapling_entry *entry, struct staple *staple)
{
	struct staple *before = entry->staple;

	entry->staple = staple;
	attach(entries, entry);
	staple_put(before);
}

static int64_t next_try(const struct stapling_entry *entry, int64_t now_unix_s)
{
	int64_t at_unix_s, end_unix_s = INT64_MAX;
	uint32_t random;

	if (entry->staple)
		end_unix_s = entry->staple->next_update_unix_s;
	if (!entry->fetches || entry->file)
		return end_unix_s;
	hash_random(&random, sizeof(random));
	at_unix_s = ocsp_next_try_unix_s(entry->staple, now_unix_s, entry->failures, random);
	return at_unix_s < end_unix_s ? at_unix_s : end_unix_s;
}

/* 0: `der` is good, and stapled. -EKEYREVOKED: it is good, and takes the staple off. Else what is
 * there stays as long as it is good. */
static int take(struct stapling_entries *entries, struct stapling_entry *entry, const uint8_t *der,
	size_t len)
{
	bool had_staple = entry->staple;
	struct staple *staple = NULL;
	struct err err = {""};
	int64_t said_unix_s = 0;
	int r = ocsp_check(entry->certs[0], der, len, clock_unix_s(), &staple, &said_unix_s, &err);

	if ((r == 0 || r == -EKEYREVOKED) && said_unix_s < entry->said_unix_s) {
		staple_put(staple);
		r = err_set(&err, -ESTALE, "the OCSP response is older than one before%s",
			entry->is_revoked ? ", which says that its CA has revoked it" : "");
	}
	if (r == 0 || r == -EKEYREVOKED) {
		entry->is_revoked = r < 0;
		entry->said_unix_s = said_unix_s;
		set_staple(entries, entry, staple);
	}
	set_error(entry, err.text, had_staple);
	return r;
}

/* --- kept on disk */
static void hex_of(const uint8_t *fingerprint, char *ret_hex)
{
	size_t i;

	for (i = 0; i < CERT_FINGERPRINT_BYTES; i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", fingerprint[i]);
}

static int open_folder(
	const struct stapling_entries *entries, bool make, struct disk *ret_disk, struct err *err)
{
	struct disk parent;
	char *path;
	int r = disk_open(&parent, entries->state_dir, make, &disk_kernel_calls, err);

	*ret_disk = (struct disk){.fd = -1};
	disk_close(&parent);
	if (r < 0)
		return r;
	path = mem_printf("%s/%s", entries->state_dir, folder_name);
	r = disk_open(ret_disk, path, make, &disk_kernel_calls, err);
	free(path);
	return r;
}

/* That it is revoked, too: what said that it is good may be in date for days. */
static void keep(struct stapling_entries *entries, const struct stapling_entry *entry,
	const uint8_t *der, size_t der_len)
{
	char hex[HEX_BYTES];
	struct disk disk;
	struct err err;
	int r = open_folder(entries, true, &disk, &err);

	hex_of(entry->fingerprint, hex);
	if (r == 0) {
		r = disk_write(&disk, hex, der, der_len, &err);
		if (r < 0)
			disk_remove(&disk, hex);
	}
	disk_close(&disk);
	if (r < 0 && !entries->has_failed)
		log_warn("OCSP responses are fetched anew after a restart: %s", err.text);
	entries->has_failed = r < 0;
}

static void read_kept(struct stapling_entries *entries, struct stapling_entry *entry)
{
	char hex[HEX_BYTES], *bytes = NULL;
	struct disk disk;
	struct err err;
	size_t len = 0;
	int r = open_folder(entries, false, &disk, &err);

	hex_of(entry->fingerprint, hex);
	if (r == 0)
		r = disk_read(&disk, hex, STAPLE_BYTES_MAX, &bytes, &len, &err);
	disk_close(&disk);
	if (r < 0)
		return;
	r = take(entries, entry, (const uint8_t *)bytes, len);
	if (r < 0 && r != -EKEYREVOKED)
		entry->error[0] = '\0'; /* another one is fetched */
	free(bytes);
}

static int compare_fingerprints(const void *a, const void *b)
{
	return memcmp(a, b, CERT_FINGERPRINT_BYTES); /* the first member */
}

static int compare_with_entry(const void *fingerprint, const void *entry)
{
	return memcmp(fingerprint, (*(struct stapling_entry *const *)entry)->fingerprint,
		CERT_FINGERPRINT_BYTES);
}

static struct stapling_entry *find(
	const struct stapling_entries *entries, const uint8_t *fingerprint)
{
	struct stapling_entry **found = NULL;

	if (entries->n)
		found = bsearch(fingerprint, entries->list, entries->n, sizeof(*entries->list),
			compare_with_entry);
	return found ? *found : NULL;
}

struct cleaning {
	const struct stapling_entries *entries;
	struct disk *disk;
};

static void remove_unknown(void *arg, const char *name)
{
	struct cleaning *cleaning = arg;
	uint8_t fingerprint[CERT_FINGERPRINT_BYTES];
	unsigned int byte;
	size_t i;

	if (strlen(name) != HEX_BYTES - 1)
		return;
	for (i = 0; i < CERT_FINGERPRINT_BYTES; i++) {
		if (sscanf(name + 2 * i, "%2x", &byte) != 1)
			return;
		fingerprint[i] = (uint8_t)byte;
	}
	if (!find(cleaning->entries, fingerprint))
		disk_remove(cleaning->disk, name);
}

/* At the start and now and then: of certificates that are no more. */
static void clean(struct stapling_entries *entries)
{
	struct disk disk;
	struct err err;
	struct cleaning cleaning = {entries, &disk};
	int r = open_folder(entries, false, &disk, &err);

	if (r == 0)
		r = disk_list(&disk, remove_unknown, &cleaning, &err);
	if (r < 0 && r != -ENOENT)
		log_warn("old OCSP responses stay: %s", err.text);
	disk_close(&disk);
	entries->is_cleaned = true;
}

/* --- files */
static void read_file(struct stapling_entries *entries, struct stapling_entry *entry)
{
	uint64_t identity = tls_file_identity_at(entry->file);
	bool had_staple = entry->staple;
	uint8_t *bytes;
	struct err err;
	size_t len;
	int r;

	if (identity && identity == entry->file_identity)
		return;
	entry->file_identity = identity;
	if (tls_file_read(entry->file, &bytes, &len, &err) < 0) {
		set_error(entry, err.text, had_staple);
		return;
	}
	r = take(entries, entry, bytes, len);
	if (r == -EKEYREVOKED && entry->fetches)
		keep(entries, entry, bytes, len); /* the file may go */
	if (r < 0) {
		err_set(&err, 0, "%s", entry->error);
		err_context(&err, 0, "%s", entry->file);
		set_error(entry, err.text, had_staple);
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
	attach(entries, entry);
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
		read_file(entries, entry);
	else if (entry->fetches && is_new)
		read_kept(entries, entry);
	else if (!entry->fetches && !entry->staple)
		set_error(entry,
			"it must have one, and has no file with one (certificates[].ocsp is off)",
			false);
	attach(entries, entry);
	if (!entry->is_asked && (is_new || entry->file || !entry->fetches))
		entry->due_unix_s = next_try(entry, now_unix_s);
	if (*entry->error || entry->staple)
		tell(entry);
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
		clean(entries);
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
		read_file(entries, &alone);
	else if (alone.fetches)
		read_kept(entries, &alone);
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
	entry = find(entries, fingerprint);
	if (!entry)
		return is_must && !find_staple(entries, cert, config);
	if (entry->staple)
		give_back(entries, cert_staple_exchange(cert, staple_get(entry->staple)));
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

/* --- what is due */
static void note_failure(
	struct stapling_entries *entries, struct stapling_entry *entry, bool had_staple)
{
	entries->failed++;
	entry->failures++;
	if (had_staple && !entry->staple)
		entry->is_told = false;
}

void stapling_entries_failed(
	struct stapling_entries *entries, struct stapling_entry *entry, const char *error)
{
	entry->is_asked = false;
	set_error(entry, error, entry->staple != NULL);
	note_failure(entries, entry, entry->staple != NULL);
	entry->due_unix_s = next_try(entry, clock_unix_s());
	tell(entry);
}

void stapling_entries_answer(struct stapling_entries *entries, const uint8_t *fingerprint,
	const uint8_t *der, size_t len, const char *error)
{
	struct stapling_entry *entry = find(entries, fingerprint);
	int r;

	if (!entry || !entry->is_asked)
		return;
	entry->is_asked = false;
	if (entry->file) { /* came meanwhile, and counts */
		entry->due_unix_s = next_try(entry, clock_unix_s());
		return;
	}
	if (*error) {
		stapling_entries_failed(entries, entry, error);
		return;
	}
	r = take(entries, entry, der, len);
	if (r == 0 || r == -EKEYREVOKED)
		keep(entries, entry, der, len);
	if (r == 0) {
		entries->fetched++;
		entry->failures = 0;
	} else {
		note_failure(entries, entry, entry->staple != NULL);
	}
	entry->due_unix_s = next_try(entry, clock_unix_s());
	tell(entry);
}

static void end_staple(struct stapling_entries *entries, struct stapling_entry *entry)
{
	set_staple(entries, entry, NULL);
	if (!*entry->error)
		set_error(entry, "the one that was there is out of date", true);
	entry->is_told = false;
	tell(entry);
}

/* --- responders: those who are slow or silent do not keep others from being asked */
static uint32_t number_of(const char *url)
{
	static const struct hash_key key = {0};
	const char *end = strstr(url, "://");

	end = strchrnul(end ? end + 3 : url, '/');
	return 1 + (uint32_t)(hash_bytes(&key, url, (size_t)(end - url)) % STAPLING_RESPONDERS);
}

static bool find_responder(struct stapling_entries *entries, struct stapling_entry *entry)
{
	char url[STAPLE_URL_BYTES];
	struct err err;

	if (ocsp_responder(entry->certs[0], url, &err) == 0)
		entry->responder = number_of(url);
	else
		stapling_entries_failed(entries, entry, err.text);
	return entry->responder;
}

static bool may_be_asked(const struct stapling_responder *responder, int64_t now_unix_s)
{
	return responder->n_asked < ASKED_OF_ONE_MAX && responder->rests_until_unix_s <= now_unix_s;
}

void stapling_entries_ask(struct stapling_entries *entries, struct stapling_entry *entry)
{
	entry->is_asked = true;
	entries->responders[entry->responder].n_asked++;
}

void stapling_entries_told(struct stapling_entries *entries, uint32_t number, bool is_silent)
{
	struct stapling_responder *responder = &entries->responders[number];
	int64_t now_unix_s = clock_unix_s(), until_unix_s;

	responder->n_asked--;
	if (!is_silent) {
		responder->failures = 0;
		responder->rests_until_unix_s = 0;
	} else if (responder->rests_until_unix_s <= now_unix_s) { /* not one of several at once */
		until_unix_s = ocsp_next_try_unix_s(NULL, now_unix_s, ++responder->failures, 0);
		if (until_unix_s > now_unix_s + REST_MAX_S)
			until_unix_s = now_unix_s + REST_MAX_S;
		responder->rests_until_unix_s = until_unix_s;
	}
}

static bool is_fetched(const struct stapling_entry *entry)
{
	return entry->fetches && !entry->file;
}

struct stapling_entry *stapling_entries_due(struct stapling_entries *entries, int64_t now_unix_s)
{
	struct stapling_entry *entry, *longest = NULL;
	uint32_t n_looked_for = 0;
	size_t i;

	for (i = 0; i < entries->n; i++) {
		entry = entries->list[i];
		if (entry->due_unix_s > now_unix_s)
			continue;
		if (entry->staple && entry->staple->next_update_unix_s <= now_unix_s)
			end_staple(entries, entry);
		if (!is_fetched(entry) || entry->is_asked) {
			entry->due_unix_s =
				entry->staple ? entry->staple->next_update_unix_s : INT64_MAX;
			continue;
		}
		if (!entry->responder &&
			(n_looked_for++ >= RESPONDERS_AT_ONCE || !find_responder(entries, entry)))
			continue;
		if (may_be_asked(&entries->responders[entry->responder], now_unix_s) &&
			(!longest || entry->due_unix_s < longest->due_unix_s))
			longest = entry;
	}
	return longest;
}

/* When something is to be done for it, as far as time alone decides. */
static int64_t wake_unix_s(
	const struct stapling_entries *entries, const struct stapling_entry *entry)
{
	const struct stapling_responder *responder = &entries->responders[entry->responder];
	int64_t at_unix_s = entry->due_unix_s;

	if (!is_fetched(entry))
		return at_unix_s;
	if (responder->n_asked >= ASKED_OF_ONE_MAX)
		at_unix_s = INT64_MAX;
	else if (responder->rests_until_unix_s > at_unix_s)
		at_unix_s = responder->rests_until_unix_s;
	if (entry->staple && entry->staple->next_update_unix_s < at_unix_s)
		at_unix_s = entry->staple->next_update_unix_s;
	return at_unix_s;
}

int64_t stapling_entries_count(const struct stapling_entries *entries, struct stapling_facts *facts)
{
	int64_t due_unix_s = INT64_MAX;
	const struct stapling_entry *entry;
	size_t i;

	*facts = (struct stapling_facts){
		.n = entries->n, .fetched = entries->fetched, .failed = entries->failed};
	for (i = 0; i < entries->n; i++) {
		entry = entries->list[i];
		facts->n_stapled += entry->staple != NULL;
		facts->n_must_missing += !entry->staple && is_must(entry);
		facts->n_revoked += entry->is_revoked;
		if (!entry->is_asked && wake_unix_s(entries, entry) < due_unix_s)
			due_unix_s = wake_unix_s(entries, entry);
	}
	return due_unix_s;
}
