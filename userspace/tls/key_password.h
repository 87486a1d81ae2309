/*
 * Passwords of keys: out of a file, the environment or what a command prints. Asked for when a key is
 * read, not kept. Loader thread: a command may take some seconds.
 */
#ifndef SLUICE_TLS_KEY_PASSWORD_H
#define SLUICE_TLS_KEY_PASSWORD_H

#include "core/attr.h"
#include "core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEY_PASSWORD_BYTES_MAX = 1024, KEY_COMMAND_MS = 10000 };

/* At most one of them; all NULL: there is no password. */
struct key_password_source {
	const char *path; /* of a file: its first line */
	const char *env; /* name of a variable */
	char *const *
		command; /* program (absolute) and arguments, ended by NULL: the first line printed */
	uint32_t command_ms; /* how long that may take; 0: KEY_COMMAND_MS */
};

struct key_password {
	char text[KEY_PASSWORD_BYTES_MAX + 1]; /* ends in a zero byte, which is not counted */
	size_t len;
};

bool key_password_is_given(const struct key_password_source *source);
/* 0, also where there is none (then it is empty), or -errno with where the password should have come
 * from. The caller wipes it. */
int key_password_ask(const struct key_password_source *source, struct key_password *ret_password,
	struct err *err) must_check;
void key_password_wipe(struct key_password *password);
/* From now on no command is waited for: -ECANCELED. Any thread. */
void key_password_stop(void);

/* A copy with texts of its own, and its end. */
void key_password_source_copy(
	const struct key_password_source *source, struct key_password_source *ret_copy);
void key_password_source_fini(struct key_password_source *copy);

#endif
