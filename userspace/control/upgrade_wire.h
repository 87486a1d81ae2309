/*
 * What two daemons say to each other while one takes over from the other: packets on a unix socket, with
 * descriptors. A body longer than the receiver knows is of a newer version, whose end it does not need, the
 * missing end of a shorter one is zero, unknown kinds are passed over. Any thread.
 */
#ifndef SLUICE_CONTROL_UPGRADE_WIRE_H
#define SLUICE_CONTROL_UPGRADE_WIRE_H

#include "core/attr.h"
#include "net/addr.h"
#include "net/xsk.h"
#include "proxy/health.h"
#include "proxy/outlier.h"
#include "tls/tickets.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
	UPGRADE_MAGIC = 0x53756c53,
	UPGRADE_BODY_BYTES = 32 * 1024,
	UPGRADE_FDS = 128,
	UPGRADE_NAME_BYTES = 128,
	UPGRADE_PATH_BYTES = 512,
	UPGRADE_TEXT_BYTES = 512,
};

/* The numbers stay what they are from version to version. T: said by the one that takes over; G: by
 * the one that gives. */
enum upgrade_kind {
	UPGRADE_HELLO = 1, /* T: struct upgrade_hello; G: the same, first of what is given */
	UPGRADE_SOCKET = 2, /* G: struct upgrade_socket, and its descriptors */
	UPGRADE_TICKETS = 3, /* G: struct tls_tickets_state */
	UPGRADE_LOCK = 4, /* G: struct upgrade_lock, and the descriptor */
	UPGRADE_STDERR = 5, /* G: the descriptor */
	UPGRADE_TARGET = 6, /* G: struct upgrade_target */
	UPGRADE_GIVEN = 7, /* G: that was all */
	UPGRADE_REFUSED = 8, /* G: a text: why there is nothing, or no more */
	UPGRADE_PREPARED = 9, /* T: struct upgrade_prepared: nothing can fail any more */
	UPGRADE_COUNTS = 10, /* G: struct upgrade_counts; later, by how much they have grown */
	UPGRADE_COMMITTED = 11, /* G: serve */
	UPGRADE_SERVING = 12, /* T: leave */
	UPGRADE_LEFT = 13, /* G: struct upgrade_left, now and then, until it ends */
	UPGRADE_REOPEN = 14, /* T: the files of the log were renamed */
	UPGRADE_SECRETS = 15, /* G: struct dp_secrets, of the packet plane */
	UPGRADE_XSK = 16, /* G: struct upgrade_xsk, and its descriptors */
	UPGRADE_TUN = 17, /* G: the descriptors of the queues of the TUN device */
	UPGRADE_TUN_LINK = 18, /* G: that of the link of the tc program there */
	UPGRADE_FLIGHTS = 19, /* G: a descriptor of memory, incomplete first flights */
	UPGRADE_RELOAD = 20, /* G: a reload was asked for by a signal while it gave, or since */
	UPGRADE_OUTLIER = 21, /* G: struct upgrade_outlier */
};

struct upgrade_hello {
	uint32_t pid;
	uint32_t n_workers;
	char version[UPGRADE_NAME_BYTES];
	uint64_t tickets_age_ms, cookies_age_ms;
	uint64_t listen_overflows_before;
};

struct upgrade_socket {
	union addr addr;
	uint32_t row; /* of the packet plane */
	uint32_t defers;
};

enum upgrade_lock_of { UPGRADE_LOCK_PINS, UPGRADE_LOCK_OBJECTS, UPGRADE_LOCKS };

struct upgrade_lock {
	uint32_t of;
	char path[UPGRADE_PATH_BYTES];
};

struct upgrade_target {
	char group[UPGRADE_NAME_BYTES];
	union addr addr;
	struct health_state state;
};

/* Of a target: what requests have said about it. */
struct upgrade_outlier {
	char group[UPGRADE_NAME_BYTES];
	union addr addr;
	struct outlier_state state;
};

struct upgrade_prepared {
	uint32_t has_own_maps; /* not those of the pins: sockets leave the array of those */
	uint32_t gate_layout; /* UPGRADE_GATE_LAYOUT: the gate is given as it is; else closed */
};

enum { UPGRADE_GATE_LAYOUT = 1 }; /* of what follows, and of how it is served */

/* An AF_XDP socket that nobody serves at the moment; of a wrong layout it is made anew. */
struct upgrade_xsk {
	char interface[16];
	uint32_t ifindex, queue, place; /* the last: what its first flights name */
	struct xsk_state state;
};

enum upgrade_counts_of {
	UPGRADE_COUNTS_LISTENER,
	UPGRADE_COUNTS_TARGET,
	UPGRADE_COUNTS_GROUP,
	UPGRADE_COUNTS_GATE,
	UPGRADE_COUNTS_RULE,
	UPGRADE_COUNTS_CERT_CACHE
};

struct upgrade_counts {
	uint32_t of, n_words;
	char name[UPGRADE_NAME_BYTES]; /* of the listener, or the group; of a rule: LISTENER/RULE */
	union addr addr; /* of the target */
	uint64_t words[];
};

struct upgrade_left {
	uint32_t connections;
};

struct upgrade_message {
	uint32_t kind, len, n_fds;
	int fds[UPGRADE_FDS]; /* whoever takes one puts -1 in its place */
	_Alignas(8) uint8_t body[UPGRADE_BODY_BYTES];
};

/* 0 or -errno; -EAGAIN: there is no room for it now. */
int upgrade_send(int fd, enum upgrade_kind kind, const void *body, size_t len, const int *fds,
	uint32_t n_fds) must_check;
/* 1: a message; 0: the other side is gone; -EAGAIN; -EBADMSG: it is none; -errno. `ret_message` is to
 * be ended by upgrade_message_end() in any case. */
int upgrade_recv(int fd, struct upgrade_message *ret_message) must_check;
/* Closes the descriptors that nobody took. */
void upgrade_message_end(struct upgrade_message *message);
/* The body as a structure of `len`: as much of it as there is, zeroes for the rest. */
void upgrade_body(const struct upgrade_message *message, void *ret_body, size_t len);
/* A field of a body as a text, whatever is in it. */
void upgrade_text_end(char *text, size_t bytes);
/* A socket for such messages, and the address of `path`; `flags` beside close-on-exec. -errno. */
int upgrade_socket(const char *path, int flags, struct sockaddr_un *ret_address) must_check;
/* Connects to the socket of a daemon that runs. The descriptor, or -errno: -ENOENT, -ECONNREFUSED: there
 * is none. */
int upgrade_connect(const char *path) must_check;
/* 0: the other end is of our user, or root; -EPERM: it is not; another -errno: nobody knows. */
int upgrade_check_peer(int fd, struct ucred *ret_peer) must_check;

#endif
