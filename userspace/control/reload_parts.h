/* The inside of a reload or transaction: shared by reload.c (what is done) and reload_answer.c (what
 * is told). Control thread, but for what job.run does. */
#ifndef SLUICE_CONTROL_RELOAD_PARTS_H
#define SLUICE_CONTROL_RELOAD_PARTS_H

#include "control/apply.h"
#include "control/transaction.h"

struct reload {
	struct list link; /* among those that wait */
	struct job job, commit_job;
	struct daemon *daemon;
	struct admin_reply *reply; /* NULL: a signal asked */
	struct change_request *request; /* NULL: the file is read again */
	size_t bytes; /* that were counted for it */
	struct reload_how how;
	bool again; /* asked for once more meanwhile */
	struct config_errors errors;
	struct build *build; /* NULL: refused, or nothing is to be done */
	struct transaction transaction; /* of a request */
	struct config_text text; /* of the file that was read */
	struct object_rows rows;
	struct lists_request lists_done;
	int lists_code;
	char *lists_text;
	struct err commit_err; /* "": the version is kept */
};

/* What was wrong; finishes the reply. */
void reload_tell_refused(struct reload *reload);
void reload_tell_stopping(struct reload *reload);
/* It is in force, or would be. */
void reload_tell_done(struct reload *reload);

#endif
