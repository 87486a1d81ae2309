/* The memory limit of control groups, of both versions, in folders that look like theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/cgroup_memory.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char top[] = "/tmp/cgroup_memory.XXXXXX";
static struct cgroup_memory memory;
static uint64_t used, limit;

/* With the folders it is in. */
static void put(const char *name, const char *text)
{
	char path[256], *slash;
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", top, name);
	for (slash = strchr(path + strlen(top) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static bool read_with(const char *lines)
{
	char proc[256];

	put("proc", lines);
	snprintf(proc, sizeof(proc), "%s/proc", top);
	cgroup_memory_init(&memory, proc, top);
	used = limit = 0;
	return cgroup_memory_read(&memory, &used, &limit);
}

static void is(uint64_t used_bytes, uint64_t limit_bytes)
{
	assert_int_equal(used, used_bytes);
	assert_int_equal(limit, limit_bytes);
}

static void version_2(void **state)
{
	put("a/b/memory.max", "1000\n");
	put("a/b/memory.high", "max\n");
	put("a/b/memory.current", "900\n");
	put("a/b/memory.stat", "anon 300\nfile 500\nfile_mapped 7\nshmem 100\n");
	assert_true(read_with("0::/a/b\n"));
	is(500, 1000); /* what files have can be taken back, but not shared memory */
	put("a/b/memory.current", "400\n");
	assert_true(cgroup_memory_read(&memory, &used, &limit));
	is(400, 1000);
	put("a/b/memory.high", "600\n");
	assert_true(cgroup_memory_read(&memory, &used, &limit));
	assert_int_equal(limit, 600);
}

static void a_group_around_it(void **state)
{
	put("a/b/memory.max", "1000\n");
	put("a/b/memory.current", "100\n");
	put("a/b/memory.high", "max\n");
	put("a/memory.max", "2000\n");
	put("a/memory.current", "1800\n");
	put("a/memory.stat", "file 0\nshmem 0\n");
	assert_true(read_with("0::/a/b\n"));
	is(1800, 2000);
}

/* In a container the path may be the host's, and what is mounted the container's own. */
static void a_path_that_is_not_there(void **state)
{
	put("memory.max", "5000\n");
	put("memory.current", "1\n");
	assert_true(read_with("0::/kubepods/pod1\n"));
	is(1, 5000);
	assert_true(read_with("0::/\n"));
	is(1, 5000);
}

static void version_1(void **state)
{
	put("memory/g/memory.limit_in_bytes", "1000\n");
	put("memory/g/memory.usage_in_bytes", "800\n");
	put("memory/g/memory.stat", "cache 9\ntotal_cache 300\ntotal_shmem 0\n");
	put("memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("memory/memory.usage_in_bytes", "99999\n");
	assert_true(read_with("9:cpu,cpuacct:/x\n4:memory:/g\n1:memoryless:/y\n0::/\n"));
	is(500, 1000);
	assert_true(read_with("0::/\n4:hugetlb,memory:/g\n"));
	is(500, 1000);
}

static void no_limit(void **state)
{
	static const char *const lines[] = {
		"", "0::/c\n", "nonsense", "4:memory\n", ":::\n", "4:memory:/none\n"};

	put("c/memory.max", "max\n");
	put("c/memory.current", "1\n");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_false(read_with(lines[i]));
	cgroup_memory_init(&memory, "/nonexistent", top);
	assert_false(cgroup_memory_read(&memory, &used, &limit));
}

static void a_path_that_is_too_long(void **state)
{
	char line[1024];

	memset(line, 'x', sizeof(line));
	memcpy(line, "0::/", 4);
	line[500] = '\n';
	line[501] = '\0';
	assert_false(read_with(line));
}

static int make(void **state)
{
	strcpy(top + sizeof(top) - 7, "XXXXXX");
	return mkdtemp(top) ? 0 : -1;
}

static int drop(const char *path, const struct stat *about, int kind, struct FTW *where)
{
	return remove(path);
}

static int clear(void **state)
{
	return nftw(top, drop, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(version_2, make, clear),
		cmocka_unit_test_setup_teardown(a_group_around_it, make, clear),
		cmocka_unit_test_setup_teardown(a_path_that_is_not_there, make, clear),
		cmocka_unit_test_setup_teardown(version_1, make, clear),
		cmocka_unit_test_setup_teardown(no_limit, make, clear),
		cmocka_unit_test_setup_teardown(a_path_that_is_too_long, make, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
