/* Everything the BPF programs and user space share. Include vmlinux.h first in BPF code. */
#ifndef SLUICE_ABI_H
#define SLUICE_ABI_H

#include <sluice/types.h>
#include <sluice/limits.h>
#include <sluice/counters.h>
#include <sluice/limit.h>
#include <sluice/listener.h>
#include <sluice/settings.h>
#include <sluice/deny.h>
#include <sluice/backend.h>
#include <sluice/cookie.h>
#include <sluice/gate.h>
#include <sluice/sample.h>

#endif
