/*
 * The socket of the admin API and who owns it. A daemon holds "PATH.lock" (flock, with its pid
 * inside) for as long as it lives, so that a socket file without that lock is a dead daemon's and
 * may be replaced. Control thread; admin_socket_owner() anywhere.
 */
#ifndef SLUICE_CONTROL_ADMIN_SOCKET_H
#define SLUICE_CONTROL_ADMIN_SOCKET_H

#include "core/attr.h"
#include "core/err.h"
#include <sys/types.h>

struct admin_socket {
	char *path;
	char *lock_path;
	int fd; /* listening, non-blocking */
	int lock_fd;
};

/* 0; -EADDRINUSE if a live daemon has it (the text names its pid); another negative errno. */
int admin_socket_open(struct admin_socket *sock, const char *path, struct err *err) must_check;
/* Removes the socket and the lock. */
void admin_socket_close(struct admin_socket *sock);

/* 1 if somebody serves the socket (its pid in `ret_pid`, 0 if it cannot be told), 0 if nobody
 * does, or a negative errno (-EACCES: it cannot be told). */
int admin_socket_owner(const char *path, pid_t *ret_pid) must_check;
/* -EADDRINUSE as above if somebody serves it; 0 else: what can be told without taking it. */
int admin_socket_check(const char *path, struct err *err) must_check;
/* Removes what a dead daemon left: 1 if there was something, 0 if not; -EADDRINUSE as above. */
int admin_socket_purge(const char *path, struct err *err) must_check;

#endif
