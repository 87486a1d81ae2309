/*
 * An AF_XDP socket from one process to the next: see xsk.h. Rings and frames are memory of the kernel
 * and of the memfd, which both can map; where each side of a ring stands is in the ring. Only the frames
 * that are in no ring have to be told.
 */
#include "net/xsk_parts.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void xsk_give(struct xsk *xsk, struct xsk_state *ret_state, int ret_fds[static XSK_FDS])
{
	uint32_t i;

	if (xsk->lent_len)
		xsk_put_back(xsk);
	xsk_flush(xsk);
	if (xsk->sending)
		xsk->spare[xsk->spare_len++] = xsk->sending_at;
	xsk->sending = false;
	*ret_state = (struct xsk_state){.rx_frames = XSK_RX_FRAMES,
		.tx_frames = XSK_TX_FRAMES,
		.chunk_bytes = CHUNK_BYTES,
		.n_spare = xsk->spare_len};
	for (i = 0; i < xsk->spare_len; i++)
		ret_state->spare[i] = (uint32_t)(xsk->spare[i] / CHUNK_BYTES);
	ret_fds[0] = xsk->fd;
	ret_fds[1] = xsk->memory_fd;
}

static int state_check(const struct xsk_state *state, int memory_fd, struct err *err)
{
	struct stat memory;
	uint32_t i;
	bool fits = state->rx_frames == XSK_RX_FRAMES && state->tx_frames == XSK_TX_FRAMES &&
		    state->chunk_bytes == CHUNK_BYTES && state->n_spare <= XSK_TX_FRAMES &&
		    fstat(memory_fd, &memory) == 0 && memory.st_size == (off_t)FRAMES * CHUNK_BYTES;

	for (i = 0; fits && i < state->n_spare; i++)
		fits = state->spare[i] < FRAMES;
	return fits ? 0
		    : err_set(err, -EPROTO,
			      "its frames are laid out in another way: %u and %u of %u bytes",
			      state->rx_frames, state->tx_frames, state->chunk_bytes);
}

static uint8_t *ring_map(struct xsk *xsk, int at, uint64_t page, size_t bytes)
{
	void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, xsk->fd,
		(off_t)page);

	if (mapped == MAP_FAILED)
		return NULL;
	xsk->mapped[at] = (struct xsk_mapped){mapped, bytes};
	return mapped;
}

static bool producer_map(struct xsk *xsk, int at, uint64_t page,
	const struct xdp_ring_offset *offsets, uint32_t size, size_t item_bytes,
	struct xsk_ring_prod *ret_ring)
{
	uint8_t *map = ring_map(xsk, at, page, offsets->desc + size * item_bytes);

	if (!map)
		return false;
	*ret_ring = (struct xsk_ring_prod){.mask = size - 1,
		.size = size,
		.producer = (void *)(map + offsets->producer),
		.consumer = (void *)(map + offsets->consumer),
		.flags = (void *)(map + offsets->flags),
		.ring = map + offsets->desc};
	ret_ring->cached_prod = *ret_ring->producer;
	ret_ring->cached_cons = *ret_ring->consumer + size; /* libxdp's way to count what is free */
	return true;
}

static bool consumer_map(struct xsk *xsk, int at, uint64_t page,
	const struct xdp_ring_offset *offsets, uint32_t size, size_t item_bytes,
	struct xsk_ring_cons *ret_ring)
{
	uint8_t *map = ring_map(xsk, at, page, offsets->desc + size * item_bytes);

	if (!map)
		return false;
	*ret_ring = (struct xsk_ring_cons){.mask = size - 1,
		.size = size,
		.producer = (void *)(map + offsets->producer),
		.consumer = (void *)(map + offsets->consumer),
		.flags = (void *)(map + offsets->flags),
		.ring = map + offsets->desc};
	ret_ring->cached_prod = *ret_ring->producer;
	ret_ring->cached_cons = *ret_ring->consumer;
	return true;
}

static int rings_map(struct xsk *xsk, struct err *err)
{
	struct xdp_mmap_offsets offsets;
	socklen_t len = sizeof(offsets);

	if (getsockopt(xsk->fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &len) < 0)
		return err_set(err, -errno, "where its rings are: %s", strerror(errno));
	if (!consumer_map(xsk, 0, XDP_PGOFF_RX_RING, &offsets.rx, XSK_RX_FRAMES,
		    sizeof(struct xdp_desc), &xsk->rx) ||
		!producer_map(xsk, 1, XDP_PGOFF_TX_RING, &offsets.tx, XSK_TX_FRAMES,
			sizeof(struct xdp_desc), &xsk->tx) ||
		!producer_map(xsk, 2, XDP_UMEM_PGOFF_FILL_RING, &offsets.fr, XSK_RX_FRAMES,
			sizeof(uint64_t), &xsk->fill) ||
		!consumer_map(xsk, 3, XDP_UMEM_PGOFF_COMPLETION_RING, &offsets.cr, XSK_TX_FRAMES,
			sizeof(uint64_t), &xsk->completion))
		return err_set(err, -errno, "mapping its rings: %s", strerror(errno));
	return 0;
}

static void rings_unmap(struct xsk *xsk)
{
	for (int i = 0; i < XSK_RINGS; i++)
		if (xsk->mapped[i].at)
			munmap(xsk->mapped[i].at, xsk->mapped[i].bytes);
}

void xsk_taken_close(struct xsk *xsk)
{
	rings_unmap(xsk);
	close(xsk->fd);
}

int xsk_take(const struct xsk_state *state, const int fds[static XSK_FDS], struct xsk **ret_xsk,
	struct err *err)
{
	struct xsk *xsk;
	int code = state_check(state, fds[1], err);

	if (code)
		return code;
	xsk = xsk_new();
	xsk->fd = fds[0];
	xsk->memory_fd = fds[1];
	code = xsk_area_map(xsk, err);
	if (!code)
		code = rings_map(xsk, err);
	if (code) {
		rings_unmap(xsk);
		xsk->memory_fd = -1;
		xsk_close(xsk);
		return code;
	}
	xsk->is_taken = true;
	xsk_look_at_mode(xsk);
	for (xsk->spare_len = 0; xsk->spare_len < state->n_spare; xsk->spare_len++)
		xsk->spare[xsk->spare_len] = (uint64_t)state->spare[xsk->spare_len] * CHUNK_BYTES;
	*ret_xsk = xsk;
	return 0;
}
