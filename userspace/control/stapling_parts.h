/*
 * The inside of stapling_entries.h: shared by stapling_entries.c (which certificates there are),
 * stapling_staple.c (what is stapled), stapling_kept.c (on disk) and stapling_asked.c (responders).
 * Loader thread.
 */
#ifndef SLUICE_CONTROL_STAPLING_PARTS_H
#define SLUICE_CONTROL_STAPLING_PARTS_H

#include "control/stapling_entries.h"

/* stapling_entries.c */
struct stapling_entry *stapling_find(
	const struct stapling_entries *entries, const uint8_t *fingerprint);
/* The file of one that has a file, if it has changed. */
void stapling_read_file(struct stapling_entries *entries, struct stapling_entry *entry);

/* stapling_staple.c */
bool stapling_must(const struct stapling_entry *entry);
void stapling_tell(struct stapling_entry *entry);
void stapling_set_error(struct stapling_entry *entry, const char *text, bool had_staple);
void stapling_give_back(struct stapling_entries *entries, struct staple *staple);
/* Its certificates get what it has. */
void stapling_attach(struct stapling_entries *entries, const struct stapling_entry *entry);
/* Takes `staple`. */
void stapling_set_staple(
	struct stapling_entries *entries, struct stapling_entry *entry, struct staple *staple);
int64_t stapling_next_try(const struct stapling_entry *entry, int64_t now_unix_s);
/* 0: `der` is good, and stapled. -EKEYREVOKED: it is good, and takes the staple off. Else what is
 * there stays as long as it is good; -EAGAIN: it may be good later. */
int stapling_take(struct stapling_entries *entries, struct stapling_entry *entry,
	const uint8_t *der, size_t len);

/* stapling_kept.c */
/* That it is revoked, too: what said that it is good may be in date for days. */
void stapling_keep(struct stapling_entries *entries, const struct stapling_entry *entry,
	const uint8_t *der, size_t der_len);
void stapling_read_kept(struct stapling_entries *entries, struct stapling_entry *entry);
/* At the start and now and then: of certificates that are no more. */
void stapling_clean(struct stapling_entries *entries);

#endif
