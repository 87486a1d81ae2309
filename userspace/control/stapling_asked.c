/* Responders: who is asked when, and what they say: see stapling_entries.h. Loader thread. */
#include "control/stapling_parts.h"

#include "core/clock.h"
#include "core/hash.h"

#include <errno.h>
#include <string.h>

enum {
	RESPONDERS_AT_ONCE = 2048, /* certificates whose responder is looked for */
	ASKED_OF_ONE_MAX = 2, /* at a time: a slow responder leaves room for others */
	REST_MAX_S = 300, /* of a silent responder */
};

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
	stapling_set_error(entry, error, entry->staple != NULL);
	note_failure(entries, entry, entry->staple != NULL);
	entry->due_unix_s = stapling_next_try(entry, clock_unix_s());
	stapling_tell(entry);
}

void stapling_entries_answer(struct stapling_entries *entries, const uint8_t *fingerprint,
	const uint8_t *der, size_t len, const char *error)
{
	struct stapling_entry *entry = stapling_find(entries, fingerprint);
	int r;

	if (!entry || !entry->is_asked)
		return;
	entry->is_asked = false;
	if (entry->file) { /* came meanwhile, and counts */
		entry->due_unix_s = stapling_next_try(entry, clock_unix_s());
		return;
	}
	if (*error) {
		stapling_entries_failed(entries, entry, error);
		return;
	}
	r = stapling_take(entries, entry, der, len);
	if (r == 0 || r == -EKEYREVOKED)
		stapling_keep(entries, entry, der, len);
	if (r == 0) {
		entries->fetched++;
		entry->failures = 0;
	} else {
		note_failure(entries, entry, entry->staple != NULL);
	}
	entry->due_unix_s = stapling_next_try(entry, clock_unix_s());
	stapling_tell(entry);
}

static void end_staple(struct stapling_entries *entries, struct stapling_entry *entry)
{
	stapling_set_staple(entries, entry, NULL);
	if (!*entry->error)
		stapling_set_error(entry, "the one that was there is out of date", true);
	entry->is_told = false;
	stapling_tell(entry);
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

/* The file that says what to staple may not have been readable just then. */
static void wait_for_file(
	struct stapling_entries *entries, struct stapling_entry *entry, int64_t now_unix_s)
{
	if (entry->file && !entry->file_identity && !entry->is_asked) {
		stapling_read_file(entries, entry);
		stapling_tell(entry);
	}
	if (entry->file)
		entry->due_unix_s = stapling_next_try(entry, now_unix_s);
	else
		entry->due_unix_s = entry->staple ? entry->staple->next_update_unix_s : INT64_MAX;
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
			wait_for_file(entries, entry, now_unix_s);
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
		facts->n_must_missing += !entry->staple && stapling_must(entry);
		facts->n_revoked += entry->is_revoked;
		if (!entry->is_asked && wake_unix_s(entries, entry) < due_unix_s)
			due_unix_s = wake_unix_s(entries, entry);
	}
	return due_unix_s;
}
