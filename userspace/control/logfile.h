/*
 * A log file of lines that worker threads make: one ring for each of them, written to the file by
 * a thread of their own (loader.h). Nothing a worker does waits for the disk; what does not fit into its ring, or
 * on the disk, is dropped and counted. The same for every kind of line.
 * Control thread, but for logfile_drain() and what linering.h lets writers do.
 */
#ifndef SLUICE_CONTROL_LOGFILE_H
#define SLUICE_CONTROL_LOGFILE_H

#include "core/attr.h"
#include "core/linering.h"
#include <stdbool.h>
#include <stdint.h>

/* What is waiting is written after LOGFILE_REST_MS, or when it is LOGFILE_WAKE_BYTES: what stays in a
 * core's cache. The rest of a ring is for a disk that hangs, and is not touched before. */
enum {
	LOGFILE_RING_BYTES = 8 * 1024 * 1024,
	LOGFILE_WAKE_BYTES = 256 * 1024,
	LOGFILE_REST_MS = 50,
};

struct logfile;

struct logfile_counts {
	uint64_t written, bytes; /* lines, and what they have */
	uint64_t dropped_full; /* lines that came faster than they could be written */
	uint64_t dropped_error; /* lines that the file did not take */
	uint64_t reopened;
	bool is_open;
	char error[128]; /* of the last attempt; "": there was none */
};

/* `what` ("connection log") is for messages, and static. */
struct logfile *logfile_new(const char *what, uint32_t n_writers);
/* When the writers have ended, and no drain is under way. Writes what is left; opens nothing for that
 * if nothing is. NULL is ignored. */
void logfile_free(struct logfile *log);

/* With much to write in a ring its writer writes to the eventfd `fd` (borrowed; the default, -1: to none).
 * Before there is a writer. */
void logfile_wake_by(struct logfile *log, int fd);
/* NULL: no file. Takes effect with the next drain: what is in the rings goes to the new file, if
 * there is one. */
void logfile_set_path(struct logfile *log, const char *path);
/* Where the writer `index` puts its lines; NULL while there is no file. It stays good. */
struct linering *logfile_ring(struct logfile *log, uint32_t index);
/* The file is opened again by the next drain: somebody has renamed it. */
void logfile_reopen(struct logfile *log);
/* Is there anything for a drain to do? */
bool logfile_has_work(const struct logfile *log);
/* The thread that writes logs: opens and reopens, writes all that waits. */
void logfile_drain(struct logfile *log);
/* Any thread. */
void logfile_counts(struct logfile *log, struct logfile_counts *ret_counts);

#endif
