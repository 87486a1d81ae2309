/*
 * The daemon's log files (the connection log): which there are, who writes into them, when they are
 * written out. Control thread; the writing itself is a job of the thread that writes logs.
 */
#ifndef SLUICE_CONTROL_LOGS_H
#define SLUICE_CONTROL_LOGS_H

#include "core/attr.h"
#include <yyjson.h>

struct admin_reply;
struct config_log;
struct daemon;
struct logs;
struct logfile;

struct logs *logs_new(struct daemon *daemon);
/* When workers and the writing thread have ended; writes what is left. NULL is ignored. */
void logs_free(struct logs *logs);
/* Nothing is written any more. NULL is ignored. */
void logs_stop(struct logs *logs);
/* A generation is in force. */
void logs_apply(struct logs *logs, const struct config_log *config);
/* Opens the files again. `reply` (NULL: a signal asked) is finished when that is done. */
void logs_reopen(struct logs *logs, struct admin_reply *reply);
struct logfile *logs_connections(struct logs *logs);

#endif
