/*
 * The end of the daemon's life, in two steps. Leaving: it says that it is not ready, so that who
 * sends clients here stops doing so; who comes nevertheless is served, and told not to stay.
 * Stopping: new connections are refused, what is under way may finish; when the last connection
 * has ended, or the time is up, the loop of the control thread is stopped. Control thread.
 */
#ifndef SLUICE_CONTROL_LEAVING_H
#define SLUICE_CONTROL_LEAVING_H

#include <stdint.h>

struct daemon;

enum { LEAVING_TICK_MS = 50 }; /* of the daemon, once it stops */
enum leaving_state { LEAVING_NOT, LEAVING_GRACE, LEAVING_STOPPING };

void leaving_init(struct daemon *daemon);
/* Asked again it changes nothing. */
void leaving_ask(struct daemon *daemon);
/* Another process serves: what is under way here may take upgrade.timeout to end. */
void leaving_hand_over(struct daemon *daemon);
/* What upgrade_keep_stop() has put off. */
void leaving_go_on(struct daemon *daemon);
/* A second one goes on to the next step at once. The first one after leaving_ask() does not: it is the
 * service manager's, whose hook before the stop has asked. */
void leaving_signal(struct daemon *daemon, const char *name);
/* Once a tick. */
void leaving_tick(struct daemon *daemon);
/* "ready", "leaving", "stopping" */
const char *leaving_word(const struct daemon *daemon);
/* Until the present step ends at the latest; 0 where it is ready. */
uint64_t leaving_left_ms(const struct daemon *daemon);

#endif
