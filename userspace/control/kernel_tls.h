/* Whether this kernel can make and open TLS records (CONFIG_TLS, module tls). Any thread. */
#ifndef SLUICE_CONTROL_KERNEL_TLS_H
#define SLUICE_CONTROL_KERNEL_TLS_H

#include "core/attr.h"
#include <stdbool.h>

#define KERNEL_TLS_MISSING "this kernel has no TLS (CONFIG_TLS, module tls)"

/* Whether it is there now; loads nothing (ktls_kernel_exists() does). */
bool kernel_tls_is_there(void);

#endif
