/* A list of JA4 fingerprints: see ja4_list.h. A whole one is a beginning of full length. */
#include "gate/ja4_list.h"
#include "core/hash.h"
#include "core/mem.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { JA4_LEN = JA4_BYTES - 1 };

struct entry {
	bool used;
	uint8_t len;
	char text[JA4_LEN];
};

struct gate_ja4_list {
	struct hash_key hash_key;
	uint64_t lengths; /* bit n: some entry has n characters */
	size_t mask;
	struct entry table[];
};

static struct entry *find_slot(const struct gate_ja4_list *list, const char *text, size_t len)
{
	size_t at = hash_bytes(&list->hash_key, text, len);
	const struct entry *entry;

	for (;; at++) {
		entry = &list->table[at & list->mask];
		if (!entry->used || (entry->len == len && memcmp(entry->text, text, len) == 0))
			return (struct entry *)entry;
	}
}

static int add(struct gate_ja4_list *list, const char *text, struct err *err)
{
	static const char allowed[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
	size_t len = strspn(text, allowed);
	struct entry *entry;

	if (len > JA4_LEN || strcmp(text + len, len == JA4_LEN && !text[len] ? "" : "*") != 0)
		return err_set(err, -EINVAL,
			"'%s' is no JA4 fingerprint: %d characters, or fewer that end in '*'", text,
			JA4_LEN);
	entry = find_slot(list, text, len);
	entry->used = true;
	entry->len = (uint8_t)len;
	memcpy(entry->text, text, len);
	list->lengths |= 1ull << len;
	return 0;
}

int gate_ja4_list_new(
	const char *const *texts, size_t count, struct gate_ja4_list **ret_list, struct err *err)
{
	struct gate_ja4_list *list;
	size_t i, rows = 8;
	int r;

	while (rows < 2 * count)
		rows *= 2;
	list = mem_zalloc(sizeof(*list) + rows * sizeof(*list->table));
	list->mask = rows - 1;
	hash_random(&list->hash_key, sizeof(list->hash_key));
	for (i = 0; i < count; i++) {
		r = add(list, texts[i], err);
		if (r < 0) {
			gate_ja4_list_free(list);
			return r;
		}
	}
	*ret_list = list;
	return 0;
}

void gate_ja4_list_free(struct gate_ja4_list *list)
{
	free(list);
}

bool gate_ja4_list_has(const struct gate_ja4_list *list, const char ja4[static JA4_BYTES])
{
	uint64_t left;

	for (left = list->lengths; left; left &= left - 1)
		if (find_slot(list, ja4, (size_t)__builtin_ctzll(left))->used)
			return true;
	return false;
}
