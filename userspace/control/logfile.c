/* Log files: see logfile.h. */
#define LOG_MODULE "log"
#include "control/logfile.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { TRY_AGAIN_MS = 1000 };

struct logfile {
	const char *what;
	struct linering **rings; /* made with the first path, kept to the end */
	uint32_t n;
	int wake_fd;
	bool is_on; /* control thread: there is a path */
	/* What the two threads share */
	pthread_mutex_t lock;
	char *wanted; /* path; NULL: none */
	atomic_bool is_changed; /* `wanted`, or it is to be opened again */
	struct logfile_counts counts;
	/* The writing thread */
	char *path; /* of what is open, or could not be opened */
	int fd;
	bool is_mid_line; /* the file ends within a line */
	bool has_told; /* the error is in the log */
	uint64_t try_at_ms;
};

struct logfile *logfile_new(const char *what, uint32_t n_writers)
{
	struct logfile *log = mem_zalloc(sizeof(*log));

	log->what = what;
	log->n = n_writers;
	log->wake_fd = log->fd = -1;
	pthread_mutex_init(&log->lock, NULL);
	return log;
}

static bool has_lines(const struct logfile *log)
{
	uint32_t i;

	for (i = 0; log->rings && i < log->n; i++)
		if (!linering_is_empty(log->rings[i]))
			return true;
	return false;
}

void logfile_free(struct logfile *log)
{
	uint32_t i;

	if (!log)
		return;
	if (has_lines(log))
		logfile_drain(log);
	if (log->fd >= 0)
		close(log->fd);
	for (i = 0; log->rings && i < log->n; i++)
		linering_free(log->rings[i]);
	free(log->rings);
	free(log->wanted);
	free(log->path);
	pthread_mutex_destroy(&log->lock);
	free(log);
}

static void set_wakes(struct logfile *log)
{
	uint32_t i;

	for (i = 0; log->wake_fd >= 0 && log->rings && i < log->n; i++)
		linering_wake_at(log->rings[i], LOGFILE_WAKE_BYTES, log->wake_fd);
}

static void make_rings(struct logfile *log)
{
	uint32_t i;

	log->rings = mem_zalloc(log->n * sizeof(struct linering *));
	for (i = 0; i < log->n; i++)
		log->rings[i] = linering_new(LOGFILE_RING_BYTES);
	set_wakes(log);
}

void logfile_wake_by(struct logfile *log, int fd)
{
	log->wake_fd = fd;
	set_wakes(log);
}

static bool is_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

void logfile_set_path(struct logfile *log, const char *path)
{
	if (path && !log->rings)
		make_rings(log);
	log->is_on = path != NULL;
	pthread_mutex_lock(&log->lock);
	if (!is_same(log->wanted, path)) {
		free(log->wanted);
		log->wanted = path ? mem_strdup(path) : NULL;
		log->is_changed = true;
	}
	pthread_mutex_unlock(&log->lock);
}

struct linering *logfile_ring(struct logfile *log, uint32_t index)
{
	return log->is_on ? log->rings[index] : NULL;
}

void logfile_reopen(struct logfile *log)
{
	if (log->is_on)
		atomic_store(&log->is_changed, true);
}

bool logfile_has_work(const struct logfile *log)
{
	return atomic_load(&log->is_changed) || has_lines(log);
}

/* --- the writing thread */
static void note_error(struct logfile *log, const char *action, int error)
{
	pthread_mutex_lock(&log->lock);
	snprintf(log->counts.error, sizeof(log->counts.error), "cannot %s: %s", action,
		strerror(error));
	pthread_mutex_unlock(&log->lock);
	if (!log->has_told)
		log_error("%s: cannot %s %s: %s: its lines are dropped until that works", log->what,
			action, log->path, strerror(error));
	log->has_told = true;
}

static void note_success(struct logfile *log)
{
	pthread_mutex_lock(&log->lock);
	log->counts.error[0] = '\0';
	pthread_mutex_unlock(&log->lock);
	if (log->has_told)
		log_info("%s: %s is written again", log->what, log->path);
	log->has_told = false;
}

static void try_open(struct logfile *log)
{
	uint64_t now_ms = clock_mono_ms();

	if (log->fd >= 0 || !log->path || now_ms < log->try_at_ms)
		return;
	log->fd = open(
		log->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	log->is_mid_line = false;
	log->try_at_ms = now_ms + TRY_AGAIN_MS;
	if (log->fd < 0)
		note_error(log, "open", errno);
	else
		note_success(log);
}

static void follow_path(struct logfile *log)
{
	int old = -1;
	bool reopened;

	pthread_mutex_lock(&log->lock);
	if (atomic_exchange(&log->is_changed, false)) {
		reopened = is_same(log->path, log->wanted);
		log->counts.reopened += reopened;
		free(log->path);
		log->path = log->wanted ? mem_strdup(log->wanted) : NULL;
		old = log->fd;
		log->fd = -1;
		log->try_at_ms = 0;
		log->has_told = log->has_told && reopened;
	}
	pthread_mutex_unlock(&log->lock);
	if (old >= 0)
		close(old); /* waits for a file system that hangs */
	try_open(log);
	pthread_mutex_lock(&log->lock);
	log->counts.is_open = log->fd >= 0;
	pthread_mutex_unlock(&log->lock);
}

static uint64_t count_ends(const char *bytes, size_t len)
{
	const char *end = bytes + len;
	uint64_t n = 0;

	while (bytes < end && (bytes = memchr(bytes, '\n', (size_t)(end - bytes)))) {
		n++;
		bytes++;
	}
	return n;
}

static uint64_t count_lines(const struct slice *runs, size_t from, size_t to)
{
	uint64_t lines = 0;
	size_t start = 0, begin, end;
	int run;

	for (run = 0; run < 2; run++) {
		begin = start < from ? from - start : 0;
		end = to - start < runs[run].len ? to - start : runs[run].len;
		if (to > start && begin < end)
			lines += count_ends(runs[run].ptr + begin, end - begin);
		start += runs[run].len;
	}
	return lines;
}

/* What the kernel takes of two runs, less than all when the disk is full. */
static size_t write_runs(struct logfile *log, const struct slice *runs, size_t len)
{
	struct iovec iov[3] = {{(void *)"\n", log->is_mid_line}};
	size_t extra = log->is_mid_line;
	ssize_t wrote;
	int i;

	for (i = 0; i < 2; i++)
		iov[i + 1] = (struct iovec){(void *)runs[i].ptr, runs[i].len};
	do
		wrote = writev(log->fd, iov, 3);
	while (wrote < 0 && errno == EINTR);
	if (wrote < 0 || (size_t)wrote < len + extra)
		note_error(log, "write", wrote < 0 ? errno : ENOSPC);
	else if (log->has_told)
		note_success(log);
	if (wrote < (ssize_t)extra || wrote < 0)
		return 0;
	log->is_mid_line = false; /* the end of that line is written, be it the only thing */
	return (size_t)wrote - extra;
}

static char byte_at(const struct slice *runs, size_t at)
{
	return at < runs[0].len ? runs[0].ptr[at] : runs[1].ptr[at - runs[0].len];
}

static void drain_ring(struct logfile *log, struct linering *ring)
{
	struct slice runs[2];
	size_t len = linering_peek(ring, runs), wrote = 0;
	uint64_t lines;

	if (!len)
		return;
	if (log->fd >= 0)
		wrote = write_runs(log, runs, len);
	if (wrote)
		log->is_mid_line = byte_at(runs, wrote - 1) != '\n';
	lines = count_lines(runs, 0, wrote);
	pthread_mutex_lock(&log->lock);
	log->counts.written += lines;
	log->counts.bytes += wrote;
	log->counts.dropped_error += count_lines(runs, wrote, len);
	pthread_mutex_unlock(&log->lock);
	linering_take(ring, len);
}

static void drain_rings(struct logfile *log)
{
	uint32_t i;

	for (i = 0; log->rings && i < log->n; i++)
		drain_ring(log, log->rings[i]);
}

/* No file follows the one that is open. */
static bool is_ending(struct logfile *log)
{
	bool is_last;

	pthread_mutex_lock(&log->lock);
	is_last = !log->wanted && log->fd >= 0;
	pthread_mutex_unlock(&log->lock);
	return is_last;
}

void logfile_drain(struct logfile *log)
{
	if (is_ending(log))
		drain_rings(log);
	follow_path(log);
	drain_rings(log);
}

void logfile_counts(struct logfile *log, struct logfile_counts *ret_counts)
{
	uint32_t i;

	pthread_mutex_lock(&log->lock);
	*ret_counts = log->counts;
	pthread_mutex_unlock(&log->lock);
	ret_counts->dropped_full = 0;
	for (i = 0; log->rings && i < log->n; i++)
		ret_counts->dropped_full += linering_dropped(log->rings[i]);
}
