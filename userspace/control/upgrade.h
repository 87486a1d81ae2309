/*
 * An upgrade that no client notices: a daemon that runs gives all it has to one that was started with
 * --take-over, through a unix socket, and leaves when that one serves (upgrade_take.h is its side). Both
 * have the same listening sockets meanwhile, so that there is no moment without somebody who accepts.
 * Nothing is changed while it goes on; whatever fails, this one goes on as before. Control thread.
 */
#ifndef SLUICE_CONTROL_UPGRADE_H
#define SLUICE_CONTROL_UPGRADE_H

#include "control/upgrade_take.h"
#include "core/err.h"

struct admin_reply;
struct config;
struct daemon;
struct upgrade;

/* Where the socket is: of the setting, or beside that of the admin interface. The caller's. */
char *upgrade_socket_path(const struct config *config);

/* Serves the socket from now on. What was taken over is told as long as the one before is there; `taken`
 * may be NULL. */
void upgrade_open(struct daemon *daemon);
/* Nobody can take over any more. */
void upgrade_close(struct upgrade *upgrade);
/* The last counters are told, if workers have ended. NULL is ignored. */
void upgrade_free(struct upgrade *upgrade);
/* Once a tick of the daemon's. */
void upgrade_tick(struct daemon *daemon);
/* Something is given away at the moment, or was: nothing may change. */
bool upgrade_is_on(const struct daemon *daemon);
/* A signal asks for a reload. False: nobody takes over, it is this daemon's matter. */
bool upgrade_keep_reload(struct daemon *daemon) must_check;
/* This daemon is to stop, which takes its sockets and pins from who takes over, who is told so. True: that one
 * is about to serve; leaving_go_on() follows when it does, or has failed. */
bool upgrade_keep_stop(struct daemon *daemon) must_check;
/* The files of the log were renamed: the process before, if it is still there, has them open, too. */
void upgrade_reopen_logs(struct daemon *daemon);

/* Starts a program (NULL: this one again) which is to take over, and answers when it does or has failed. */
void upgrade_start(struct daemon *daemon, const char *program, struct admin_reply *reply);

/* For views. */
struct upgrade_report {
	uint32_t from_pid; /* 0: it took over from nobody */
	char from_version[UPGRADE_NAME_BYTES];
	bool is_there; /* that one, still */
	uint32_t connections_left; /* with it */
	uint32_t sockets; /* addresses that were taken over */
	uint64_t failed; /* tries of others to take over from this one */
	char error[UPGRADE_TEXT_BYTES]; /* of the last of them */
};
void upgrade_report(const struct daemon *daemon, struct upgrade_report *ret_report);

#endif
