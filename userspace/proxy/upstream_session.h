/*
 * A session of HTTP/2 with a target: made with its connection, kept while somebody has a place on it and
 * for a while after, ended. Upstreams of HTTP/2 (upstream_h2.c) alone include this. Owned by one worker.
 */
#ifndef SLUICE_PROXY_UPSTREAM_SESSION_H
#define SLUICE_PROXY_UPSTREAM_SESSION_H

#include "proxy/upstream_h2.h"
#include "proxy/upstream_parts.h"

struct upstream_session {
	struct list link; /* target_worker.sessions, if others may use it */
	struct list places; /* struct upstream */
	struct upstream *carrier;
	struct h2 *h2; /* NULL: the connection is not up yet */
	struct timer timer; /* in use: looks for signs of life; idle, or ending: its end */
	uint32_t n_places;
	bool has_settings; /* of the target: it is known how many places there are */
	bool is_ready; /* or was known of an earlier session: places are LENT */
	bool is_private; /* the PROXY header is for one client */
	bool is_idle; /* counted in target_worker.n_idle */
	bool is_ended; /* its places are being cleared */
	bool has_carried;
	bool is_silent; /* a PING was sent, and nothing has come since */
	uint64_t seen_bytes, seen_news;
	uint64_t pinged_ms; /* 0: never */
};

/* With a connection that is being made, and no places. 0 or -errno. */
int upstream_session_open(struct proxy_worker *worker, struct target_group *group,
	struct target *target, const struct upstream_client *client,
	struct upstream_session **ret_session) must_check;
/* How many places there are; a guess until the target has said so. */
uint32_t upstream_session_room(const struct upstream_session *session);
/* The first place since it was idle, or new. */
void upstream_session_wake(struct upstream_session *session, struct target_group *group);
/* One place less. With the last one it rests, or ends. */
void upstream_session_left(struct upstream_session *session);

#endif
