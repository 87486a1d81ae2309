/* Listening and connecting sockets with the options a load balancer wants. Any thread. */
#ifndef SLUICE_NET_SOCKET_H
#define SLUICE_NET_SOCKET_H

#include "core/err.h"
#include "core/loop.h"
#include "net/addr.h"
#include <sys/un.h>

/*
 * A non-blocking listening socket of a SO_REUSEPORT group (one socket per worker and address).
 * IPv6 sockets are IPV6_V6ONLY. `defer_s`: accept() only once the client has sent something
 * (TCP_DEFER_ACCEPT, seconds; 0 for protocols in which the server speaks first).
 * Returns the descriptor or -errno with the reason.
 */
int socket_listen(const union addr *addr, int backlog, int defer_s, struct err *err) must_check;

/*
 * Is the address free? Without SO_REUSEPORT, so that another program which shares its port with
 * whoever asks (a second daemon of this kind) is found too. 0, or -errno with the reason.
 */
int socket_probe(const union addr *addr, struct err *err) must_check;

/* Accepts without blocking; TCP_NODELAY comes from the listening socket. The descriptor, -EAGAIN, or -errno. */
int socket_accept(int listen_fd, union addr *ret_peer) must_check;

/* Starts a connection without blocking; TCP_NODELAY set. The descriptor or -errno; a connection
 * under way is not an error. */
int socket_connect(const union addr *addr) must_check;

/* Takes a socket out of the loop and closes it; with `abort` the peer gets a RST. None (-1): nothing.
 * The loop's thread. */
void socket_close(struct loop *loop, struct watch *watch, bool abort);

/* The address a client connected to. 0 or -errno. */
int socket_local_addr(int fd, union addr *ret_addr) must_check;

/* The address of a unix socket. 0, -ENAMETOOLONG, or -EINVAL: the path is empty. */
int socket_unix_addr(const char *path, struct sockaddr_un *ret_addr) must_check;

#endif
