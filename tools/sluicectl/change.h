/* Requests that change objects: shared by certs.c and objects.c. One thread. */
#ifndef SLUICECTL_CHANGE_H
#define SLUICECTL_CHANGE_H

#include "sluicectl.h"

/* "/v1/objects/KIND/NAME" with the names made harmless. The caller frees it. */
char *change_target(const char *format_path, const char *first, const char *second);
/* Sends it with --dry-run and --existing, prints what came of it; returns the exit code. Takes over
 * `target` and `doc` (NULL: no body). */
int change_send(
	const struct invocation *invocation, const char *method, char *target, yyjson_mut_doc *doc);
/* A new document whose root is an empty object. */
yyjson_mut_doc *change_doc(void);
/* All of a file, the caller's to wipe and free; "-" is standard input. NULL: it has been said why. */
char *change_read_file(const char *path, size_t *ret_len);
/* The text of a file as a member; "-" is standard input. False: it has been said why. */
bool change_add_file(
	yyjson_mut_doc *doc, yyjson_mut_val *object, const char *member, const char *path);
/* The same of one that is no text. */
bool change_add_base64(
	yyjson_mut_doc *doc, yyjson_mut_val *object, const char *member, const char *path);
/* The same as {"content": TEXT}, appended to a list. */
bool change_add_content(
	yyjson_mut_doc *doc, yyjson_mut_val *object, const char *member, const char *path);

#endif
