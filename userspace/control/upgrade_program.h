/*
 * Starting the program that is to take over: with the arguments and the environment that this process
 * was started with, and --take-over. What it says until it serves comes through a pipe, into our log. The
 * control thread, which may start programs, and is what the new one gets its capabilities from.
 */
#ifndef SLUICE_CONTROL_UPGRADE_PROGRAM_H
#define SLUICE_CONTROL_UPGRADE_PROGRAM_H

#include "core/attr.h"
#include "core/err.h"
#include <sys/types.h>

/* At the start of main(), before anything is taken out of the environment. */
void upgrade_program_init(int argc, char **argv);
/* `path` NULL: the one that was started, as it is now. */
int upgrade_program_start(
	const char *path, pid_t *ret_pid, int *ret_output_fd, struct err *err) must_check;

#endif
