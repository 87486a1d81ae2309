/*
 * The index: what is known of the pairs of directories, in one file beside them, so that a start
 * reads one file and looks at the others' identities only. It holds keys and belongs to root: mode
 * 0600. Whatever is wrong with it, it is as good as not there. A value belongs to one thread.
 */
#ifndef SLUICE_TLS_CERTINDEX_H
#define SLUICE_TLS_CERTINDEX_H

#include "core/attr.h"
#include "core/err.h"
#include "core/slice.h"
#include "tls/cert.h"
#include <stddef.h>
#include <stdint.h>

struct certindex;

/* 0; -ENOENT: there is none; another -errno with the reason: it cannot be read or is damaged. */
int certindex_open(const char *path, struct certindex **ret_index, struct err *err) must_check;
/* The same for bytes in memory, which are copied. `has_checksum`: the checksum must be right. */
int certindex_parse(const uint8_t *bytes, size_t len, bool has_checksum,
	struct certindex **ret_index, struct err *err) must_check;
/* NULL is ignored. */
void certindex_free(struct certindex *index);

size_t certindex_len(const struct certindex *index);
/* The certificate of a file below a directory, as it was then: compare cert_identity() with the
 * file. NULL: the index has none. The caller gets a count. */
struct cert *certindex_find(const struct certindex *index, struct cert_source *source,
	const char *directory, struct slice file);

/* --- writing: certificates directory by directory */
struct certindex_writer;

/* Below the folder of `path` a new file, mode 0600. */
int certindex_writer_new(
	const char *path, struct certindex_writer **ret_writer, struct err *err) must_check;
/* What follows is in this directory. */
void certindex_writer_directory(struct certindex_writer *writer, const char *directory);
/* Left out: those whose key was encrypted in its file, or lies in memory only (tmpfs) while the index
 * does not, and bad ones. */
void certindex_writer_add(struct certindex_writer *writer, const struct cert *cert);
/* Begins to bring what was added to the disk, so that the end does not wait long. */
int certindex_writer_sync(struct certindex_writer *writer, struct err *err) must_check;
/* Removes what was written, and frees the writer. NULL is ignored. */
void certindex_writer_abort(struct certindex_writer *writer);
/* Puts the new index in place of the old one, or removes what was written. Frees the writer. */
int certindex_writer_end(struct certindex_writer *writer, struct err *err) must_check;

#endif
