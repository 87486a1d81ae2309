/*
 * The log of the daemon: one line per event, "level module: text key=value ...", to stderr or a
 * file. Any thread may call; nothing here blocks: lines go through a bounded ring to a thread
 * of their own, which writes them, and what does not fit is counted. Before log_start() and after
 * log_stop() lines are written directly (start, --check, tools, tests).
 */
#ifndef SLUICE_CORE_LOG_H
#define SLUICE_CORE_LOG_H

#include "core/attr.h"
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum { LOG_LINE_BYTES = 512 };

/* Lines above this level are not even formatted. Any thread. */
void log_level_set(enum log_level level);
enum log_level log_level_get(void);

/* Switches to the ring; log_drain() is then called by the writing thread whenever
 * log_event_fd() is readable. Returns 0 or -errno. */
int log_start(void) must_check;
int log_event_fd(void);
void log_drain(void);
/* Writes what is left and returns to direct writing. No other thread may log meanwhile: called
 * when they have ended. */
void log_stop(void);
/* Lines lost because the ring was full. */
uint64_t log_dropped(void);

void log_write(enum log_level level, const char *module, const char *format, ...) printf_like(3, 4);

/* A source file that logs defines LOG_MODULE before including this header. */
#define log_error(...) log_write(LOG_LEVEL_ERROR, LOG_MODULE, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, LOG_MODULE, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, LOG_MODULE, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, LOG_MODULE, __VA_ARGS__)

#endif
