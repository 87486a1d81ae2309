/*
 * What the service manager is told (sd_notify(3): datagrams to $NOTIFY_SOCKET): ready, reloading,
 * stopping, and that the daemon is alive, for its watchdog. Without a service manager nothing
 * happens. Control thread.
 */
#ifndef SLUICE_CONTROL_SERVICE_H
#define SLUICE_CONTROL_SERVICE_H

#include "core/err.h"
#include <stdint.h>

/* Takes $NOTIFY_SOCKET and $WATCHDOG_USEC out of the environment: commands that are run must not
 * speak for the daemon. A socket that cannot be reached is an error: the manager would wait for
 * "ready" in vain. */
int service_init(struct err *err) must_check;
void service_ready(const char *status);
void service_reloading(void);
void service_reloaded(void);
/* It takes `ms` at most, and is not to be killed before. */
void service_stopping(const char *status, uint64_t ms);
/* Another process is the one to watch from now on; it speaks for itself. */
void service_main_pid(uint32_t pid);
/* Tells the watchdog, at most as often as it needs it. */
void service_alive(void);
void service_fini(void);

#endif
