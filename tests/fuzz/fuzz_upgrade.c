/*
 * Any bytes as what the daemon before says to the one that takes over from it: message after message, each
 * a byte of kind, one of descriptors, two of length, then a body. A thread says them while they are taken as
 * a daemon takes them, to the counters at the end. What is taken is whole, and no descriptor is left.
 */
#include "control/daemon.h"
#include "control/upgrade_take.h"
#include "core/log.h"
#include "proxy/listener_counts.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	RAW_KIND = 255, /* without a head that is right */
	HEAD_BYTES = 4,
	FDS_MAX = 4,
};

static struct {
	char path[64];
	int door;
	int fd; /* what is given: memory, of a few bytes */
	const uint8_t *data;
	size_t size;
	struct config config;
	struct build build;
	struct daemon daemon;
} fuzz = {.door = -1};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void begin(void)
{
	struct sockaddr_un address;

	snprintf(fuzz.path, sizeof(fuzz.path), "/tmp/fuzz-upgrade.%d", (int)getpid());
	unlink(fuzz.path);
	fuzz.door = upgrade_socket(fuzz.path, 0, &address);
	fuzz.fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fuzz.door < 0 || fuzz.fd < 0 || ftruncate(fuzz.fd, 64) < 0 ||
		bind(fuzz.door, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fuzz.door, 1) < 0)
		abort();
	fuzz.build.config = &fuzz.config;
	fuzz.daemon.build = &fuzz.build;
	fuzz.daemon.counts.gone = listener_stats_new("", 0, 1);
	log_level_set(LOG_LEVEL_ERROR);
}

static int say(int fd, uint32_t kind, const uint8_t *body, size_t len, uint32_t n_fds)
{
	const int fds[FDS_MAX] = {fuzz.fd, fuzz.fd, fuzz.door, fuzz.fd};

	if (kind == RAW_KIND)
		return send(fd, body, len, MSG_NOSIGNAL) < 0 ? -1 : 0;
	return upgrade_send(fd, kind, body, len, fds, n_fds);
}

static void *other_side(void *arg)
{
	int fd = accept(fuzz.door, NULL, NULL);
	const uint8_t *at = fuzz.data, *end = at + fuzz.size;
	size_t len;

	while (fd >= 0 && end - at >= HEAD_BYTES) {
		len = (size_t)at[2] << 8 | at[3];
		if (len > (size_t)(end - at) - HEAD_BYTES)
			len = (size_t)(end - at) - HEAD_BYTES;
		if (say(fd, at[0], at + HEAD_BYTES, len, at[1] % (FDS_MAX + 1)) < 0)
			break;
		at += HEAD_BYTES + len;
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

/* The lowest descriptor that is free. */
static int next_fd(void)
{
	int fd = dup(fuzz.door);

	if (fd >= 0)
		close(fd);
	return fd;
}

static void look(struct upgrade_taken *taken)
{
	int fds[UPGRADE_FDS];
	uint32_t i, at, n, row;

	for (i = 0; i < taken->n_targets; i++)
		if (strlen(taken->targets[i].group) >= sizeof(taken->targets[i].group) ||
			strlen(taken->targets[i].state.detail) >=
				sizeof(taken->targets[i].state.detail))
			abort();
	for (i = 0; i < taken->n_sockets; i++) {
		n = upgrade_taken_sockets(taken, &taken->sockets[i].about.addr, false, fds, &row);
		for (at = 0; at < n; at++)
			close(fds[at]);
	}
	(void)upgrade_taken_lock(taken, UPGRADE_LOCK_PINS, "/");
	(void)upgrade_taken_has_port(taken, 443);
	if (taken->stderr_fd >= 0) /* ours is the fuzzer's */
		close(taken->stderr_fd);
	taken->stderr_fd = -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct upgrade_taken *taken = NULL;
	struct err err;
	pthread_t thread;
	int before;

	if (fuzz.door < 0)
		begin();
	fuzz.data = data;
	fuzz.size = size;
	before = next_fd();
	if (pthread_create(&thread, NULL, other_side, NULL))
		abort();
	if (upgrade_take(fuzz.path, 1, &taken, &err) == 0 && taken) {
		look(taken);
		if (upgrade_commit(&fuzz.daemon, taken, false, &err) == 0)
			(void)upgrade_tell_serving(taken, &err);
	}
	upgrade_taken_free(taken);
	pthread_join(thread, NULL);
	if (next_fd() != before)
		abort();
	return 0;
}
