/* One version of a directory while it is made; what the files of certdir_*.c share. See certdir.h.
 * Loader thread. */
#ifndef SLUICE_CONTROL_CERTDIR_MAKING_H
#define SLUICE_CONTROL_CERTDIR_MAKING_H

#include "control/certdir_parts.h"
#include "control/certdir_walk.h"

struct making {
	const struct certdir_spec *spec;
	const struct certdir *before;
	struct cert_source *source;
	struct certdir_changes *changes;
	int64_t now_unix_s;
	size_t room_removed, room_added;
	struct certmap_item *removed_faults, *added_faults; /* the added ones are counted */
	size_t n_removed_faults, n_added_faults;
	/* Places that were looked at; not needed where each is (`is_full`). */
	bool is_full;
	size_t n_met_pairs, n_met_faults; /* of `before`: those whose files were found */
	char **seen;
	size_t n_seen, seen_size;
	dev_t root_device;
	ino_t root_inode;
};

void certdir_making_init(struct making *making, const struct certdir_spec *spec,
	const struct certdir *before, struct certdir_changes *changes);
/* A count on `before` if nothing has changed. */
struct certdir *certdir_making_end(struct making *making);

/* Two names may touch one pair, and a folder has pairs that were touched themselves. */
bool certdir_is_first_look(struct making *making, struct slice file);

/* --- what comes of it */
void certdir_note_removed(struct making *making, struct cert *cert);
/* Takes the caller's count. */
void certdir_note_added(struct making *making, struct cert *cert);
/* The place has no fault any more. */
void certdir_drop_fault(struct making *making, struct slice file);
/* The same fault as before is none of the news. With `is_passing` the files are tried again at each
 * look, whether they change or not. */
void certdir_note_fault(
	struct making *making, const struct found_pair *found, const char *text, bool is_passing);

/* --- one place: certdir_look.c */
void certdir_look_at(struct making *making, const struct found_pair *found);
/* Nothing is at the place (any more); `key_is_used`: the key that was its has another certificate. */
void certdir_forget(struct making *making, struct slice file, bool key_is_used);

#endif
