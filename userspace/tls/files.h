/* Reading small PEM files whole, with reasons. Contents may be secret: they are wiped when freed. */
#ifndef SLUICE_TLS_FILES_H
#define SLUICE_TLS_FILES_H

#include "core/attr.h"
#include "core/err.h"
#include <stddef.h>
#include <stdint.h>

enum { TLS_FILE_BYTES_MAX = 1 << 20 };

/* 0 or -errno with "cannot read PATH: reason". */
int tls_file_read(
	const char *path, uint8_t **ret_bytes, size_t *ret_len, struct err *err) must_check;
void tls_file_free(uint8_t *bytes, size_t len);

#endif
