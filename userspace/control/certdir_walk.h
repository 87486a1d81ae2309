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
#include <sys/types.h>

enum { CERTDIR_DEPTH_MAX = 8 };

/* The directory itself, where a file is named. */
#define CERTDIR_ROOT_PLACE "."

/* One pair, or what is wrong with a place. All below the directory. */
struct found_pair {
	char *cert_file;
	char *key_file; /* equal to cert_file: one file has both */
	uint64_t identity, key_identity; /* tls_file_identity(); 0: none to look at */
	const char *fault; /* NULL: it can be read */
	int error; /* -errno: it could not be looked at, and may be as it was; `fault` says so */
	bool is_folder; /* with `error`: nor could anything below it */
	bool is_lone_key; /* a key without a certificate beside it */
};

struct found_pairs {
	struct found_pair *list;
	size_t n, room;
	size_t n_unseen; /* folders with an error */
	bool is_cut; /* there was more than can be */
	dev_t root_device; /* of the directory itself */
	ino_t root_inode;
	struct text_block *texts; /* memory of the strings */
};

void found_pairs_fini(struct found_pairs *found);
/* "folder/name" + ending, which lives as long as `found`. */
char *found_pairs_text(struct found_pairs *found, const char *folder, const char *name,
	size_t name_len, const char *ending);
struct found_pair *found_pairs_add(struct found_pairs *found);
/* `fault` must live as long as `found`; "" is the directory itself. */
void found_pairs_fault(struct found_pairs *found, const char *place, const char *fault);
/* "what: reason of the error" */
const char *found_pairs_reason(struct found_pairs *found, const char *what, int error);
void found_pairs_unseen(struct found_pairs *found, const char *folder, int error);

/* Whether an error (-errno) says that a file is not there. Any other one says nothing about it. */
bool certdir_is_gone(int error);

/* Called for each folder before it is read: "" or "eu/shop". */
typedef void certdir_folder(void *arg, const char *folder);

/* Everything in and (with `deep`) below a folder of `directory`. -errno: the folder cannot be read;
 * what is wrong further down becomes a fault, and with an `error` where it cannot be looked at. */
int certdir_walk(const char *directory, const char *folder, bool deep, certdir_folder *seen,
	void *arg, struct found_pairs *found) must_check;

/* What a change of one file name in a folder means. */
enum certdir_touch {
	TOUCH_NOTHING,
	TOUCH_STEM, /* that pair */
	TOUCH_SPECIAL, /* what other names in the folder mean */
	TOUCH_ALL, /* anything in the folder and below it */
	TOUCH_BELOW, /* maybe a folder of that name */
};

enum certdir_touch certdir_touch_of(const char *name);
/* The pair that a file of this name belongs to, if it is there. -errno: it cannot be looked at, or
 * its folder is gone. */
int certdir_find_stem(const char *directory, const char *folder, const char *name,
	struct found_pairs *found) must_check;
/* How the pair's certificate may be called: the place is one of these, or the key's. Calls back
 * with "folder/NAME.crt" and so on. */
void certdir_places_of(const char *folder, const char *name,
	void (*place)(void *arg, const char *place), void *arg);
/* The same for all names of TOUCH_SPECIAL. */
void certdir_special_places(
	const char *folder, void (*place)(void *arg, const char *place), void *arg);

#endif
