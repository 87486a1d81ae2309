/*
 * A file of access logs: what listeners see of it (proxy/accesslog.h), and the file itself. Made with a
 * generation and taken over by the next ones as long as they name its path; connections under way may
 * hold it beyond that, so that their lines are written, too. Once a generation with it is in force it is
 * the log's (logs.h), which closes it when nobody holds it any more.
 */
#ifndef SLUICE_CONTROL_ACCESS_FILE_H
#define SLUICE_CONTROL_ACCESS_FILE_H

#include "core/list.h"
#include "proxy/accesslog.h"
#include <stdatomic.h>
#include <stdbool.h>

struct logfile;

struct access_file {
	struct accesslog_output output; /* counted */
	struct list link; /* of the log's, while it has the file */
	bool is_taken; /* the log has it: set, and taken back, while somebody holds it */
	atomic_bool is_unused; /* the log has it, and nobody holds it */
	char *path;
	struct logfile *file;
};

/* Nothing is opened yet. One count, the caller's. Any thread. */
struct access_file *access_file_new(const char *path, uint32_t n_workers);
/* One that is unused, and not under way. Writes what is left. */
void access_file_free(struct access_file *file);

#endif
