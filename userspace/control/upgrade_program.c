/* Starting the program that is to take over: see upgrade_program.h. */
#include "control/upgrade_program.h"

#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char option[] = "--take-over";

/* As it was at the start, for the life of the process. */
static struct {
	char *path;
	char **arguments, **environment;
} started;

static char **copy(char **list, size_t n, const char *more)
{
	char **all = mem_zalloc((n + 2) * sizeof(*all));
	size_t i;

	for (i = 0; i < n; i++)
		all[i] = mem_strdup(list[i]);
	if (more)
		all[n] = mem_strdup(more);
	return all;
}

/* A path as it was given: what is there later is another version, maybe. */
static char *find_program(const char *name)
{
	char path[PATH_MAX];
	ssize_t len;

	if (name[0] == '/')
		return mem_strdup(name);
	if (strchr(name, '/') && getcwd(path, sizeof(path)))
		return mem_printf("%s/%s", path, name);
	len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (len < 0)
		return mem_strdup(name);
	path[len] = '\0';
	return mem_strdup(path);
}

void upgrade_program_init(int argc, char **argv)
{
	size_t n = 0;
	int i, has = 0;

	for (i = 1; i < argc; i++)
		has |= strcmp(argv[i], option) == 0;
	while (environ[n])
		n++;
	started.path = find_program(argc ? argv[0] : "sluiced");
	started.arguments = copy(argv, (size_t)argc, has ? NULL : option);
	started.environment = copy(environ, n, NULL);
}

/* The manager's watchdog is for the process that it names: the new one is to be it. */
static char **environment_of_new(void)
{
	size_t n = 0, kept = 0, i;
	char **list;

	while (started.environment[n])
		n++;
	list = mem_zalloc((n + 1) * sizeof(*list));
	for (i = 0; i < n; i++)
		if (strncmp(started.environment[i], "WATCHDOG_PID=", strlen("WATCHDOG_PID=")) != 0)
			list[kept++] = started.environment[i];
	return list;
}

static int spawn(const char *path, int output_fd, pid_t *ret_pid)
{
	char **environment = environment_of_new();
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_adddup2(&actions, output_fd, STDERR_FILENO);
	posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	r = -posix_spawn(ret_pid, path, &actions, &attr, started.arguments, environment);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	free(environment);
	return r;
}

int upgrade_program_start(const char *path, pid_t *ret_pid, int *ret_output_fd, struct err *err)
{
	int fds[2], r;

	if (!path)
		path = started.path;
	if (!started.arguments || !path || path[0] != '/')
		return err_set(
			err, -EINVAL, "%s: the path of a program is absolute", path ? path : "?");
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(err, -errno, "a pipe: %s", strerror(errno));
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	r = spawn(path, fds[1], ret_pid);
	close(fds[1]);
	if (r < 0) {
		close(fds[0]);
		return err_set(err, r, "cannot start %s: %s", path, strerror(-r));
	}
	*ret_output_fd = fds[0];
	return 0;
}
