/*
 * The daemon's log files (the connection log, access logs): which there are, who writes into them, when they are
 * written out. Control thread; the writing itself is a job of the thread that writes logs.
 */
#ifndef SLUICE_CONTROL_LOGS_H
#define SLUICE_CONTROL_LOGS_H

#include "core/attr.h"
#include <stdbool.h>
#include <yyjson.h>

struct admin_reply;
struct build;
struct daemon;
struct logs;
struct logfile_counts;

struct logs *logs_new(struct daemon *daemon);
/* When workers and the writing thread have ended; writes what is left. NULL is ignored. */
void logs_free(struct logs *logs);
/* Nothing is written any more. NULL is ignored. */
void logs_stop(struct logs *logs);
/* A generation is about to be in force. */
void logs_apply(struct logs *logs, const struct build *build);
/* Opens the files again. `reply` (NULL: a signal asked) is finished when that is done. */
void logs_reopen(struct logs *logs, struct admin_reply *reply);
void logs_connections(struct logs *logs, struct logfile_counts *ret_counts);
/* The next file of access logs; *cursor is NULL for the first. False: no more. */
bool logs_next_access(
	struct logs *logs, void **cursor, const char **ret_path, struct logfile_counts *ret_counts);

#endif
