/* The memory limit of control groups: see cgroup_memory.h. */
#include "control/cgroup_memory.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES = 8192 };

/* Limits beyond are none: version 1 says so with a number. */
#define LIMIT_MAX (UINT64_C(1) << 60)

struct names {
	const char *limits[2], *used;
	const char *files, *shared; /* rows of memory.stat */
};

static const struct names names_of[] = {
	/* Above memory.high the kernel slows the process down. */
	[true] = {{"memory.max", "memory.high"}, "memory.current", "file", "shmem"},
	[false] = {{"memory.limit_in_bytes"}, "memory.usage_in_bytes", "total_cache",
		"total_shmem"},
};

static bool read_text(const char *folder, const char *name, char text[static TEXT_BYTES])
{
	char path[CGROUP_MEMORY_PATH + 64];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = read(fd, text, TEXT_BYTES - 1);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	return len > 0;
}

/* "max" is no number, and no limit. */
static bool read_number(const char *folder, const char *name, uint64_t *ret_number)
{
	char text[TEXT_BYTES], *end;
	uint64_t number;

	if (!read_text(folder, name, text))
		return false;
	number = strtoull(text, &end, 10);
	if (end == text)
		return false;
	*ret_number = number;
	return true;
}

/* A row "name number" of memory.stat; 0: it is not there. */
static uint64_t row_of(const char *stat, const char *name)
{
	size_t len = strlen(name);

	while (stat && *stat) {
		if (strncmp(stat, name, len) == 0 && stat[len] == ' ')
			return strtoull(stat + len + 1, NULL, 10);
		stat = strchr(stat, '\n');
		stat += stat != NULL;
	}
	return 0;
}

static bool read_limit(const struct names *names, const char *folder, uint64_t *ret_limit)
{
	uint64_t number, limit = LIMIT_MAX;
	size_t i;

	for (i = 0; i < 2; i++)
		if (names->limits[i] && read_number(folder, names->limits[i], &number) &&
			number < limit)
			limit = number;
	*ret_limit = limit;
	return limit < LIMIT_MAX && limit > 0;
}

/* Under half of the limit it does not matter what of it could be taken back. */
static uint64_t without_files(
	const struct names *names, const char *folder, uint64_t used, uint64_t limit)
{
	char stat[TEXT_BYTES];
	uint64_t files, shared;

	if (used < limit / 2 || !read_text(folder, "memory.stat", stat))
		return used;
	files = row_of(stat, names->files);
	shared = row_of(stat, names->shared);
	files -= shared < files ? shared : files;
	return used - (files < used ? files : used);
}

bool cgroup_memory_read(const struct cgroup_memory *memory, uint64_t *ret_used, uint64_t *ret_limit)
{
	const struct names *names = &names_of[memory->is_v2];
	char folder[CGROUP_MEMORY_PATH], *end;
	uint64_t limit, used;
	bool is_there = false;

	memcpy(folder, memory->path, sizeof(folder));
	while (folder[0]) {
		if (read_limit(names, folder, &limit) && read_number(folder, names->used, &used)) {
			used = without_files(names, folder, used, limit);
			if (!is_there || (double)used / (double)limit >
						 (double)*ret_used / (double)*ret_limit) {
				*ret_used = used;
				*ret_limit = limit;
			}
			is_there = true;
		}
		end = strrchr(folder, '/');
		if (!end || (size_t)(end - folder) < memory->root_len)
			break;
		*end = '\0';
	}
	return is_there;
}

static bool has_word(const char *words, const char *end, const char *word)
{
	size_t len = strlen(word);

	for (; words < end; words++) {
		if (strncmp(words, word, len) == 0 && (words[len] == ',' || words + len == end))
			return true;
		while (words < end && *words != ',')
			words++;
	}
	return false;
}

/* Of a line "number:controllers:path"; the one of version 2 has no controllers. */
static void take_line(struct cgroup_memory *memory, const char *line, const char *sys)
{
	const char *words = strchr(line, ':'), *path = words ? strchr(words + 1, ':') : NULL;
	bool is_v1;
	int len;

	if (!path)
		return;
	is_v1 = has_word(words + 1, path, "memory");
	if (!is_v1 && (path != words + 1 || memory->path[0]))
		return;
	/* A path "/" is the root itself. */
	len = snprintf(memory->path, sizeof(memory->path), "%s%s", sys, is_v1 ? "/memory" : "");
	memory->root_len = (size_t)len;
	memory->is_v2 = !is_v1;
	if (strcmp(path + 1, "/") != 0)
		len += snprintf(
			memory->path + len, sizeof(memory->path) - (size_t)len, "%s", path + 1);
	if ((size_t)len >= sizeof(memory->path))
		memory->path[0] = '\0';
}

void cgroup_memory_init(struct cgroup_memory *memory, const char *proc, const char *sys)
{
	FILE *in = strlen(sys) + 8 < CGROUP_MEMORY_PATH / 2 ? fopen(proc, "re") : NULL;
	char line[CGROUP_MEMORY_PATH];

	*memory = (struct cgroup_memory){.is_v2 = false};
	while (in && fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = '\0';
		take_line(memory, line, sys);
	}
	if (in)
		fclose(in);
}
