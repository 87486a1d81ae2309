/* Passwords of keys: from files, the environment and commands. */
#include "pki.h"

#include "core/clock.h"
#include "core/log.h"
#include "tls/cert.h"
#include "tls/key_password.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct pki pki;
static int n_warnings;

static int setup(void **state)
{
	pki_init(&pki);
	pki_issue(&pki, &(struct pki_request){.file = "locked", .password = "open sesame"});
	return 0;
}

static int teardown(void **state)
{
	pki_fini(&pki);
	return 0;
}

static void expect(const struct key_password_source *source, const char *text)
{
	struct key_password password;
	struct err err = {""};

	if (key_password_ask(source, &password, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(password.text, text);
	assert_int_equal(password.len, strlen(text));
}

static void expect_failure(const struct key_password_source *source, int error, const char *words)
{
	struct key_password password;
	struct err err = {""};

	assert_int_equal(key_password_ask(source, &password, &err), error);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" is not in: %s", words, err.text);
}

static void test_sources(void **state)
{
	char *const command[] = {"/bin/echo", "from a command", NULL};

	pki_write(&pki, "pw", "from a file\r\nsecond line\n");
	setenv("SLUICE_TEST_PASSWORD", "from the environment", 1);
	expect(&(struct key_password_source){0}, "");
	expect(&(struct key_password_source){.path = pki_path(&pki, "pw")}, "from a file");
	expect(&(struct key_password_source){.env = "SLUICE_TEST_PASSWORD"},
		"from the environment");
	expect(&(struct key_password_source){.command = command}, "from a command");
	unsetenv("SLUICE_TEST_PASSWORD");
}

static void test_failures(void **state)
{
	char *const missing[] = {"/nowhere/to/be/found", NULL}, *const silent[] = {
									"/bin/true", NULL};
	char *const sad[] = {"/bin/sh", "-c", "echo secret; exit 3", NULL};
	char *const killed[] = {"/bin/sh", "-c", "kill -9 $$", NULL};
	char *const wordy[] = {"/bin/sh", "-c", "head -c 5000 /dev/zero | tr '\\0' x", NULL};

	expect_failure(&(struct key_password_source){.env = "SLUICE_TEST_NO_SUCH"}, -ENOENT,
		"password of the key: the environment of sluiced has no variable "
		"SLUICE_TEST_NO_SUCH");
	expect_failure(&(struct key_password_source){.command = missing}, -ENOENT,
		"cannot run /nowhere/to/be/found: No such file");
	expect_failure(&(struct key_password_source){.command = silent}, -EINVAL,
		"the first line of /bin/true");
	expect_failure(&(struct key_password_source){.command = sad}, -EIO, "ended with status 3");
	expect_failure(&(struct key_password_source){.command = killed}, -EIO, "by signal 9");
	expect_failure(
		&(struct key_password_source){.command = wordy}, -EINVAL, "(1 to 1024 bytes)");
}

/* Or is a zombie: of whoever adopted it. */
static bool has_ended(pid_t pid)
{
	uint64_t until_us = clock_mono_us() + UINT64_C(10) * 1000000;
	char path[64], state = 'Z';
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	do {
		stat = fopen(path, "re");
		if (!stat)
			return true;
		assert_int_equal(fscanf(stat, "%*d %*s %c", &state), 1);
		fclose(stat);
	} while (state != 'Z' && clock_mono_us() < until_us);
	return state == 'Z';
}

/* What it leaves behind ends, too, and nothing of ours is open in it. */
static void test_command_is_alone(void **state)
{
	char *const nosy[] = {"/bin/sh", "-c", "ls /proc/self/fd | wc -l; cat", NULL};
	char *const parent[] = {"/bin/sh", "-c", "sleep 600 & echo $!", NULL};
	struct key_password password;
	struct err err;
	int fd = open("/dev/null", O_RDONLY); /* without close-on-exec */

	expect(&(struct key_password_source){.command = nosy}, "4"); /* with that of the folder */
	close(fd);
	assert_int_equal(
		key_password_ask(&(struct key_password_source){.command = parent}, &password, &err),
		0);
	assert_true(has_ended(atoi(password.text)));
}

/* It sees no password of another key. */
static void test_command_environment(void **state)
{
	char *const nosy[] = {"/bin/sh", "-c", "echo \"${SLUICE_TEST_PASSWORD-none} $HOME\"", NULL};

	setenv("SLUICE_TEST_PASSWORD", "secret", 1);
	setenv("HOME", "/nowhere", 1);
	expect(&(struct key_password_source){.command = nosy}, "none /nowhere");
	unsetenv("SLUICE_TEST_PASSWORD");
}

/* Where ends of children are not told, nobody knows that it did not fail. */
static void test_unknown_end(void **state)
{
	char *const sad[] = {"/bin/sh", "-c", "echo secret; exit 3", NULL};

	signal(SIGCHLD, SIG_IGN);
	expect_failure(&(struct key_password_source){.command = sad}, -ECHILD,
		"cannot tell how /bin/sh ended");
	signal(SIGCHLD, SIG_DFL);
}

static void test_late_command(void **state)
{
	char *const slow[] = {"/bin/sh", "-c", "sleep 600", NULL};
	uint64_t start_us = clock_mono_us();

	expect_failure(&(struct key_password_source){.command = slow, .command_ms = 200},
		-ETIMEDOUT, "did not print a password and end within 200 ms");
	assert_true(clock_mono_us() - start_us < UINT64_C(60) * 1000000);
}

/* A whole certificate with each source. */
static void test_locked_key(void **state)
{
	char *const command[] = {"/bin/echo", "open sesame", NULL};
	struct cert_spec spec = {.name = "main",
		.cert_path = pki_path(&pki, "locked.crt"),
		.key_path = pki_path(&pki, "locked.key"),
		.password.command = command};
	struct cert *cert;
	struct err err = {""};

	assert_int_equal(cert_load(&spec, &cert, &err), 0);
	cert_put(cert);
	setenv("SLUICE_TEST_PASSWORD", "open sesame", 1);
	spec.password = (struct key_password_source){.env = "SLUICE_TEST_PASSWORD"};
	assert_int_equal(cert_load(&spec, &cert, &err), 0);
	cert_put(cert);
	setenv("SLUICE_TEST_PASSWORD", "close sesame", 1);
	assert_int_equal(cert_load(&spec, &cert, &err), -EINVAL);
	assert_non_null(strstr(err.text, "the password does not open the key in "));
	assert_null(strstr(err.text, "sesame"));
}

/* Instead of the log. */
void log_write(enum log_level level, const char *module, const char *format, ...)
{
	n_warnings += level == LOG_LEVEL_WARN && !!strstr(format, "password file");
}

/* Files that others may read give their password, with a line in the log for each file. */
static void test_open_file(void **state)
{
	struct key_password_source source = {.path = pki_path(&pki, "open")};
	int i;

	n_warnings = 0;
	pki_write(&pki, "open", "sesame\n");
	chmod(source.path, 0600);
	expect(&source, "sesame");
	assert_int_equal(n_warnings, 0);
	chmod(source.path, 0644);
	for (i = 0; i < 3; i++)
		expect(&source, "sesame");
	assert_int_equal(n_warnings, 1);
}

static void *stop_soon(void *arg)
{
	struct stat about;

	while (stat(arg, &about) < 0)
		sched_yield();
	key_password_stop();
	return NULL;
}

/* The last: nobody is waited for after it. */
static void test_stop(void **state)
{
	char script[256];
	char *const command[] = {"/bin/sh", "-c", script, NULL};
	uint64_t began_us = clock_mono_us();
	pthread_t thread;

	snprintf(script, sizeof(script), "touch %s; sleep 60", pki_path(&pki, "runs"));
	assert_int_equal(
		pthread_create(&thread, NULL, stop_soon, (void *)pki_path(&pki, "runs")), 0);
	expect_failure(&(struct key_password_source){.command = command, .command_ms = 60000},
		-ECANCELED, "sluiced ends");
	assert_true(clock_mono_us() - began_us < 30 * 1000000);
	pthread_join(thread, NULL);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* it was reaped */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_command_is_alone),
		cmocka_unit_test(test_command_environment),
		cmocka_unit_test(test_unknown_end),
		cmocka_unit_test(test_late_command),
		cmocka_unit_test(test_locked_key),
		cmocka_unit_test(test_open_file),
		cmocka_unit_test(test_stop),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
