/* What a look at a directory found, and the memory of its texts: see certdir_walk.h. */
#include "control/certdir_walk.h"

#include "core/mem.h"
#include <stdlib.h>
#include <string.h>

enum { TEXT_BLOCK_BYTES = 64 * 1024 };

struct text_block {
	struct text_block *next;
	size_t used;
	char bytes[TEXT_BLOCK_BYTES];
};

char *found_pairs_text(struct found_pairs *found, const char *folder, const char *name,
	size_t name_len, const char *ending)
{
	size_t folder_len = strlen(folder), ending_len = strlen(ending);
	size_t len = folder_len + (folder_len != 0) + name_len + ending_len + 1;
	struct text_block *block = found->texts;
	char *text, *at;

	if (!block || block->used + len > TEXT_BLOCK_BYTES) {
		block = mem_alloc(sizeof(*block));
		block->next = found->texts;
		block->used = 0;
		found->texts = block;
	}
	text = at = block->bytes + block->used;
	block->used += len;
	if (folder_len) {
		at = mempcpy(at, folder, folder_len);
		*at++ = '/';
	}
	at = mempcpy(at, name, name_len);
	memcpy(at, ending, ending_len + 1);
	return text;
}

void found_pairs_fini(struct found_pairs *found)
{
	struct text_block *block;

	while ((block = found->texts)) {
		found->texts = block->next;
		free(block);
	}
	free(found->list);
}

struct found_pair *found_pairs_add(struct found_pairs *found)
{
	if (found->n == found->room) {
		found->room = found->room ? 2 * found->room : 64;
		found->list = mem_realloc(found->list, found->room * sizeof(*found->list));
	}
	found->list[found->n] = (struct found_pair){0};
	return &found->list[found->n++];
}

static const char *place_of(const char *folder)
{
	return *folder ? folder : CERTDIR_ROOT_PLACE;
}

void found_pairs_fault(struct found_pairs *found, const char *place, const char *fault)
{
	struct found_pair *pair;
	char *text;

	place = place_of(place);
	text = found_pairs_text(found, "", place, strlen(place), "");
	pair = found_pairs_add(found);
	pair->cert_file = pair->key_file = text;
	pair->fault = fault;
}

const char *found_pairs_reason(struct found_pairs *found, const char *what, int error)
{
	char *text = mem_printf("%s: %s", what, strerror(-error));
	const char *kept = found_pairs_text(found, "", text, strlen(text), "");

	free(text);
	return kept;
}

void found_pairs_unseen(struct found_pairs *found, const char *folder, int error)
{
	found_pairs_fault(
		found, folder, found_pairs_reason(found, "is a folder that cannot be read", error));
	found->list[found->n - 1].error = error;
	found->list[found->n - 1].is_folder = true;
	found->n_unseen++;
}
