/*
 * The log: see log.h. The ring is an array of slots with a sequence number each (Vyukov's bounded
 * queue): writers claim a slot by compare-and-swap and never wait; the loader thread is the only
 * reader. A full ring loses the new line and counts it.
 */
#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { RING_SLOTS = 2048 }; /* a power of two; 1 MiB of lines */

struct slot {
	atomic_uint_fast64_t sequence;
	uint32_t len;
	char line[LOG_LINE_BYTES];
};

static struct {
	struct slot *slots;
	atomic_uint_fast64_t head; /* next to claim */
	uint64_t tail;             /* next to read; loader thread only */
	atomic_uint_fast64_t dropped;
	atomic_bool running;
	atomic_int level;
	int event_fd;
} ring = {.level = LOG_LEVEL_INFO, .event_fd = -1};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_level_set(enum log_level level)
{
	atomic_store_explicit(&ring.level, level, memory_order_relaxed);
}

enum log_level log_level_get(void)
{
	return atomic_load_explicit(&ring.level, memory_order_relaxed);
}

int log_event_fd(void)
{
	return ring.event_fd;
}

uint64_t log_dropped(void)
{
	return atomic_load_explicit(&ring.dropped, memory_order_relaxed);
}

int log_start(void)
{
	uint64_t i;

	ring.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (ring.event_fd < 0)
		return -errno;
	ring.slots = mem_zalloc(RING_SLOTS * sizeof(*ring.slots));
	for (i = 0; i < RING_SLOTS; i++)
		atomic_init(&ring.slots[i].sequence, i);
	atomic_store(&ring.head, 0);
	ring.tail = 0;
	atomic_store(&ring.running, true);
	return 0;
}

/* stderr may be a pipe whose reader is gone or slow: what cannot be written is lost, not waited
 * for beyond the writing thread's own patience. */
static void write_all(const char *bytes, size_t len)
{
	ssize_t wrote;

	while (len) {
		wrote = write(STDERR_FILENO, bytes, len);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return;
		bytes += wrote;
		len -= (size_t)wrote;
	}
}

void log_drain(void)
{
	struct slot *slot;
	uint64_t count;

	if (read(ring.event_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	for (;;) {
		slot = &ring.slots[ring.tail & (RING_SLOTS - 1)];
		if (atomic_load_explicit(&slot->sequence, memory_order_acquire) != ring.tail + 1)
			return;
		write_all(slot->line, slot->len);
		atomic_store_explicit(
			&slot->sequence, ring.tail + RING_SLOTS, memory_order_release);
		ring.tail++;
	}
}

void log_stop(void)
{
	if (!atomic_exchange(&ring.running, false))
		return;
	log_drain();
	close(ring.event_fd);
	ring.event_fd = -1;
	free(ring.slots);
	ring.slots = NULL;
}

static struct slot *claim(uint64_t *ret_position)
{
	uint64_t position = atomic_load_explicit(&ring.head, memory_order_relaxed);
	struct slot *slot;
	int64_t ahead;

	for (;;) {
		slot = &ring.slots[position & (RING_SLOTS - 1)];
		ahead = (int64_t)(atomic_load_explicit(&slot->sequence, memory_order_acquire) -
				  position);
		if (ahead < 0)
			return NULL;
		if (ahead > 0) {
			position = atomic_load_explicit(&ring.head, memory_order_relaxed);
			continue;
		}
		if (atomic_compare_exchange_weak_explicit(&ring.head, &position, position + 1,
			    memory_order_relaxed, memory_order_relaxed)) {
			*ret_position = position;
			return slot;
		}
	}
}

static void ring_put(const char *line, size_t len)
{
	uint64_t position, one = 1;
	struct slot *slot = claim(&position);

	if (!slot) {
		atomic_fetch_add_explicit(&ring.dropped, 1, memory_order_relaxed);
		return;
	}
	memcpy(slot->line, line, len);
	slot->len = (uint32_t)len;
	atomic_store_explicit(&slot->sequence, position + 1, memory_order_release);
	/* The counter of an event descriptor cannot overflow here; a failed wake is made good by
	 * the next line's. */
	if (write(ring.event_fd, &one, sizeof(one)) < 0)
		return;
}

/* Control bytes in a line (names, peers' data) would let an outsider forge log lines or steer the
 * terminal that shows them; U+0080 to U+009F, C2 80 to C2 9F in UTF-8, are controls too. */
static void defuse(char *text, size_t len)
{
	unsigned char byte, before = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		byte = (unsigned char)text[i];
		if (byte < 0x20 || byte == 0x7f || (before == 0xc2 && byte >= 0x80 && byte <= 0x9f))
			text[i] = '?';
		before = byte;
	}
}

void log_write(enum log_level level, const char *module, const char *format, ...)
{
	char line[LOG_LINE_BYTES];
	struct timespec now;
	struct tm utc;
	va_list args;
	size_t len;
	int n;

	if (level > log_level_get())
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	len = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &utc);
	len += (size_t)snprintf(line + len, sizeof(line) - len,
		".%03ldZ %-5s %s: ", now.tv_nsec / 1000000, level_names[level], module);
	va_start(args, format);
	n = vsnprintf(line + len, sizeof(line) - len - 1, format, args);
	va_end(args);
	len += n < 0 ? 0 : (size_t)n;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	defuse(line, len);
	line[len++] = '\n';
	if (atomic_load_explicit(&ring.running, memory_order_acquire))
		ring_put(line, len);
	else
		write_all(line, len);
}
