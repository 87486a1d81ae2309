/*
 * What the daemon tells about itself: the contents of the admin API, in the shapes of docs/api.md.
 * Reads the daemon, changes nothing but the samples and sums kept for this purpose. Control thread.
 */
#ifndef SLUICE_CONTROL_VIEWS_H
#define SLUICE_CONTROL_VIEWS_H

#include "control/admin.h"
#include "net/addr.h"

struct daemon;

/* `arg` is the struct daemon. */
extern const struct admin_source views_source;

/* Before the admin API opens: notes what the kernel had counted before this start. */
void views_start(struct daemon *daemon);
/* About once a second: samples how busy the workers are. */
void views_tick(struct daemon *daemon);

/* The listener that has this id, or (UINT32_MAX) serves this address; NULL: none. Valid until the
 * next generation. */
const char *view_listener_name(void *daemon, uint32_t id, const union addr *local);

#endif
