/* Memory and marks of a configuration: see config_store.h. */
#include "control/config_store.h"

#include "core/mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Each piece is its own malloc: there are few, and sanitizers see misuse. */
struct store_piece {
	struct store_piece *next;
	_Alignas(16) char bytes[];
};

struct store_mark {
	const void *field;
	struct config_mark mark;
};

struct config_store {
	struct store_piece *pieces;
	struct store_mark *marks; /* sorted by field once sealed */
	size_t marks_count, marks_room;
};

struct config_store *config_store_new(void)
{
	return mem_zalloc(sizeof(struct config_store));
}

void config_store_free(struct config_store *store)
{
	struct store_piece *piece;

	if (!store)
		return;
	while ((piece = store->pieces)) {
		store->pieces = piece->next;
		free(piece);
	}
	free(store->marks);
	free(store);
}

void *config_store_alloc(struct config_store *store, size_t size)
{
	struct store_piece *piece = mem_zalloc(sizeof(*piece) + size);

	piece->next = store->pieces;
	store->pieces = piece;
	return piece->bytes;
}

char *config_store_strndup(struct config_store *store, const char *text, size_t len)
{
	char *copy = config_store_alloc(store, len + 1);

	memcpy(copy, text, len);
	return copy;
}

char *config_store_printf(struct config_store *store, const char *format, ...)
{
	va_list args, again;
	char *text;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	text = config_store_alloc(store, (size_t)len + 1);
	vsnprintf(text, (size_t)len + 1, format, again);
	va_end(again);
	va_end(args);
	return text;
}

void config_store_mark(struct config_store *store, const void *field, struct config_mark mark)
{
	if (store->marks_count == store->marks_room) {
		store->marks_room = store->marks_room ? 2 * store->marks_room : 64;
		store->marks =
			mem_realloc(store->marks, store->marks_room * sizeof(store->marks[0]));
	}
	store->marks[store->marks_count++] = (struct store_mark){field, mark};
}

void config_store_mark_bad(struct config_store *store, const void *field)
{
	config_store_mark(store, field, (struct config_mark){0});
}

static int compare_fields(const void *a, const void *b)
{
	const char *x = ((const struct store_mark *)a)->field;
	const char *y = ((const struct store_mark *)b)->field;

	return x < y ? -1 : x > y;
}

void config_store_seal(struct config_store *store)
{
	if (store->marks_count > 1)
		qsort(store->marks, store->marks_count, sizeof(store->marks[0]), compare_fields);
}

const struct config_mark *config_store_find(const struct config_store *store, const void *field)
{
	struct store_mark wanted = {.field = field};
	const struct store_mark *found = NULL;

	if (store->marks_count)
		found = bsearch(
			&wanted, store->marks, store->marks_count, sizeof(wanted), compare_fields);
	return found ? &found->mark : NULL;
}
