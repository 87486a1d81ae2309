/* What a certificate's OCSP response is, and what is told of it: see stapling_parts.h. */
#define LOG_MODULE "ocsp"
#include "control/stapling_parts.h"

#include "core/clock.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- the log */
static const char *name_of(const struct stapling_entry *entry, char *buf)
{
	return cert_name(entry->certs[0], buf);
}

bool stapling_must(const struct stapling_entry *entry)
{
	return cert_facts(entry->certs[0])->must_staple;
}

/* Once for each reason. */
void stapling_tell(struct stapling_entry *entry)
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
	else if (stapling_must(entry))
		log_error(
			"certificate %s must have an OCSP response and has none: clients that look "
			"refuse it: %s",
			name, entry->error);
	else
		log_warn("certificate %s has no OCSP response: %s", name, entry->error);
}

void stapling_set_error(struct stapling_entry *entry, const char *text, bool had_staple)
{
	if (!strcmp(entry->error, text) && had_staple == (entry->staple != NULL))
		return;
	snprintf(entry->error, sizeof(entry->error), "%s", text);
	entry->is_told = false;
}

/* --- staples */
void stapling_give_back(struct stapling_entries *entries, struct staple *staple)
{
	if (!staple)
		return;
	entries->old = mem_realloc(entries->old, (entries->n_old + 1) * sizeof(*entries->old));
	entries->old[entries->n_old++] = staple;
}

void stapling_attach(struct stapling_entries *entries, const struct stapling_entry *entry)
{
	uint32_t i;

	for (i = 0; i < entry->n_certs; i++)
		if (cert_staple(entry->certs[i]) != entry->staple)
			stapling_give_back(
				entries, cert_staple_exchange(entry->certs[i],
						 entry->staple ? staple_get(entry->staple) : NULL));
}

/* Takes `staple`. */
void stapling_set_staple(
	struct stapling_entries *entries, struct stapling_entry *entry, struct staple *staple)
{
	struct staple *before = entry->staple;

	entry->staple = staple;
	stapling_attach(entries, entry);
	staple_put(before);
}

enum { FILE_AGAIN_S = 60 };

int64_t stapling_next_try(const struct stapling_entry *entry, int64_t now_unix_s)
{
	int64_t at_unix_s, end_unix_s = INT64_MAX;
	uint32_t random;

	if (entry->staple)
		end_unix_s = entry->staple->next_update_unix_s;
	if (entry->file && !entry->file_identity && now_unix_s + FILE_AGAIN_S < end_unix_s)
		end_unix_s = now_unix_s + FILE_AGAIN_S;
	if (!entry->fetches || entry->file)
		return end_unix_s;
	hash_random(&random, sizeof(random));
	at_unix_s = ocsp_next_try_unix_s(entry->staple, now_unix_s, entry->failures, random);
	return at_unix_s < end_unix_s ? at_unix_s : end_unix_s;
}

/* 0: `der` is good, and stapled. -EKEYREVOKED: it is good, and takes the staple off. Else what is
 * there stays as long as it is good. */
int stapling_take(struct stapling_entries *entries, struct stapling_entry *entry,
	const uint8_t *der, size_t len)
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
		stapling_set_staple(entries, entry, staple);
	}
	stapling_set_error(entry, err.text, had_staple);
	return r;
}
