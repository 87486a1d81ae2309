/*
 * The state file: see lists_state.h. A header, then a record for each entry, deny before allow, each
 * list sorted. Numbers are the host's: the file does not leave it.
 */
#include "control/lists_state.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct state_record {
	uint8_t addr[16];
	int64_t expires_unix_s;
	uint8_t length_bits;
	uint8_t v6;
	uint8_t pad[6];
};

_Static_assert(sizeof(struct state_record) == 32, "a record of the state file is 32 bytes");

struct state_header {
	char magic[16];
	uint64_t counts[LIST_KINDS];
	uint64_t hash; /* of the records; not a secret: it finds damage, not malice */
};

static const char state_magic[16] = "sluice lists 1\n";

static uint64_t state_hash(const struct state_record *records, size_t count)
{
	static const struct hash_key key = {1, 1};

	return hash_bytes(&key, records, count * sizeof(*records));
}

static struct state_record record_of(const struct lists_entry *entry)
{
	struct state_record record = {
		.expires_unix_s = entry->expires_unix_s,
		.length_bits = entry->prefix.length_bits,
		.v6 = entry->prefix.v6,
	};

	memcpy(record.addr, entry->prefix.addr, sizeof(record.addr));
	return record;
}

static struct lists_entry entry_of(const struct state_record *record, enum list_kind kind)
{
	struct lists_entry entry = {
		.prefix = {.length_bits = record->length_bits, .v6 = record->v6},
		.kind = (uint8_t)kind,
		.source = LIST_FROM_API,
		.expires_unix_s = record->expires_unix_s,
	};

	memcpy(entry.prefix.addr, record->addr, sizeof(record->addr));
	return entry;
}

/* The name is only as lasting as its folder. */
static int sync_folder(const char *path)
{
	char folder[PATH_MAX];
	char *slash;
	int fd, code;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = '\0';
	fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	code = fsync(fd) ? -errno : 0;
	close(fd);
	return code;
}

static int write_file(const char *path, const struct state_header *header,
	const struct state_record *records, size_t count)
{
	char fresh[PATH_MAX];
	int fd, code;

	if ((size_t)snprintf(fresh, sizeof(fresh), "%s.new", path) >= sizeof(fresh))
		return -ENAMETOOLONG;
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	code = file_write(fd, header, sizeof(*header));
	if (!code)
		code = file_write(fd, records, count * sizeof(*records));
	if (!code && fsync(fd))
		code = -errno;
	close(fd);
	if (!code && rename(fresh, path))
		code = -errno;
	if (code)
		unlink(fresh);
	return code ? code : sync_folder(path);
}

int lists_state_save(
	const char *path, const struct lists_entries entries[LIST_KINDS], struct err *err)
{
	size_t count = entries[LIST_DENY].count + entries[LIST_ALLOW].count, place = 0;
	struct state_record *records = mem_alloc((count + 1) * sizeof(*records));
	struct state_header header = {};
	int code;

	for (int kind = 0; kind < LIST_KINDS; kind++) {
		header.counts[kind] = entries[kind].count;
		for (size_t i = 0; i < entries[kind].count; i++)
			records[place++] = record_of(&entries[kind].rows[i]);
	}
	memcpy(header.magic, state_magic, sizeof(header.magic));
	header.hash = state_hash(records, count);
	code = write_file(path, &header, records, count);
	free(records);
	return code ? err_set(err, code, "%s: %s", path, strerror(-code)) : 0;
}

static bool record_is_sound(const struct state_record *record)
{
	return record->v6 <= 1 && record->length_bits <= (record->v6 ? 128 : 32);
}

static int take_records(const struct state_record *records, const struct state_header *header,
	struct lists_entries ret_entries[LIST_KINDS])
{
	size_t count = header->counts[LIST_DENY] + header->counts[LIST_ALLOW];

	if (state_hash(records, count) != header->hash)
		return -EBADMSG;
	for (size_t i = 0; i < count; i++)
		if (!record_is_sound(&records[i]))
			return -EBADMSG;
	for (int kind = 0; kind < LIST_KINDS; kind++) {
		struct lists_entries *entries = &ret_entries[kind];

		entries->count = header->counts[kind];
		entries->rows = mem_alloc((entries->count + 1) * sizeof(*entries->rows));
		for (size_t i = 0; i < entries->count; i++)
			entries->rows[i] = entry_of(records++, (enum list_kind)kind);
		lists_entries_sort(entries);
	}
	return 0;
}

static int read_file(int fd, struct lists_entries ret_entries[LIST_KINDS])
{
	struct state_record *records;
	struct state_header header;
	struct stat file;
	size_t count;
	int code;

	if (fstat(fd, &file))
		return -errno;
	code = file_read_exactly(fd, &header, sizeof(header));
	if (code)
		return code;
	count = ((size_t)file.st_size - sizeof(header)) / sizeof(*records);
	if (memcmp(header.magic, state_magic, sizeof(header.magic)) != 0 ||
		(size_t)file.st_size != sizeof(header) + count * sizeof(*records) ||
		header.counts[LIST_DENY] > count ||
		header.counts[LIST_ALLOW] != count - header.counts[LIST_DENY])
		return -EBADMSG;
	records = mem_alloc((count + 1) * sizeof(*records));
	code = file_read_exactly(fd, records, count * sizeof(*records));
	if (!code)
		code = take_records(records, &header, ret_entries);
	free(records);
	return code;
}

static int put_aside(const char *path, struct err *err)
{
	char aside[PATH_MAX + 16];

	snprintf(aside, sizeof(aside), "%s.damaged", path);
	if (rename(path, aside))
		return err_set(err, -EBADMSG,
			"%s is damaged: the run-time entries of the lists in it are lost (and it "
			"cannot be renamed: %s)",
			path, strerror(errno));
	return err_set(err, -EBADMSG,
		"%s is damaged: the run-time entries of the lists in it are lost (it is %s now)",
		path, aside);
}

int lists_state_load(
	const char *path, struct lists_entries ret_entries[LIST_KINDS], struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), code;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	code = read_file(fd, ret_entries);
	close(fd);
	if (code == -EBADMSG)
		return put_aside(path, err);
	return code ? err_set(err, code, "%s: %s", path, strerror(-code)) : 0;
}
