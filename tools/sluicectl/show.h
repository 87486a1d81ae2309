/* A view, once or, with --watch, again and again. */
#ifndef SLUICECTL_SHOW_H
#define SLUICECTL_SHOW_H

#include "client.h"
#include "sluicectl.h"

struct shown {
	const struct invocation *invocation;
	const char *target;
	render_function *render;
	/* In place of asking for `target`, if it is of several answers; else NULL. As client_ask(). */
	int (*ask)(const struct invocation *invocation, struct answer *ret_answer, struct err *err);
};

/* The exit code. */
int show(const struct shown *shown);
/* GET of a view. */
int show_ask(const struct invocation *invocation, const char *target, struct answer *ret_answer,
	struct err *err) must_check;
bool show_is_terminal(void);

#endif
