/* Blocks of PEM: see pem_blocks.h. */
#include "tls/pem_blocks.h"

#include <errno.h>

static const char begin_mark[] = "-----BEGIN ", end_mark[] = "-----END ", dashes[] = "-----";

static const char *find(struct slice in, const char *what)
{
	return in.len ? memmem(in.ptr, in.len, what, strlen(what)) : NULL;
}

/* Lets `text` begin at `to`. */
static void advance(struct pem_text *text, const char *to)
{
	const char *at = text->rest.ptr, *end = text->rest.ptr + text->rest.len;

	while (at < to && (at = memchr(at, '\n', (size_t)(to - at)))) {
		text->line++;
		at++;
	}
	text->rest = (struct slice){to, (size_t)(end - to)};
}

int pem_block_next(struct pem_text *text, struct pem_block *ret_block, struct err *err)
{
	const char *begin = find(text->rest, begin_mark), *label_end, *end, *last;
	struct pem_block block;

	if (!begin)
		return 0;
	advance(text, begin);
	block.line = text->line;
	block.label.ptr = begin + strlen(begin_mark);
	label_end =
		find((struct slice){block.label.ptr, text->rest.len - strlen(begin_mark)}, dashes);
	end = find(text->rest, end_mark);
	last = end ? find((struct slice){end + strlen(end_mark),
				  (size_t)(text->rest.ptr + text->rest.len - end) -
					  strlen(end_mark)},
			     dashes)
		   : NULL;
	if (!label_end || !last || label_end > end)
		return err_set(
			err, -EINVAL, "line %u: the block that begins here has no end", block.line);
	block.label.len = (size_t)(label_end - block.label.ptr);
	last += strlen(dashes);
	block.text = (struct slice){begin, (size_t)(last - begin)};
	advance(text, last);
	*ret_block = block;
	return 1;
}
