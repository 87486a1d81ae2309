/* Reading files whole, with reasons. Contents may be secret: they are wiped when freed. */
#ifndef SLUICE_TLS_FILES_H
#define SLUICE_TLS_FILES_H

#include "core/attr.h"
#include "core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stat;

enum { TLS_FILE_BYTES_MAX = 1 << 20 };

/* 0 or -errno with "cannot read PATH: reason". */
int tls_file_read(
	const char *path, uint8_t **ret_bytes, size_t *ret_len, struct err *err) must_check;
/* The same for files of up to `max` bytes; larger: -EFBIG. */
int tls_file_read_max(const char *path, size_t max, uint8_t **ret_bytes, size_t *ret_len,
	struct err *err) must_check;
/* The same as tls_file_read(), with the identity of what was read. -EAGAIN: the file was changed meanwhile. */
int tls_file_read_identity(const char *path, uint8_t **ret_bytes, size_t *ret_len,
	uint64_t *ret_identity, struct err *err) must_check;
void tls_file_free(uint8_t *bytes, size_t len);

/* Tells whether a file is another than it was: a digest of device, inode, size, and the times of the
 * last change of content and of inode. Never 0. */
uint64_t tls_file_identity(const struct stat *about);
/* Whether a path lies in memory (tmpfs, ramfs): what is there is not to outlive the machine. */
bool tls_file_is_volatile(const char *path);
/* Of a path now; 0: there is no file, or it cannot be looked at. */
uint64_t tls_file_identity_at(const char *path);

#endif
