/*
 * Finds the pairs of files below a directory: NAME.crt, .pem or .cer with NAME.key, one PEM with
 * both, fullchain.pem with privkey.pem (certbot), tls.crt with tls.key (Kubernetes, whose files are
 * links through "..data"). Names that begin with a dot are passed over. Loader thread.
 */
#ifndef SLUICE_CONTROL_CERTDIR_WALK_H
#define SLUICE_CONTROL_CERTDIR_WALK_H

#include "core/attr.h"
#include "core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CERTDIR_DEPTH_MAX = 8 };

/* One pair, or what is wrong with a place. All below the directory. */
struct found_pair {
	char *cert_file;
	char *key_file; /* equal to cert_file: one file has both */
	uint64_t identity, key_identity; /* tls_file_identity(); 0: none to look at */
	const char *fault; /* static; NULL: it can be read */
};

struct found_pairs {
	struct found_pair *list;
	size_t n, room;
	struct text_block *texts; /* memory of the strings */
};

void found_pairs_fini(struct found_pairs *found);

/* Called for each folder before it is read: "" or "eu/shop". */
typedef void certdir_folder(void *arg, const char *folder);

/* Everything in and (with `deep`) below a folder of `directory`. -errno: the folder cannot be read;
 * what is wrong further down becomes a fault. */
int certdir_walk(const char *directory, const char *folder, bool deep, certdir_folder *seen,
	void *arg, struct found_pairs *found) must_check;

/* What a change of one file name in a folder means. */
enum certdir_touch {
	TOUCH_NOTHING,
	TOUCH_STEM, /* that pair */
	TOUCH_FOLDER, /* any pair of the folder */
	TOUCH_BELOW, /* maybe a folder of that name */
};

enum certdir_touch certdir_touch_of(const char *name);
/* The pair that a file of this name belongs to, if it is there; TOUCH_STEM only. */
void certdir_find_stem(
	const char *directory, const char *folder, const char *name, struct found_pairs *found);
/* How the pair's certificate may be called: the place is one of these, or the key's. Calls back
 * with "folder/NAME.crt" and so on. */
void certdir_places_of(const char *folder, const char *name,
	void (*place)(void *arg, const char *place), void *arg);

#endif
