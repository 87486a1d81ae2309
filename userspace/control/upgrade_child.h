/*
 * The program that was started to take over, as a child of this process: what it says until it serves, which
 * goes to our log, and its end. Control thread.
 */
#ifndef SLUICE_CONTROL_UPGRADE_CHILD_H
#define SLUICE_CONTROL_UPGRADE_CHILD_H

#include "core/err.h"
#include "core/loop.h"
#include <stdbool.h>
#include <sys/types.h>

enum { UPGRADE_CHILD_TEXT_BYTES = 4096 };

struct upgrade_child {
	struct loop *loop;
	/* With its status, or 128 and the number of the signal. */
	void (*ended)(struct upgrade_child *child, int status);
	pid_t pid; /* 0: none */
	struct watch end;    /* a descriptor of the process; fd -1: none */
	struct watch output; /* fd -1: none */
	char text[UPGRADE_CHILD_TEXT_BYTES]; /* the end of what it said */
	size_t len;
};

void upgrade_child_init(struct upgrade_child *child, struct loop *loop,
	void (*ended)(struct upgrade_child *child, int status));
/* It lives on. */
void upgrade_child_fini(struct upgrade_child *child);
/* `path` as upgrade_program_start(). There is none yet. */
int upgrade_child_start(struct upgrade_child *child, const char *path, struct err *err) must_check;
/* Whether it has that pid; one of another container has none here: 0. */
bool upgrade_child_is(const struct upgrade_child *child, uint32_t pid);
void upgrade_child_signal(const struct upgrade_child *child, int number);
/* Takes what it has said so far. */
void upgrade_child_read(struct upgrade_child *child);

#endif
