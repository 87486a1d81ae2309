/* Files as they are read: what is changed is seen to have changed, however quickly. */
#include "tls/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 50 };

static void put(const char *path, int number)
{
	char text[16];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	snprintf(text, sizeof(text), "number %04d", number);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* The same size, the same file, and at once: the times of the file tell them apart. */
static void test_changed_at_once(void **state)
{
	char path[] = "/tmp/sluice-test-files-XXXXXX", text[16];
	struct err err;
	uint8_t *bytes;
	size_t len;

	close(mkstemp(path));
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t identity;

		put(path, i);
		assert_int_equal(tls_file_read(path, &bytes, &len, &err), 0);
		identity = tls_file_identity_at(path);
		snprintf(text, sizeof(text), "number %04d", i);
		assert_memory_equal(bytes, text, len);
		tls_file_free(bytes, len);
		put(path, ROUNDS + i);
		assert_int_not_equal(tls_file_identity_at(path), identity);
	}
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_changed_at_once)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
