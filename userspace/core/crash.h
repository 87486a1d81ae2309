/*
 * What is said when the process dies of a signal that it sent itself by a fault (SIGSEGV, SIGBUS,
 * SIGILL, SIGFPE, SIGABRT): version, signal, thread, how long it ran, and the stack as function
 * addresses of the program file. No registers, no memory, no addresses of data: these may hold keys.
 * It goes to standard error at once, past the log; then the process ends by that same signal.
 */
#ifndef SLUICE_CORE_CRASH_H
#define SLUICE_CORE_CRASH_H

#include "core/attr.h"
#include <pthread.h>

/* Before threads are started. `version` must stay. */
void crash_init(const char *version);
/* On a thread that begins: so that running out of stack is reported too. One that has not called it
 * reports everything else. Freed by the thread's end. */
void crash_thread_init(void);

/* Ends the process as if `thread` had called abort(), whatever it does; `cause` (static) is in the
 * report. If that thread cannot take a signal, nothing happens. */
void crash_thread(pthread_t thread, const char *cause);
/* The same for the calling thread. */
_Noreturn void crash_now(const char *cause);

#endif
