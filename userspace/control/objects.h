/*
 * Objects made through the admin API: items of the configuration's lists (certificates, listeners
 * ...) as JSON texts. A set of them lies over the configuration file: config_merge.h. Contents
 * (keys, certificates, CAs) are not in the texts: {"blob": SHA-256} stands for them, versions.h
 * keeps them. Owned by the caller; one thread at a time.
 */
#ifndef SLUICE_CONTROL_OBJECTS_H
#define SLUICE_CONTROL_OBJECTS_H

#include "core/attr.h"
#include "core/err.h"
#include "tls/digest.h"
#include <stdbool.h>
#include <stddef.h>
#include <yyjson.h>

enum { OBJECTS_MAX = 10000 };

struct object {
	char *kind; /* of object_kinds.h: "certificates" */
	char *name;
	char *text; /* its settings but the name: JSON, indented, as errors count its lines */
};

struct object_set {
	struct object *items; /* sorted by kind, then name */
	size_t n, room;
};

void object_set_fini(struct object_set *set);
void object_set_copy(struct object_set *ret_set, const struct object_set *set);
bool object_set_eq(const struct object_set *a, const struct object_set *b);
/* NULL: there is none. */
const struct object *object_set_find(
	const struct object_set *set, const char *kind, const char *name);
/* Takes over `text`. */
void object_set_put(struct object_set *set, const char *kind, const char *name, char *text);
/* False: there was none. */
bool object_set_remove(struct object_set *set, const char *kind, const char *name);

/* As a line of JSON, and back. -EINVAL: it is not what the other has written. */
char *object_set_write(const struct object_set *set, size_t *ret_len);
int object_set_read(
	struct object_set *ret_set, const char *text, size_t len, struct err *err) must_check;

/* Settings as they are kept. The caller frees it. */
char *object_text(const yyjson_mut_val *settings);

/* Digests of contents, sorted, each once. */
struct blob_list {
	char (*hex)[DIGEST_HEX_BYTES];
	size_t n, room;
};

void blob_list_add(struct blob_list *list, const char *hex);
/* After the last add, before a look-up. */
void blob_list_sort(struct blob_list *list);
bool blob_list_has(const struct blob_list *list, const char *hex);
void blob_list_fini(struct blob_list *list);
/* Which contents a set needs. */
void object_set_blobs(const struct object_set *set, struct blob_list *ret_list);
/* "64 lower case hexadecimal digits" it must be. */
bool blob_list_is_name(const char *text);

#endif
