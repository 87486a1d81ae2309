/* Server names of a listener: see names.h. One open-addressed table, at most half full, with a keyed
 * hash: names come from clients. */
#include "gate/names.h"
#include "core/hash.h"
#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	char *name; /* normalised; of a wildcard what follows "*."; NULL: free */
	uint16_t len;
	bool is_wildcard;
	uint32_t value;
};

struct gate_names {
	struct hash_key hash_key;
	size_t mask;
	struct entry table[];
};

bool gate_name_normalise(
	struct slice name, char buffer[static GATE_NAME_BYTES_MAX], struct slice *ret_name)
{
	size_t i;

	if (name.len && name.ptr[name.len - 1] == '.')
		name.len--;
	if (!name.len || name.len > GATE_NAME_BYTES_MAX)
		return false;
	for (i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		buffer[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
	}
	*ret_name = (struct slice){buffer, name.len};
	return true;
}

/* The row of a name, or the free one where it belongs. */
static struct entry *find_slot(const struct gate_names *names, struct slice name, bool is_wildcard)
{
	size_t at = hash_bytes(&names->hash_key, name.ptr, name.len) + is_wildcard;
	const struct entry *entry;

	for (;; at++) {
		entry = &names->table[at & names->mask];
		if (!entry->name ||
			(entry->is_wildcard == is_wildcard &&
				slice_eq((struct slice){entry->name, entry->len}, name)))
			return (struct entry *)entry;
	}
}

static int add(struct gate_names *names, const struct gate_name *from, struct err *err)
{
	char buffer[GATE_NAME_BYTES_MAX];
	struct slice name;
	struct entry *entry;
	bool is_wildcard;

	if (!gate_name_normalise(from->name, buffer, &name))
		return err_set(err, -EINVAL, "a server name is empty or longer than %d characters",
			GATE_NAME_BYTES_MAX);
	is_wildcard = name.len > 2 && name.ptr[0] == '*' && name.ptr[1] == '.';
	if (is_wildcard)
		name = (struct slice){name.ptr + 2, name.len - 2};
	if (memchr(name.ptr, '*', name.len))
		return err_set(err, -EINVAL,
			"server name %.*s: '*' can only be the whole leftmost label (*.example.com)",
			(int)from->name.len, from->name.ptr);
	entry = find_slot(names, name, is_wildcard);
	if (entry->name && entry->value != from->value)
		return err_set(err, -EEXIST, "server name %.*s stands there twice",
			(int)from->name.len, from->name.ptr);
	if (!entry->name)
		*entry = (struct entry){mem_strndup(name.ptr, name.len), (uint16_t)name.len,
			is_wildcard, from->value};
	return 0;
}

int gate_names_new(
	const struct gate_name *names, size_t count, struct gate_names **ret_names, struct err *err)
{
	struct gate_names *made;
	size_t i, rows = 8;
	int r;

	while (rows < 2 * count)
		rows *= 2;
	made = mem_zalloc(sizeof(*made) + rows * sizeof(*made->table));
	made->mask = rows - 1;
	hash_random(&made->hash_key, sizeof(made->hash_key));
	for (i = 0; i < count; i++) {
		r = add(made, &names[i], err);
		if (r < 0) {
			gate_names_free(made);
			return r;
		}
	}
	*ret_names = made;
	return 0;
}

void gate_names_free(struct gate_names *names)
{
	size_t i;

	if (!names)
		return;
	for (i = 0; i <= names->mask; i++)
		free(names->table[i].name);
	free(names);
}

enum gate_name_kind gate_names_match(
	const struct gate_names *names, struct slice name, uint32_t *ret_value)
{
	char buffer[GATE_NAME_BYTES_MAX];
	const struct entry *entry;
	const char *dot;

	if (!gate_name_normalise(name, buffer, &name))
		return GATE_NAME_UNKNOWN;
	entry = find_slot(names, name, false);
	if (!entry->name) {
		dot = memchr(name.ptr, '.', name.len);
		if (!dot || dot == name.ptr)
			return GATE_NAME_UNKNOWN;
		name.len -= (size_t)(dot + 1 - name.ptr);
		name.ptr = dot + 1;
		entry = find_slot(names, name, true);
	}
	if (!entry->name)
		return GATE_NAME_UNKNOWN;
	*ret_value = entry->value;
	return entry->is_wildcard ? GATE_NAME_WILDCARD : GATE_NAME_EXACT;
}

int gate_names_find(const struct gate_names *names, struct slice name, uint32_t *ret_value)
{
	return gate_names_match(names, name, ret_value) == GATE_NAME_UNKNOWN ? -ENOENT : 0;
}
