/* Sizes that the kernel side and user space must agree on. */
#ifndef SLUICE_LIMITS_H
#define SLUICE_LIMITS_H

/* Raised whenever the meaning of a pinned map changes in a way its key and value size do not
 * show. Pinned maps of another version are replaced at the next start. */
#define SLUICE_LAYOUT_VERSION 3

#define SLUICE_MAX_LISTENERS   1024
#define SLUICE_MAX_WORKERS     128
#define SLUICE_MAX_BACKENDS    65536 /* ids fit the u16 cells of a Maglev ring */
#define SLUICE_MAX_GROUPS      4096
#define SLUICE_SOURCE_ROWS     (1u << 18) /* default; a power of two */
#define SLUICE_SOURCE_ROWS_MAX (1u << 24)

#define SLUICE_GATE_SLOTS     1024 /* AF_XDP sockets: one per interface and receive queue */
#define SLUICE_INTERFACE_ROWS 4096 /* row = ifindex modulo this */
#define SLUICE_INTERFACE_MACS 6    /* its own and those of the devices on top of it */

#define SLUICE_NAME_BYTES    64 /* with the final NUL */
#define SLUICE_ADDRESS_BYTES 64 /* "[2001:db8::1]:443" */

/* A worker that has not stamped its row for this long is not given connections. */
#define SLUICE_STALE_NS 1000000000ull
/* ... and each worker stamps at least this often. */
#define SLUICE_STAMP_MS 100

#endif
