/*
 * Where the records of a TLS stream are made and opened: in the kernel (linux/tls.h,
 * net/tls/tls_main.c) or by ourselves (records.c), for each direction by itself, and why.
 */
#ifndef SLUICE_TLS_KTLS_H
#define SLUICE_TLS_KTLS_H

#include "core/attr.h"
#include <stdbool.h>
#include <stdint.h>

/* Setting of a listener or target group. */
enum tls_ktls {
	TLS_KTLS_AUTO,    /* where kernel and cipher allow, and bytes can be spliced */
	TLS_KTLS_OFF,
	TLS_KTLS_TX,      /* what we send only */
	TLS_KTLS_REQUIRE, /* a connection that cannot, in both directions, is closed */
};

enum tls_direction { TLS_RX, TLS_TX, TLS_DIRECTIONS };

/* Where one direction is, and why not in the kernel. */
enum ktls_place {
#define KTLS_PLACE(id, help) KTLS_##id,
#include "tls/ktls_places.def"
#undef KTLS_PLACE
	KTLS_PLACES,
};

/* Whether this kernel has TLS (CONFIG_TLS); has the module loaded if it can be, and may wait for
 * that. Any thread. */
bool ktls_kernel_exists(void);

/* The word for logs and counters: "cipher". */
const char *ktls_place_name(enum ktls_place place);
/* The sentence for people. */
const char *ktls_place_help(enum ktls_place place);

#endif
