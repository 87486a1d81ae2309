/* A connection to the daemon, by its unix socket or by TLS over TCP; blocking, with a time-out. */
#ifndef SLUICECTL_CONNECTION_H
#define SLUICECTL_CONNECTION_H

#include "client.h"
#include <sys/types.h>

struct connection;

/* Gives up waiting after `timeout_s`. 0, or a negative errno and what to do. `where` must outlive it. */
int connection_new(const struct client_where *where, unsigned int timeout_s,
	struct connection **ret_connection, struct err *err) must_check;
void connection_free(struct connection *connection);

/* For the Host header, and lines of headers that say who asks. */
const char *connection_host(const struct connection *connection);
const char *connection_headers(const struct connection *connection);

/* All of it: 0 or a negative errno. */
int connection_write(struct connection *connection, const char *bytes, size_t len) must_check;
/* Bytes, 0 at the end, or a negative errno. */
ssize_t connection_read(struct connection *connection, char *bytes, size_t len) must_check;
/* From now on a pause of any length is none of a hung daemon's. */
void connection_wait_for_ever(struct connection *connection);
/* Why it has failed, or is silent; -EBADMSG: what came is no answer. Returns `code`, or a better one. */
int connection_explain(const struct connection *connection, int code, struct err *err);

#endif
