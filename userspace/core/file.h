/* Reading and writing that goes on until all is done, whatever interrupts it. Any thread. */
#ifndef SLUICE_CORE_FILE_H
#define SLUICE_CORE_FILE_H

#include "core/attr.h"
#include <stddef.h>

/* Reads up to `size` bytes. 0 or -errno; *ret_len (always set): how many came, also on failure; fewer
 * than `size` on success: the file ended. */
int file_read(int fd, void *bytes, size_t size, size_t *ret_len) must_check;
/* The same where a file that ends before `size` is an error: -EBADMSG. */
int file_read_exactly(int fd, void *bytes, size_t size) must_check;
/* Writes all of it. 0 or -errno. */
int file_write(int fd, const void *bytes, size_t len) must_check;

#endif
