/*
 * Passwords of keys: see key_password.h. A command runs without a shell, with empty standard input,
 * our standard error, PATH, HOME and LANG of our environment, no other descriptor, in a process group
 * that is killed when its time is up.
 */
#define LOG_MODULE "certificates"
#include "tls/key_password.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "tls/files.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POLL_MS = 20, KILLED_MS = 1000, LEFT_MAX = 16 };

static atomic_bool is_stopped;

bool key_password_is_given(const struct key_password_source *source)
{
	return source->path || source->env || source->command;
}

void key_password_wipe(struct key_password *password)
{
	OPENSSL_cleanse(password, sizeof(*password));
}

/* The first line of some text. */
static int take_line(const char *text, size_t len, const char *of, struct key_password *password,
	struct err *err)
{
	size_t line = 0;

	while (line < len && text[line] != '\n' && text[line] != '\r')
		line++;
	if (!line || line > KEY_PASSWORD_BYTES_MAX)
		return err_set(err, -EINVAL,
			"the first line of %s must be the password (1 to %d bytes)", of,
			KEY_PASSWORD_BYTES_MAX);
	memcpy(password->text, text, line);
	password->text[line] = '\0';
	password->len = line;
	return 0;
}

void key_password_stop(void)
{
	atomic_store(&is_stopped, true);
}

/* Kubernetes and others mount secrets so that all may read them, in a folder that nobody else can enter:
 * a reason to say so, not to refuse. */
static void warn_open(const char *path)
{
	static _Thread_local uint64_t
		told; /* the identity of the file: one line for a thousand keys */
	struct stat about;

	if (stat(path, &about) < 0 || !(about.st_mode & (S_IWGRP | S_IRWXO)) ||
		told == tls_file_identity(&about))
		return;
	told = tls_file_identity(&about);
	log_warn("password file %s: others may read or change it: chmod 600", path);
}

static int ask_file(const char *path, struct key_password *password, struct err *err)
{
	uint8_t *bytes;
	size_t len;
	int r = tls_file_read(path, &bytes, &len, err);

	if (r < 0)
		return r;
	warn_open(path);
	r = take_line((const char *)bytes, len, path, password, err);
	tls_file_free(bytes, len);
	return r;
}

static int ask_env(const char *name, struct key_password *password, struct err *err)
{
	const char *text = getenv(name);

	if (!text || !*text)
		return err_set(err, -ENOENT,
			"the environment of sluiced has no variable %s, or an "
			"empty one",
			name);
	return take_line(text, strlen(text), name, password, err);
}

/* --- commands */
/* Ours may hold passwords of other keys. */
enum { ENVIRONMENT_MAX = 3 };

static void choose_environment(char *ret_environment[ENVIRONMENT_MAX + 1])
{
	static const char *const names[ENVIRONMENT_MAX] = {"PATH=", "HOME=", "LANG="};
	size_t n = 0, i;
	char **at;

	for (at = environ; at && *at; at++)
		for (i = 0; i < ENVIRONMENT_MAX && n < ENVIRONMENT_MAX; i++)
			if (!strncmp(*at, names[i], strlen(names[i])))
				ret_environment[n++] = *at;
	ret_environment[n] = NULL;
}

static int spawn(char *const *command, int out_fd, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	char *environment[ENVIRONMENT_MAX + 1];
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
	posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(
		&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	choose_environment(environment);
	r = posix_spawn(ret_pid, command[0], &actions, &attr, command, environment);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* Until a line is whole, its end, or what a password may have of it. */
static int read_output(int fd, uint64_t until_us, char *text, size_t size, size_t *ret_len)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	size_t len = 0;
	ssize_t got;

	while (len < size) {
		if (clock_mono_us() >= until_us)
			return -ETIMEDOUT;
		if (atomic_load(&is_stopped))
			return -ECANCELED;
		if (poll(&poll_fd, 1, POLL_MS) <= 0)
			continue;
		got = read(fd, text + len, size - len);
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == 0)
			break;
		len += got > 0 ? (size_t)got : 0;
		if (memchr(text, '\n', len))
			break;
	}
	*ret_len = len;
	return 0;
}

/* Killed, but in a call of the kernel that does not end: reaped when there is time. Loader thread. */
static pid_t left[LEFT_MAX];

static void reap_left(void)
{
	size_t i;

	for (i = 0; i < LEFT_MAX; i++)
		if (left[i] && waitpid(left[i], NULL, WNOHANG) != 0)
			left[i] = 0;
}

static void leave(pid_t pid)
{
	size_t i;

	for (i = 0; i < LEFT_MAX; i++) {
		if (left[i])
			continue;
		left[i] = pid;
		return;
	}
}

/* Of one that was killed: in a moment, or whenever its disk or server answers. */
static int wait_for_killed(pid_t pid, int *status)
{
	uint64_t until_us = clock_mono_us() + UINT64_C(1000) * KILLED_MS;
	pid_t ended;

	while ((ended = waitpid(pid, status, WNOHANG)) == 0 && clock_mono_us() < until_us)
		poll(NULL, 0, POLL_MS / 4);
	if (ended == 0)
		leave(pid);
	return ended == pid ? 0 : -ETIMEDOUT;
}

/* Its status; -ETIMEDOUT: it does not end; -ECANCELED; or why it is not known. Whatever it has left
 * behind ends with it. */
static int wait_for_end(pid_t pid, uint64_t until_us, bool is_late)
{
	int status = 0;
	pid_t ended = 0;

	while (!is_late && !atomic_load(&is_stopped) &&
		(ended = waitpid(pid, &status, WNOHANG)) == 0) {
		poll(NULL, 0, POLL_MS / 4);
		is_late = clock_mono_us() >= until_us;
	}
	if (ended < 0)
		status = -errno;
	kill(-pid, SIGKILL);
	if (ended == 0 && wait_for_killed(pid, &status) < 0)
		is_late = true;
	if (ended == 0 && atomic_load(&is_stopped))
		return -ECANCELED;
	return is_late ? -ETIMEDOUT : status;
}

static int judge_end(const char *program, int r, int status, uint32_t limit_ms, struct err *err)
{
	if (r == -ECANCELED || status == -ECANCELED)
		return err_set(err, -ECANCELED, "%s is not waited for: sluiced ends", program);
	if (r == -ETIMEDOUT || status == -ETIMEDOUT)
		return err_set(err, -ETIMEDOUT, "%s did not print a password and end within %u ms",
			program, limit_ms);
	if (r < 0)
		return err_set(err, r, "cannot read what %s prints: %s", program, strerror(-r));
	if (status < 0)
		return err_set(
			err, status, "cannot tell how %s ended: %s", program, strerror(-status));
	if (WIFSIGNALED(status))
		return err_set(err, -EIO, "%s was ended by signal %d", program, WTERMSIG(status));
	if (WEXITSTATUS(status))
		return err_set(err, -EIO, "%s ended with status %d", program, WEXITSTATUS(status));
	return 0;
}

static int ask_command(
	char *const *command, uint32_t limit_ms, struct key_password *password, struct err *err)
{
	char text[KEY_PASSWORD_BYTES_MAX + 2];
	uint64_t until_us = clock_mono_us() + UINT64_C(1000) * limit_ms;
	size_t len = 0;
	int fds[2], r, status;
	pid_t pid;

	reap_left();
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
	r = spawn(command, fds[1], &pid);
	close(fds[1]);
	if (r < 0) {
		close(fds[0]);
		return err_set(err, r, "cannot run %s: %s", command[0], strerror(-r));
	}
	r = read_output(fds[0], until_us, text, sizeof(text), &len);
	close(fds[0]);
	status = wait_for_end(pid, until_us, r < 0);
	if (len < sizeof(text)) /* else it met a closed pipe, and has said too much */
		r = judge_end(command[0], r, status, limit_ms, err);
	if (r == 0)
		r = take_line(text, len, command[0], password, err);
	OPENSSL_cleanse(text, sizeof(text));
	return r;
}

int key_password_ask(const struct key_password_source *source, struct key_password *ret_password,
	struct err *err)
{
	int r = 0;

	ret_password->len = 0;
	ret_password->text[0] = '\0';
	if (source->path)
		r = ask_file(source->path, ret_password, err);
	else if (source->env)
		r = ask_env(source->env, ret_password, err);
	else if (source->command)
		r = ask_command(source->command,
			source->command_ms ? source->command_ms : KEY_COMMAND_MS, ret_password,
			err);
	return r < 0 ? err_context(err, r, "password of the key") : 0;
}

/* --- copies */
void key_password_source_copy(
	const struct key_password_source *source, struct key_password_source *ret_copy)
{
	size_t n = 0, i;
	char **command;

	*ret_copy = (struct key_password_source){
		.command_ms = source->command_ms,
		.path = source->path ? mem_strdup(source->path) : NULL,
		.env = source->env ? mem_strdup(source->env) : NULL,
	};
	if (!source->command)
		return;
	while (source->command[n])
		n++;
	command = mem_zalloc((n + 1) * sizeof(*command));
	for (i = 0; i < n; i++)
		command[i] = mem_strdup(source->command[i]);
	ret_copy->command = command;
}

void key_password_source_fini(struct key_password_source *copy)
{
	size_t i;

	free((char *)copy->path);
	free((char *)copy->env);
	for (i = 0; copy->command && copy->command[i]; i++)
		free(copy->command[i]);
	free((void *)copy->command);
	*copy = (struct key_password_source){0};
}
