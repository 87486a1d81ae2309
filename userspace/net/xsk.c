/*
 * AF_XDP sockets: see xsk.h. One UMEM per socket: the first XSK_RX_FRAMES chunks go round between
 * the fill ring, the receive ring and the caller; the others wait in `spare` or are being sent.
 * Each ring has as many entries as there are frames for it, so that it is never full.
 */
#include "net/xsk_parts.h"

#include "core/mem.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <sluice/gate.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	KERNEL_SEND_BATCH = 32, /* descriptors that sendto() moves at most, in copy mode */
	/* The kernel lets go of a queue some time after the socket was closed. */
	BUSY_TRIES = 40,
	BUSY_PAUSE_MS = 5,
};

_Static_assert(XSK_FRAME_BYTES == SLUICE_GATE_FRAME_BYTES, "what the XDP program may send here");
_Static_assert(XSK_FRAME_BYTES <= CHUNK_BYTES - 256, "a frame is one chunk");

/* Locked memory is limited unless the process has CAP_IPC_LOCK; as much as it may have is taken. */
static void memlock_raise(void)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	if (setrlimit(RLIMIT_MEMLOCK, &limit) == 0 || getrlimit(RLIMIT_MEMLOCK, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_MEMLOCK, &limit); /* xsk_umem__create says when it is too little */
}

int xsk_area_map(struct xsk *xsk, struct err *err)
{
	const size_t bytes = (size_t)FRAMES * CHUNK_BYTES;
	void *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, xsk->memory_fd, 0);
	if (area == MAP_FAILED)
		return err_set(
			err, -errno, "mapping %zu bytes of frames: %s", bytes, strerror(errno));
	xsk->area = area;
	return 0;
}

static int area_open(struct xsk *xsk, struct err *err)
{
	const size_t bytes = (size_t)FRAMES * CHUNK_BYTES;

	xsk->memory_fd = memfd_create("sluice-xsk", MFD_CLOEXEC);
	if (xsk->memory_fd < 0)
		return err_set(err, -errno, "memfd_create: %s", strerror(errno));
	if (ftruncate(xsk->memory_fd, (off_t)bytes))
		return err_set(err, -errno, "frames, %zu bytes: %s", bytes, strerror(errno));
	return xsk_area_map(xsk, err);
}

static int umem_open(struct xsk *xsk, struct err *err)
{
	const struct xsk_umem_config config = {
		.fill_size = XSK_RX_FRAMES,
		.comp_size = XSK_TX_FRAMES,
		.frame_size = CHUNK_BYTES,
	};
	const uint64_t bytes = (uint64_t)FRAMES * CHUNK_BYTES;
	int code = xsk_umem__create(
		&xsk->umem, xsk->area, bytes, &xsk->fill, &xsk->completion, &config);

	if (code == -ENOBUFS || code == -ENOMEM)
		return err_set(err, -ENOBUFS,
			"%llu KiB of frames cannot be locked in memory: raise RLIMIT_MEMLOCK "
			"(LimitMEMLOCK, ulimit -l) or give CAP_IPC_LOCK",
			(unsigned long long)bytes / 1024);
	return code ? err_set(err, code, "AF_XDP: %s", strerror(-code)) : 0;
}

static int bind_failed(const struct xsk_spec *spec, int code, struct err *err)
{
	const char *hint = "";

	if (code == -EBUSY)
		hint = " (another process has an AF_XDP socket on this queue)";
	else if (code == -EINVAL)
		hint = " (no such queue?)";
	else if (code == -EPERM)
		hint = " (CAP_NET_RAW and CAP_NET_ADMIN are needed)";
	else if (code == -ENODEV)
		hint = " (no such interface)";
	else if (code == -ENETDOWN)
		hint = " (the interface is down)";
	return err_set(err, code, "%s%s", strerror(-code), hint);
}

void xsk_look_at_mode(struct xsk *xsk)
{
	struct xdp_options options = {};
	socklen_t len = sizeof(options);

	if (getsockopt(xsk->fd, SOL_XDP, XDP_OPTIONS, &options, &len) == 0)
		xsk->zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY;
}

/* Without XDP_COPY and XDP_ZEROCOPY the kernel tries zero-copy and takes copy mode where the
 * driver cannot. */
static int socket_open(struct xsk *xsk, const struct xsk_spec *spec, struct err *err)
{
	const struct xsk_socket_config config = {
		.rx_size = XSK_RX_FRAMES,
		.tx_size = XSK_TX_FRAMES,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_USE_NEED_WAKEUP,
	};
	int code = xsk_socket__create(
		&xsk->socket, spec->interface, spec->queue, xsk->umem, &xsk->rx, &xsk->tx, &config);

	if (code)
		return bind_failed(spec, code, err);
	xsk->fd = xsk_socket__fd(xsk->socket);
	xsk_look_at_mode(xsk);
	return 0;
}

static void frames_deal(struct xsk *xsk)
{
	uint32_t at, i, n = xsk_ring_prod__reserve(&xsk->fill, XSK_RX_FRAMES, &at);

	for (i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&xsk->fill, at + i) = (uint64_t)i * CHUNK_BYTES;
	xsk_ring_prod__submit(&xsk->fill, n);
	for (i = 0; i < XSK_TX_FRAMES; i++)
		xsk->spare[i] = (uint64_t)(XSK_RX_FRAMES + i) * CHUNK_BYTES;
	xsk->spare_len = XSK_TX_FRAMES;
}

struct xsk *xsk_new(void)
{
	struct xsk *xsk = mem_zalloc(sizeof(*xsk));

	xsk->fd = xsk->memory_fd = -1;
	return xsk;
}

static int open_once(const struct xsk_spec *spec, struct xsk **ret_xsk, struct err *err)
{
	struct xsk *xsk = xsk_new();
	int code;

	code = area_open(xsk, err);
	if (!code)
		code = umem_open(xsk, err);
	if (!code)
		code = socket_open(xsk, spec, err);
	if (code) {
		xsk_close(xsk);
		return err_context(
			err, code, "AF_XDP socket on %s queue %u", spec->interface, spec->queue);
	}
	frames_deal(xsk);
	*ret_xsk = xsk;
	return 0;
}

int xsk_open(const struct xsk_spec *spec, struct xsk **ret_xsk, struct err *err)
{
	const struct timespec pause = {.tv_nsec = BUSY_PAUSE_MS * 1000000};
	int tries = 0, code;

	memlock_raise();
	while ((code = open_once(spec, ret_xsk, err)) == -EBUSY && ++tries < BUSY_TRIES)
		nanosleep(&pause, NULL);
	return code;
}

void xsk_close(struct xsk *xsk)
{
	if (!xsk)
		return;
	if (xsk->is_taken)
		xsk_taken_close(xsk);
	if (xsk->socket)
		xsk_socket__delete(xsk->socket);
	if (xsk->umem)
		xsk_umem__delete(xsk->umem);
	if (xsk->area)
		munmap(xsk->area, (size_t)FRAMES * CHUNK_BYTES);
	if (xsk->memory_fd >= 0)
		close(xsk->memory_fd);
	free(xsk);
}

int xsk_fd(const struct xsk *xsk)
{
	return xsk->fd;
}

bool xsk_is_zero_copy(const struct xsk *xsk)
{
	return xsk->zero_copy;
}

int xsk_counts(const struct xsk *xsk, struct xsk_counts *ret_counts)
{
	struct xdp_statistics statistics = {};
	socklen_t len = sizeof(statistics);

	if (getsockopt(xsk_fd(xsk), SOL_XDP, XDP_STATISTICS, &statistics, &len))
		return -errno;
	*ret_counts = (struct xsk_counts){
		.dropped = statistics.rx_dropped,
		.ring_full = statistics.rx_ring_full,
		.fill_empty = statistics.rx_fill_ring_empty_descs,
	};
	return 0;
}

size_t xsk_receive(struct xsk *xsk, struct xsk_frame ret_frames[], size_t max)
{
	uint32_t at, i, n;

	if (xsk->lent_len)
		xsk_put_back(xsk);
	n = xsk_ring_cons__peek(&xsk->rx, max < XSK_BATCH_MAX ? max : XSK_BATCH_MAX, &at);
	for (i = 0; i < n; i++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&xsk->rx, at + i);

		xsk->lent[i] = desc->addr;
		ret_frames[i] = (struct xsk_frame){xsk->area + desc->addr, desc->len};
	}
	xsk_ring_cons__release(&xsk->rx, n);
	xsk->lent_len = n;
	return n;
}

/* Waking the kernel is needed in zero-copy mode only, when the driver ran out of frames. */
void xsk_put_back(struct xsk *xsk)
{
	uint32_t at, i, n = xsk_ring_prod__reserve(&xsk->fill, xsk->lent_len, &at);

	for (i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&xsk->fill, at + i) =
			xsk->lent[i] - xsk->lent[i] % CHUNK_BYTES;
	xsk_ring_prod__submit(&xsk->fill, n);
	xsk->lent_len = 0;
	if (xsk_ring_prod__needs_wakeup(&xsk->fill))
		(void)recvfrom(xsk_fd(xsk), NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static void sent_collect(struct xsk *xsk)
{
	uint32_t at, i, n = xsk_ring_cons__peek(&xsk->completion, XSK_TX_FRAMES, &at);

	for (i = 0; i < n; i++)
		xsk->spare[xsk->spare_len++] = *xsk_ring_cons__comp_addr(&xsk->completion, at + i);
	xsk_ring_cons__release(&xsk->completion, n);
}

uint8_t *xsk_send_begin(struct xsk *xsk)
{
	if (!xsk->sending && !xsk->spare_len)
		sent_collect(xsk);
	if (!xsk->sending && !xsk->spare_len)
		return NULL;
	if (!xsk->sending)
		xsk->sending_at = xsk->spare[--xsk->spare_len];
	xsk->sending = true;
	return xsk->area + xsk->sending_at;
}

void xsk_send_end(struct xsk *xsk, uint32_t len_bytes)
{
	uint32_t at;

	if (!xsk->sending || xsk_ring_prod__reserve(&xsk->tx, 1, &at) != 1)
		return;
	*xsk_ring_prod__tx_desc(&xsk->tx, at) =
		(struct xdp_desc){.addr = xsk->sending_at, .len = len_bytes};
	xsk_ring_prod__submit(&xsk->tx, 1);
	xsk->sending = false;
}

static uint32_t unsent(struct xsk *xsk)
{
	return XSK_TX_FRAMES - xsk_prod_nb_free(&xsk->tx, XSK_TX_FRAMES);
}

/* EAGAIN: that was one batch, there is more. What the device does not take now stays in the ring
 * and goes with the next flush. */
void xsk_flush(struct xsk *xsk)
{
	uint32_t rounds = XSK_TX_FRAMES / KERNEL_SEND_BATCH + 1;

	while (rounds-- && unsent(xsk) && xsk_ring_prod__needs_wakeup(&xsk->tx))
		if (sendto(xsk_fd(xsk), NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN)
			break;
	sent_collect(xsk);
}
