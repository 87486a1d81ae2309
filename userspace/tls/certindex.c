/* Reading the index: see certindex.h, and certindex_file.h for how it is laid out. */
#include "tls/certindex.h"

#include "core/file.h"
#include "core/mem.h"
#include "tls/cert_parts.h"
#include "tls/certindex_file.h"
#include "tls/files.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHAINS_MAX = 1 << 20, DIRECTORIES_MAX = 1 << 16 };
#define INDEX_BYTES_MAX (UINT64_C(8) << 30)

struct certindex {
	uint8_t *bytes; /* mapped; not in dumps */
	size_t len, mapped;
	const struct certindex_block **certs;
	uint32_t n_certs, n_chains, n_directories;
	const struct certindex_block **chains, **directories;
	struct certchain **parsed; /* by chain; NULL: not asked for yet, counted */
	struct hash_key key;
	uint32_t *table; /* number of a certificate + 1, by directory and file */
	uint32_t mask;
};

static const uint8_t *content_of(const struct certindex_block *block)
{
	return (const uint8_t *)(block + 1);
}

static const struct cert_record *record_of(const struct certindex_block *block)
{
	return (const struct cert_record *)(block + 1);
}

static struct slice file_of(const struct certindex_block *block)
{
	const struct cert_record *record = record_of(block);

	return (struct slice){
		(const char *)record->bytes + record->names_len, record->cert_file_len};
}

void certindex_free(struct certindex *index)
{
	uint32_t i;

	if (!index)
		return;
	for (i = 0; index->parsed && i < index->n_chains; i++)
		certchain_put(index->parsed[i]);
	if (index->bytes)
		munmap(index->bytes, index->mapped);
	free(index->certs);
	free(index->chains);
	free(index->directories);
	free(index->parsed);
	free(index->table);
	free(index);
}

size_t certindex_len(const struct certindex *index)
{
	return index->n_certs;
}

static int damaged(struct err *err, const char *what)
{
	return err_set(err, -EINVAL, "it is damaged: %s", what);
}

static uint64_t checksum_of(struct certindex_header header, const uint8_t *blocks)
{
	uint64_t checksum = 0, at = 0, len;

	for (; at < header.len; at += len) {
		len = header.len - at < CERTINDEX_PIECE_BYTES ? header.len - at
							      : CERTINDEX_PIECE_BYTES;
		checksum = certindex_checksum(&header.key, checksum, blocks + at, len);
	}
	header.checksum = 0;
	return certindex_checksum(&header.key, checksum, &header, sizeof(header));
}

static int check_header(const struct certindex *index, bool has_checksum, struct err *err)
{
	struct certindex_header header;

	if (index->len < sizeof(header))
		return damaged(err, "it is cut off");
	memcpy(&header, index->bytes, sizeof(header));
	if (header.magic != CERTINDEX_MAGIC)
		return damaged(err, "it is something else");
	if ((has_checksum && header.maker != certindex_maker()) ||
		header.format != CERTINDEX_FORMAT ||
		header.record_bytes != sizeof(struct cert_record))
		return err_set(err, -EINVAL, "it is of another version");
	if (header.len != index->len - sizeof(header))
		return damaged(err, "it is cut off");
	if (!has_checksum)
		return 0;
	return checksum_of(header, index->bytes + sizeof(header)) == header.checksum
		       ? 0
		       : damaged(err, "the checksum is wrong");
}

static void add_block(
	const struct certindex_block ***list, uint32_t n, const struct certindex_block *block)
{
	if (!(n & (n - 1))) /* 0, or full: as many again */
		*list = mem_realloc(*list, (n ? 2 * n : 1) * sizeof(**list));
	(*list)[n] = block;
}

static int take_block(struct certindex *index, const struct certindex_block *block, struct err *err)
{
	switch (block->kind) {
	case CERTINDEX_CHAIN:
		if (index->n_chains == CHAINS_MAX || !block->len)
			break;
		add_block(&index->chains, index->n_chains++, block);
		return 0;
	case CERTINDEX_DIRECTORY:
		if (index->n_directories == DIRECTORIES_MAX || !block->len)
			break;
		add_block(&index->directories, index->n_directories++, block);
		return 0;
	case CERTINDEX_CERT:
		if (block->chain > index->n_chains || !block->directory ||
			block->directory > index->n_directories || block->state > CERT_GOOD ||
			!cert_record_is_sound(record_of(block), block->len))
			break;
		add_block(&index->certs, index->n_certs++, block);
		return 0;
	}
	return damaged(err, "an entry makes no sense");
}

static int read_blocks(struct certindex *index, struct err *err)
{
	uint64_t at = sizeof(struct certindex_header), room;
	const struct certindex_block *block;
	int r = 0;

	while (r == 0 && at < index->len) {
		room = index->len - at;
		if (room < sizeof(*block))
			return damaged(err, "an entry is cut off");
		block = (const struct certindex_block *)(index->bytes + at);
		if (block->len > room - sizeof(*block))
			return damaged(err, "an entry is cut off");
		r = take_block(index, block, err);
		at += certindex_round(sizeof(*block) + block->len);
	}
	return r;
}

static uint32_t place_of(const struct certindex *index, uint32_t directory, struct slice file)
{
	const struct certindex_block *block;
	uint32_t at =
		(uint32_t)(hash_bytes(&index->key, file.ptr, file.len) + directory) & index->mask;

	for (; index->table[at]; at = (at + 1) & index->mask) {
		block = index->certs[index->table[at] - 1];
		if (block->directory == directory && slice_eq(file_of(block), file))
			break;
	}
	return at;
}

/* Of two with the same place the later one counts. */
static void fill_table(struct certindex *index)
{
	uint32_t size = 2, i;

	while (size < 2 * index->n_certs)
		size *= 2;
	index->table = mem_zalloc(size * sizeof(*index->table));
	index->mask = size - 1;
	for (i = 0; i < index->n_certs; i++)
		index->table[place_of(
			index, index->certs[i]->directory, file_of(index->certs[i]))] = i + 1;
}

/* Takes over the mapping. */
static int take_bytes(uint8_t *bytes, size_t len, bool has_checksum, struct certindex **ret_index,
	struct err *err)
{
	struct certindex *index = mem_zalloc(sizeof(*index));
	int r;

	index->bytes = bytes;
	index->len = len;
	index->mapped = len + 1;
	hash_random(&index->key, sizeof(index->key));
	r = check_header(index, has_checksum, err);
	if (r == 0)
		r = read_blocks(index, err);
	if (r < 0) {
		certindex_free(index);
		return r;
	}
	index->parsed = mem_zalloc((index->n_chains + 1) * sizeof(struct certchain *));
	fill_table(index);
	*ret_index = index;
	return 0;
}

static uint8_t *map_bytes(size_t len)
{
	uint8_t *bytes =
		mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bytes == MAP_FAILED)
		return NULL;
	madvise(bytes, len, MADV_DONTDUMP);
	return bytes;
}

int certindex_parse(const uint8_t *bytes, size_t len, bool has_checksum,
	struct certindex **ret_index, struct err *err)
{
	uint8_t *copy = map_bytes(len + 1);

	if (!copy)
		return err_set(err, -ENOMEM, "out of memory");
	if (len)
		memcpy(copy, bytes, len);
	return take_bytes(copy, len, has_checksum, ret_index, err);
}

/* Others than its owner might have put keys there, or read them. */
static int check_file(const struct stat *about, struct err *err)
{
	if (!S_ISREG(about->st_mode))
		return err_set(err, -EINVAL, "it is no regular file");
	if (about->st_uid != geteuid() || about->st_mode & (S_IRWXG | S_IRWXO))
		return err_set(err, -EPERM,
			"it must belong to the user of sluiced and be for nobody else (mode 0600)");
	if ((uint64_t)about->st_size > INDEX_BYTES_MAX)
		return err_set(err, -EFBIG, "it is too large");
	return 0;
}

static int read_file(int fd, struct certindex **ret_index, struct err *err)
{
	struct stat about;
	uint8_t *bytes;
	size_t len;
	int r;

	if (fstat(fd, &about) < 0)
		return err_set(err, -errno, "%s", strerror(errno));
	r = check_file(&about, err);
	if (r < 0)
		return r;
	len = (size_t)about.st_size;
	bytes = map_bytes(len + 1);
	if (!bytes)
		return err_set(err, -ENOMEM, "out of memory");
	r = file_read_exactly(fd, bytes, len);
	if (r < 0) {
		munmap(bytes, len + 1);
		return err_set(err, r, "%s",
			r == -EBADMSG ? "it became shorter while it was read" : strerror(-r));
	}
	return take_bytes(bytes, len, true, ret_index, err);
}

int certindex_open(const char *path, struct certindex **ret_index, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), r;

	if (fd < 0)
		return err_set(err, -errno, "%s", strerror(errno));
	r = read_file(fd, ret_index, err);
	close(fd);
	return r;
}

/* --- finding */
static uint32_t find_directory(const struct certindex *index, struct slice path)
{
	uint32_t i;

	for (i = 0; i < index->n_directories; i++)
		if (slice_eq((struct slice){(const char *)content_of(index->directories[i]),
				     index->directories[i]->len},
			    path))
			return i + 1;
	return 0;
}

/* False: the index has no such chain after all. */
static bool find_chain(const struct certindex *index, uint32_t number, struct certchain **ret_chain)
{
	struct certchain **parsed;
	uint32_t at;

	*ret_chain = NULL;
	if (!number)
		return true;
	parsed = &index->parsed[number - 1];
	if (!*parsed && certchain_new(content_of(index->chains[number - 1]),
				index->chains[number - 1]->len, parsed, &at) < 0)
		return false;
	*ret_chain = certchain_get(*parsed);
	return true;
}

struct cert *certindex_find(const struct certindex *index, struct cert_source *source,
	const char *directory, struct slice file)
{
	uint32_t number = find_directory(index, slice_of(directory)), at;
	const struct certindex_block *block;
	struct certchain *chain;

	if (!number)
		return NULL;
	at = index->table[place_of(index, number, file)];
	if (!at)
		return NULL;
	block = index->certs[at - 1];
	if (!find_chain(index, block->chain, &chain))
		return NULL;
	return cert_new_of_record(source, record_of(block), chain, (enum cert_state)block->state);
}
