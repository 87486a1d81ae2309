/*
 * The connection log: a line of JSON for each TLS handshake of a client, the moment it succeeds or
 * fails. Lines go through a ring of the worker to whoever writes them (control/logfile.c); with no
 * ring nothing is made. Worker threads.
 */
#ifndef SLUICE_PROXY_CONNLOG_H
#define SLUICE_PROXY_CONNLOG_H

#include "proxy/conn.h"

/* `failed` NULL: it succeeded; else why, where TLS itself has no reason ("handshake_timeout"). */
void connlog_put(const struct conn *conn, const char *failed);

#endif
