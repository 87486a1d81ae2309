/*
 * The connection log: a line of JSON for each TLS handshake of a client, the moment it succeeds or
 * fails. Lines go through a ring of the worker to whoever writes them (control/logfile.c); with no
 * ring nothing is made. What XDP drops or its gate refuses is no connection, and has no line. Worker
 * threads.
 */
#ifndef SLUICE_PROXY_CONNLOG_H
#define SLUICE_PROXY_CONNLOG_H

#include "proxy/conn.h"

/* `failed` NULL: it succeeded; else why, where TLS itself has no reason ("handshake_timeout"). */
void connlog_put(const struct conn *conn, const char *failed);

/* One that ended before there was a TLS stream. */
struct connlog_early {
	const char *failure, *detail; /* words; detail "": none */
	struct slice server_name; /* as far as it is known */
	uint8_t alert; /* that it was told; 0: none */
};

/* The listener has TLS. */
void connlog_put_early(const struct conn *conn, const struct connlog_early *early);

#endif
