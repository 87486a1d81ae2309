/*
 * Byte buffers from per-thread pools. A buffer holds a block only while it holds bytes: an idle
 * connection owns none. Four sizes: BUF_TINY for what is sent without a body and kept until it is
 * answered, BUF_SMALL for heads and ordinary bodies, BUF_MEDIUM for heads that do not fit, BUF_LARGE
 * for bulk: system calls and sends of that size take a quarter off the cost of a byte.
 * Owned by one thread; never shared.
 */
#ifndef SLUICE_CORE_BUF_H
#define SLUICE_CORE_BUF_H

#include "core/mem.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { BUF_TINY = 1024, BUF_SMALL = 16 * 1024, BUF_MEDIUM = 64 * 1024, BUF_LARGE = 512 * 1024 };

struct bufpool {
	struct pool tiny, small, medium, large;
};

struct buf {
	uint8_t *data;             /* NULL: no block */
	uint32_t start, end, size; /* bytes are at [start, end) */
};

void bufpool_init(struct bufpool *pool);
void bufpool_fini(struct bufpool *pool);

/* Gets a block of `size` (one of BUF_*) unless the buffer has one. 0 or -ENOMEM. */
int buf_hold(struct buf *buf, struct bufpool *pool, uint32_t size) must_check;
/* Exchanges a tiny or small block for a medium one, keeping the bytes. 0, -ENOMEM, or -ENOBUFS: it is
 * larger. */
int buf_grow(struct buf *buf, struct bufpool *pool) must_check;
/* Makes room behind the bytes, if there is none: a first small block, then the front of the block,
 * then a medium one. 0, -ENOMEM, or -ENOBUFS: it is full and will not grow. */
int buf_make_room(struct buf *buf, struct bufpool *pool) must_check;
/* Gives the block back, with whatever it holds. */
void buf_drop(struct buf *buf, struct bufpool *pool);
/* Gives the block back if it holds no bytes. */
void buf_drop_if_empty(struct buf *buf, struct bufpool *pool);
/* Moves the bytes to the front of the block. */
void buf_compact(struct buf *buf);

static inline uint32_t buf_len(const struct buf *buf)
{
	return buf->end - buf->start;
}

static inline uint32_t buf_space(const struct buf *buf)
{
	return buf->size - buf->end;
}

/* NULL without a block. */
static inline uint8_t *buf_head(const struct buf *buf)
{
	return buf->data ? buf->data + buf->start : NULL;
}

static inline uint8_t *buf_tail(const struct buf *buf)
{
	return buf->data ? buf->data + buf->end : NULL;
}

/* Takes `len` bytes off the front. */
static inline void buf_consume(struct buf *buf, uint32_t len)
{
	buf->start += len;
	if (buf->start == buf->end)
		buf->start = buf->end = 0;
}

/* Appends; false if there is no room (nothing is written). */
static inline bool buf_append(struct buf *buf, const void *bytes, size_t len)
{
	if (len > buf_space(buf))
		return false;
	if (!len)
		return true; /* there may be no block */
	memcpy(buf_tail(buf), bytes, len);
	buf->end += (uint32_t)len;
	return true;
}

#endif
