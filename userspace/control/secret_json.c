/* Memory for JSON with keys: see secret_json.h. Each piece knows its size, which yyjson does not tell. */
#include "control/secret_json.h"

#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

struct piece {
	_Alignas(16) size_t size;
	char bytes[];
};

static void *get(void *unused, size_t size)
{
	struct piece *piece = mem_alloc(sizeof(*piece) + size);

	piece->size = size;
	return piece->bytes;
}

static void put(void *unused, void *bytes)
{
	struct piece *piece;

	if (!bytes)
		return;
	piece = container_of(bytes, struct piece, bytes);
	explicit_bzero(piece->bytes, piece->size);
	free(piece);
}

static void *resize(void *unused, void *old, size_t old_size, size_t size)
{
	void *new = get(NULL, size);

	if (old)
		memcpy(new, old, old_size < size ? old_size : size);
	put(NULL, old);
	return new;
}

const yyjson_alc secret_json_memory = {get, resize, put, NULL};
