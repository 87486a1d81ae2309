/* Writing the index: see certindex.h. Blocks go through a buffer into a file of another name. */
#include "tls/certindex.h"

#include "core/file.h"
#include "core/mem.h"
#include "tls/cert_parts.h"
#include "tls/certindex_file.h"
#include "tls/files.h"
#include "tls/vault.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct chain_slot {
	struct certchain *chain; /* counted; NULL: free */
	uint32_t number;
};

struct certindex_writer {
	char *path, *new_path;
	bool is_volatile; /* it lies in memory itself */
	int fd, error; /* `error`: the first negative errno */
	uint8_t *buffer; /* CERTINDEX_PIECE_BYTES; it holds keys */
	size_t used;
	uint64_t checksum;
	uint32_t n_directories;
	struct chain_slot *chains; /* a table by address */
	uint32_t n_chains, chains_size;
	struct certindex_header header;
};

static void flush(struct certindex_writer *writer)
{
	if (!writer->used)
		return;
	writer->checksum = certindex_checksum(
		&writer->header.key, writer->checksum, writer->buffer, writer->used);
	writer->header.len += writer->used;
	if (!writer->error)
		writer->error = file_write(writer->fd, writer->buffer, writer->used);
	writer->used = 0;
}

static void put(struct certindex_writer *writer, const void *bytes, size_t len)
{
	size_t room, now;

	while (len) {
		room = CERTINDEX_PIECE_BYTES - writer->used;
		now = len < room ? len : room;
		memcpy(writer->buffer + writer->used, bytes, now);
		writer->used += now;
		bytes = (const uint8_t *)bytes + now;
		len -= now;
		if (writer->used == CERTINDEX_PIECE_BYTES)
			flush(writer);
	}
}

static void put_block(
	struct certindex_writer *writer, struct certindex_block block, const void *content)
{
	static const uint8_t filling[CERTINDEX_ALIGN];
	uint64_t len = sizeof(block) + block.len;

	put(writer, &block, sizeof(block));
	put(writer, content, block.len);
	put(writer, filling, certindex_round(len) - len);
}

static void writer_free(struct certindex_writer *writer)
{
	uint32_t i;

	if (writer->fd >= 0)
		close(writer->fd);
	for (i = 0; i < writer->chains_size; i++)
		certchain_put(writer->chains[i].chain);
	free(writer->chains);
	vault_free(writer->buffer, CERTINDEX_PIECE_BYTES);
	free(writer->path);
	free(writer->new_path);
	free(writer);
}

/* One process at a time: who comes first has it until it has its name. What was left there by one
 * that was killed is written over. */
static int open_new(struct certindex_writer *writer)
{
	struct stat about;

	writer->fd = open(writer->new_path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (writer->fd < 0)
		return -errno;
	if (flock(writer->fd, LOCK_EX | LOCK_NB) < 0 || fstat(writer->fd, &about) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (!about.st_nlink) /* it has just got its name */
		return -EBUSY;
	if (!S_ISREG(about.st_mode) || about.st_uid != geteuid() || about.st_nlink > 1)
		return -EPERM;
	if (fchmod(writer->fd, 0600) < 0 || ftruncate(writer->fd, 0) < 0)
		return -errno;
	return 0;
}

int certindex_writer_new(const char *path, struct certindex_writer **ret_writer, struct err *err)
{
	struct certindex_writer *writer = mem_zalloc(sizeof(*writer));
	int r;

	writer->path = mem_strdup(path);
	writer->new_path = mem_printf("%s.new", path);
	writer->buffer = vault_alloc(CERTINDEX_PIECE_BYTES);
	writer->header = (struct certindex_header){
		.magic = CERTINDEX_MAGIC,
		.format = CERTINDEX_FORMAT,
		.record_bytes = sizeof(struct cert_record),
		.maker = certindex_maker(),
	};
	hash_random(&writer->header.key, sizeof(writer->header.key));
	r = open_new(writer);
	if (r < 0) {
		r = err_set(err, r, "cannot write %s: %s", writer->new_path,
			r == -EBUSY ? "another process is writing it" : strerror(-r));
		writer_free(writer);
		return r;
	}
	writer->is_volatile = tls_file_is_volatile(writer->new_path);
	/* Its place; written in the end. */
	writer->error = file_write(writer->fd, &writer->header, sizeof(writer->header));
	*ret_writer = writer;
	return 0;
}

void certindex_writer_directory(struct certindex_writer *writer, const char *directory)
{
	put_block(writer,
		(struct certindex_block){
			.len = (uint32_t)strlen(directory), .kind = CERTINDEX_DIRECTORY},
		directory);
	writer->n_directories++;
}

static struct chain_slot *chain_slot(
	const struct certindex_writer *writer, const struct certchain *chain)
{
	uint32_t at = (uint32_t)((uintptr_t)chain >> 4) & (writer->chains_size - 1);

	while (writer->chains[at].chain && writer->chains[at].chain != chain)
		at = (at + 1) & (writer->chains_size - 1);
	return &writer->chains[at];
}

static void grow_chains(struct certindex_writer *writer)
{
	struct chain_slot *old = writer->chains;
	uint32_t size = writer->chains_size, i;

	writer->chains_size = size ? 2 * size : 64;
	writer->chains = mem_zalloc(writer->chains_size * sizeof(*writer->chains));
	for (i = 0; i < size; i++)
		if (old[i].chain)
			*chain_slot(writer, old[i].chain) = old[i];
	free(old);
}

/* A chain is written before the first certificate that has it. */
static uint32_t chain_number(struct certindex_writer *writer, struct certchain *chain)
{
	struct chain_slot *slot;
	const uint8_t *der;
	size_t len;

	if (!chain)
		return 0;
	if (2 * writer->n_chains >= writer->chains_size)
		grow_chains(writer);
	slot = chain_slot(writer, chain);
	if (!slot->chain) {
		*slot = (struct chain_slot){certchain_get(chain), ++writer->n_chains};
		der = certchain_der(chain, &len);
		put_block(writer,
			(struct certindex_block){.len = (uint32_t)len, .kind = CERTINDEX_CHAIN},
			der);
	}
	return slot->number;
}

void certindex_writer_add(struct certindex_writer *writer, const struct cert *cert)
{
	enum cert_state state = cert_state(cert);
	struct certindex_block block = {
		.len = (uint32_t)cert_record_bytes(&cert->record),
		.kind = CERTINDEX_CERT,
		.state = (uint16_t)state,
		.directory = writer->n_directories,
	};

	if (!cert->record.is_key_plain || state == CERT_BAD ||
		(cert->record.is_key_volatile && !writer->is_volatile))
		return;
	block.chain = chain_number(writer, cert->chain);
	put_block(writer, block, &cert->record);
	writer->header.n_certs++;
}

static int finish(struct certindex_writer *writer)
{
	struct certindex_header *header = &writer->header;

	flush(writer);
	if (writer->error)
		return writer->error;
	header->checksum =
		certindex_checksum(&header->key, writer->checksum, header, sizeof(*header));
	if (pwrite(writer->fd, header, sizeof(*header), 0) != (ssize_t)sizeof(*header) ||
		fsync(writer->fd) < 0 || rename(writer->new_path, writer->path) < 0)
		return errno ? -errno : -EIO;
	return 0;
}

int certindex_writer_sync(struct certindex_writer *writer, struct err *err)
{
	if (writer->error)
		return err_set(err, writer->error, "cannot write %s: %s", writer->new_path,
			strerror(-writer->error));
	sync_file_range(writer->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return 0;
}

void certindex_writer_abort(struct certindex_writer *writer)
{
	if (!writer)
		return;
	unlink(writer->new_path);
	writer_free(writer);
}

int certindex_writer_end(struct certindex_writer *writer, struct err *err)
{
	int r = finish(writer);

	if (r < 0) {
		err_set(err, r, "cannot write %s: %s", writer->new_path, strerror(-r));
		unlink(writer->new_path);
	}
	writer_free(writer);
	return r;
}
