/*
 * The thread on which everything is done that enters a token's library outside of a handshake. Such a
 * call may not come back: whoever waits for it gives up after a while, and the thread stays in there.
 * Any thread.
 */
#ifndef SLUICE_TLS_TOKEN_THREAD_H
#define SLUICE_TLS_TOKEN_THREAD_H

#include "core/attr.h"
#include "core/list.h"
#include <stdbool.h>

enum { TOKEN_ANSWER_MS = 5000 }; /* a token that needs longer is away */

/* One thing after the other. */
struct token_task {
	struct list link;
	void (*run)(struct token_task *task); /* on the thread */
	void (*tell)(struct token_task
			*task); /* what the log is to hear, there, unless the process stops */
	void (*end)(struct token_task *task); /* frees it; on any thread */
	unsigned int refs; /* this and the next: under the lock of token_thread.c */
	bool is_done;
};

/* Zeroed, with its functions (`tell` may be NULL): done some time, then ended. 0 or -errno, then it is the caller's. */
int token_thread_begin(struct token_task *task) must_check;
/* The same, and waits for it. 0: it is done, and the caller's until token_thread_end(). -ETIMEDOUT: the
 * token does not answer; -ECANCELED: the process stops; other -errno: there is no thread. Whether it will be
 * done is not known then, and it is not the caller's any more. */
int token_thread_do(struct token_task *task) must_check;
void token_thread_end(struct token_task *task);
/* Nobody waits from now on, nothing begins, and nothing is told: the log may end. */
void token_thread_stop(void);
/* The thread is in a token's library: exit() would run that library's ends under its feet. */
bool token_thread_is_inside(void);

#endif
