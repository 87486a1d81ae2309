/* The file with the secret of the SYN cookies: what is read, and what is refused with which words. */
#include "control/secrets.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define KEY_A "000102030405060708090a0b0c0d0e0f"
#define KEY_B "FFEEDDCCBBAA99887766554433221100"

static char path[] = "/tmp/sluice-secret-XXXXXX";

static int make_file(void **state)
{
	int fd = mkstemp(path);

	close(fd);
	return fd < 0;
}

static int remove_file(void **state)
{
	return unlink(path);
}

static int read_text(const char *text, mode_t mode, struct dp_cookie_secret *ret, struct err *err)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
	return secrets_read(path, ret, err);
}

static void digits_become_words(void **state)
{
	struct dp_cookie_secret secret;
	struct err err;

	assert_int_equal(read_text(KEY_A "\n", 0600, &secret, &err), 0);
	assert_true(secret.keys[0][0] == 0x0001020304050607);
	assert_true(secret.keys[0][1] == 0x08090a0b0c0d0e0f);
	assert_true(secret.keys[1][0] == 0 && secret.keys[1][1] == 0);
	assert_int_equal(
		read_text("# old and new\n\n  " KEY_B " \r\n" KEY_A, 0600, &secret, &err), 0);
	assert_true(secret.keys[0][0] == 0xffeeddccbbaa9988);
	assert_true(secret.keys[1][0] == 0x0001020304050607);
}

static void refused(const char *text, mode_t mode, int code, const char *part)
{
	struct dp_cookie_secret secret;
	struct err err;

	assert_int_equal(read_text(text, mode, &secret, &err), code);
	if (!strstr(err.text, part))
		fail_msg("not in \"%s\": %s", err.text, part);
}

static void others_are_refused_with_their_line(void **state)
{
	refused("", 0600, -EINVAL, "has no secret");
	refused("# nothing\n", 0600, -EINVAL, "openssl rand -hex 16");
	refused(KEY_A "\nabc\n", 0600, -EINVAL, ":2: not 32 hexadecimal");
	refused(KEY_A "0\n", 0600, -EINVAL, ":1: not 32");
	refused("00000000000000000000000000000000\n", 0600, -EINVAL, ":1: not 32");
	refused("g00102030405060708090a0b0c0d0e0f\n", 0600, -EINVAL, ":1: not 32");
	refused(KEY_A "\n" KEY_B "\n" KEY_A "\n", 0600, -EINVAL, ":3: a third secret");
	refused(KEY_A "\n", 0644, -EPERM, "chmod 600");
}

static void a_missing_file_is_named(void **state)
{
	struct dp_cookie_secret secret;
	struct err err;

	assert_int_equal(secrets_read("/nonexistent/secret", &secret, &err), -ENOENT);
	assert_string_equal(err.text, "/nonexistent/secret: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digits_become_words),
		cmocka_unit_test(others_are_refused_with_their_line),
		cmocka_unit_test(a_missing_file_is_named),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
