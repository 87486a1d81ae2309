/* A borrowed run of bytes: points into somebody else's memory, never owns, never ends in NUL. */
#ifndef SLUICE_CORE_SLICE_H
#define SLUICE_CORE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
	const char *ptr;
	size_t len;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

static inline struct slice slice_of(const char *text)
{
	return (struct slice){text, strlen(text)};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII case folded, whatever the locale; a NUL is a byte like any other. */
static inline bool slice_eq_nocase(struct slice a, struct slice b)
{
	size_t i;

	if (a.len != b.len)
		return false;
	for (i = 0; i < a.len; i++) {
		unsigned char x = (unsigned char)a.ptr[i], y = (unsigned char)b.ptr[i],
			      low = x | 0x20;

		if (x != y && ((x ^ y) != 0x20 || low < 'a' || low > 'z'))
			return false;
	}
	return true;
}

#endif
