/*
 * Server names of a listener, immutable: exact names and wildcards (leftmost label, one level), each
 * with a number. A look-up ignores case and a trailing dot, allocates nothing and takes no lock; any
 * thread.
 */
#ifndef SLUICE_GATE_NAMES_H
#define SLUICE_GATE_NAMES_H

#include "core/attr.h"
#include "core/err.h"
#include "core/slice.h"
#include <stddef.h>
#include <stdint.h>

enum { GATE_NAME_BYTES_MAX = 253 }; /* RFC 1035, without the trailing dot */

struct gate_name {
	struct slice name; /* "www.example.com", "*.example.com" */
	uint32_t value;
};

struct gate_names;

/* -EEXIST: a name stands there twice with different values (the text says which).
 * -EINVAL: one is empty, too long, or has a '*' that is not its leftmost label. */
int gate_names_new(const struct gate_name *names, size_t count, struct gate_names **ret_names,
	struct err *err) must_check;
void gate_names_free(struct gate_names *names);
/* Exact before wildcard. -ENOENT. */
int gate_names_find(
	const struct gate_names *names, struct slice name, uint32_t *ret_value) must_check;

enum gate_name_kind { GATE_NAME_UNKNOWN, GATE_NAME_EXACT, GATE_NAME_WILDCARD };

/* The same look-up; `ret_value` is left alone for an unknown name. */
enum gate_name_kind gate_names_match(
	const struct gate_names *names, struct slice name, uint32_t *ret_value);

/* Lower case, no trailing dot. False: no name that can be known. `ret_name` points into `buffer`. */
bool gate_name_normalise(struct slice name, char buffer[static GATE_NAME_BYTES_MAX],
	struct slice *ret_name) must_check;

#endif
