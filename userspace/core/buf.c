/* Byte buffers: see buf.h. */
#include "core/buf.h"

#include <errno.h>

/* 1, 4, 4 and 16 MiB per thread. */
enum { KEEP_TINY = 1024, KEEP_SMALL = 256, KEEP_MEDIUM = 64, KEEP_LARGE = 32 };

void bufpool_init(struct bufpool *pool)
{
	pool_init(&pool->tiny, BUF_TINY, KEEP_TINY);
	pool_init(&pool->small, BUF_SMALL, KEEP_SMALL);
	pool_init(&pool->medium, BUF_MEDIUM, KEEP_MEDIUM);
	pool_init(&pool->large, BUF_LARGE, KEEP_LARGE);
}

void bufpool_fini(struct bufpool *pool)
{
	pool_fini(&pool->tiny);
	pool_fini(&pool->small);
	pool_fini(&pool->medium);
	pool_fini(&pool->large);
}

static struct pool *pool_of(struct bufpool *pool, uint32_t size)
{
	switch (size) {
	case BUF_TINY:
		return &pool->tiny;
	case BUF_SMALL:
		return &pool->small;
	case BUF_MEDIUM:
		return &pool->medium;
	default:
		return &pool->large;
	}
}

int buf_hold(struct buf *buf, struct bufpool *pool, uint32_t size)
{
	if (buf->data)
		return 0;
	buf->data = pool_get(pool_of(pool, size));
	if (!buf->data)
		return -ENOMEM;
	buf->size = size;
	buf->start = buf->end = 0;
	return 0;
}

int buf_grow(struct buf *buf, struct bufpool *pool)
{
	struct buf grown = {0};
	int r;

	if (buf->size > BUF_SMALL)
		return -ENOBUFS;
	r = buf_hold(&grown, pool, BUF_MEDIUM);
	if (r < 0)
		return r;
	if (buf->data)
		buf_append(&grown, buf_head(buf), buf_len(buf));
	buf_drop(buf, pool);
	*buf = grown;
	return 0;
}

int buf_make_room(struct buf *buf, struct bufpool *pool)
{
	if (!buf->data)
		return buf_hold(buf, pool, BUF_SMALL);
	if (buf_space(buf))
		return 0;
	if (buf->start) {
		buf_compact(buf);
		return 0;
	}
	return buf_grow(buf, pool);
}

void buf_drop(struct buf *buf, struct bufpool *pool)
{
	if (buf->data)
		pool_put(pool_of(pool, buf->size), buf->data);
	*buf = (struct buf){0};
}

void buf_drop_if_empty(struct buf *buf, struct bufpool *pool)
{
	if (buf->start == buf->end)
		buf_drop(buf, pool);
}

void buf_compact(struct buf *buf)
{
	if (!buf->start)
		return;
	memmove(buf->data, buf_head(buf), buf_len(buf));
	buf->end -= buf->start;
	buf->start = 0;
}
