/*
 * The kernel's words for records (linux/tls.h). Its macros TLS_TX and TLS_RX would take the place of
 * our directions of the same names: they are options here. Include before any header of ours.
 */
#ifndef SLUICE_TLS_KTLS_KERNEL_H
#define SLUICE_TLS_KTLS_KERNEL_H

#ifdef SLUICE_TLS_KTLS_H
#error "ktls_kernel.h comes first"
#endif
#include <linux/tls.h>

enum { OPTION_TLS_TX = TLS_TX, OPTION_TLS_RX = TLS_RX };
#undef TLS_TX
#undef TLS_RX

#endif
