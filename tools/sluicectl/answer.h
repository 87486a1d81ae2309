/* What to do with the daemon's answer: print it in the wanted form, or the error. */
#ifndef SLUICECTL_ANSWER_H
#define SLUICECTL_ANSWER_H

#include "client.h"
#include "sluicectl.h"

/* JSON and YAML carry the answer as it is, also an error. As a table, an error goes to stderr.
 * EXIT_OK or EXIT_REFUSED. */
int answer_print(const struct answer *answer, const struct invocation *invocation,
	render_function *render, const struct render_look *look, FILE *out);

#endif
