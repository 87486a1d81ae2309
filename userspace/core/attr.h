/* Compiler attributes and small macros used everywhere. */
#ifndef SLUICE_CORE_ATTR_H
#define SLUICE_CORE_ATTR_H

#include <stddef.h>

#define must_check                      __attribute__((warn_unused_result))
#define printf_like(f, a)               __attribute__((format(printf, f, a)))
#define likely(x)                       __builtin_expect(!!(x), 1)
#define unlikely(x)                     __builtin_expect(!!(x), 0)
#define array_len(a)                    (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#define CACHE_LINE    64
#define cache_aligned __attribute__((aligned(CACHE_LINE)))

#endif
