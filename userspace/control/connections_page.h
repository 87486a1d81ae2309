/*
 * What crosses between the control thread and a worker when connections are listed: a page. The
 * control thread hands one to a worker, which looks at its own connections, a bounded number each
 * turn, copies those that are wanted into the page and hands it back when it is full or there are
 * no more. Nothing is locked: a page has one owner at a time, but for its walk, which stays in the
 * worker's list until the page has come back as the last one.
 */
#ifndef SLUICE_CONTROL_CONNECTIONS_PAGE_H
#define SLUICE_CONTROL_CONNECTIONS_PAGE_H

#include "core/attr.h"
#include "dataplane/dp_deny.h"
#include "proxy/conn_walk.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	CONNECTIONS_PAGE_ROWS = 64,
	CONNECTIONS_LOOKS_PER_TURN = 256, /* connections a worker looks at in one turn */
	CONNECTIONS_NAME_BYTES = 64,      /* CONFIG_NAME_MAX, or an address */
	CONNECTIONS_SNI_BYTES = 256,
};

/* A bit for each state that is wanted; 0: all of them. */
struct connections_filter {
	char listener[CONNECTIONS_NAME_BYTES]; /* "": any */
	bool has_client;
	struct dp_prefix client;
	uint32_t states;
	uint64_t after_id; /* only if `has_after`: ids above it */
	bool has_after;
};

struct connections_tls {
	bool is_there;
	bool resumed;
	char version[16], cipher[48], group[32], alpn[32];
	uint8_t places[TLS_DIRECTIONS]; /* enum ktls_place */
	uint64_t key_updates;
};

/* A connection as it was for a moment. */
struct connections_row {
	uint64_t id, age_ms, idle_ms, bytes_in, bytes_out;
	uint32_t requests;
	uint8_t state; /* enum conn_state */
	char listener[CONNECTIONS_NAME_BYTES];
	union addr client, local;
	char ja4[JA4_BYTES];
	char sni[CONNECTIONS_SNI_BYTES];
	struct connections_tls tls, target_tls;
	char target_group[CONNECTIONS_NAME_BYTES], target[CONNECTIONS_NAME_BYTES]; /* "": none */
};

struct connections_outbox;

struct connections_page {
	struct connections_page *next; /* in an inbox or outbox */
	/* Set before it is handed out. */
	struct connections_outbox *outbox;
	struct connections_filter filter;
	uint32_t max_rows; /* at most CONNECTIONS_PAGE_ROWS */
	bool is_cancelled; /* ends the walk and comes back at once */
	/* The worker's. */
	struct proxy_worker *worker;
	struct conn_walk walk;
	struct task task;
	/* The answer. */
	bool is_last; /* the worker has no more: it has let go of the page */
	uint32_t n_rows;
	struct connections_row rows[CONNECTIONS_PAGE_ROWS];
};

/* Pages for one worker. Zero-initialised: empty. */
struct connections_inbox {
	_Atomic(struct connections_page *) pages;
};

/* Pages on their way back; `fd` is an eventfd. */
struct connections_outbox {
	_Atomic(struct connections_page *) pages;
	int fd;
};

/* Control thread; then wakes the worker's loop itself. */
void connections_inbox_put(struct connections_inbox *inbox, struct connections_page *page);
/* Takes all that are there, linked by `next`; NULL: none. */
struct connections_page *connections_outbox_take(struct connections_outbox *outbox);

/* On the worker, once a turn: starts, or goes on with, what has been handed to it. */
void connections_serve(struct connections_inbox *inbox, struct proxy_worker *worker);

#endif
