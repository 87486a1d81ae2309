/*
 * Fixed-width types for headers shared by the BPF programs and user space: from vmlinux.h where
 * that was included first, from <linux/types.h> everywhere else. Nothing but the compiler and
 * the kernel's own types may be needed by include/sluice/.
 */
#ifndef SLUICE_TYPES_H
#define SLUICE_TYPES_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* Functions of shared headers: no symbol, no call. */
#define SLUICE_INLINE static inline __attribute__((always_inline))

/* Every shared structure states its size: both sides are compiled against the same number. */
#define SLUICE_SIZE(type, bytes)                                                                   \
	_Static_assert(sizeof(type) == (bytes), #type " is " #bytes " bytes")

#endif
