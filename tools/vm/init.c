/*
 * The first process of the test VM. The root file system is a read-only share of the host's; this
 * lays fresh file systems over the places that must be writable, receives one job through a virtio
 * port, runs it and sends its output and its exit status back. tools/vm/run is the other end: it
 * ends the VM when it has the status. One thread; everything lives until the VM is gone.
 *
 * Job: fields that end with NUL, the first letter says what: M tag:directory (share to mount),
 * K module (to load), D directory (to run in), E NAME=VALUE, A argument; an empty field ends it.
 * Answer: frames of a letter and a length (32 bits, the VM's byte order) and that many bytes:
 * S the command starts, O and E what it wrote, X its exit status as a 32-bit number.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	JOB_BYTES = 65536,
	JOB_FIELDS = 512,
	PORT_WAIT_MS = 10000,
	STATUS_NOT_RUN = 127, /* as a shell says it */
};

static const struct {
	const char *type, *directory, *options;
} mounts[] = {
	{"proc", "/proc", NULL},
	{"sysfs", "/sys", NULL},
	{"devtmpfs", "/dev", NULL},
	{"devpts", "/dev/pts", "ptmxmode=0666"},
	{"tmpfs", "/dev/shm", NULL},
	{"tmpfs", "/run", "mode=755"},
	{"tmpfs", "/tmp", "mode=1777"},
	{"tmpfs", "/var/tmp", "mode=1777"},
	{"tmpfs", "/var/log", "mode=755"},
	{"bpf", "/sys/fs/bpf", "mode=700"},
	{"tracefs", "/sys/kernel/tracing", NULL},
	{"cgroup2", "/sys/fs/cgroup", NULL},
};

static int port = -1;

/* The end: the host sees the VM go without a status, and shows the kernel's log with the reason. */
__attribute__((noreturn, format(printf, 1, 2))) static void stop(const char *format, ...)
{
	char text[512];
	va_list args;
	int fd;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		dprintf(fd, "<0>vm init: %s\n", text);
	/* The end of the first process is a panic, and panic=-1 ends the VM. */
	exit(1);
}

static void folder(const char *path, mode_t mode)
{
	if (mkdir(path, mode) && errno != EEXIST)
		stop("mkdir %s: %s", path, strerror(errno));
}

static void folders(const char *path)
{
	char part[4096];

	for (size_t i = 1; path[i] && i < sizeof(part); i++) {
		if (path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (access(part, F_OK))
			folder(part, 0755);
	}
	if (access(path, F_OK))
		folder(path, 0755);
}

static void prepare_files(void)
{
	for (size_t i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
		if (strncmp(mounts[i].directory, "/dev/", 5) == 0)
			folder(mounts[i].directory, 0755);
		if (mount(mounts[i].type, mounts[i].directory, mounts[i].type, 0,
			    mounts[i].options))
			stop("mount %s: %s", mounts[i].directory, strerror(errno));
	}
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("fd/0", "/dev/stdin") ||
		symlink("fd/1", "/dev/stdout") || symlink("fd/2", "/dev/stderr"))
		stop("links in /dev: %s", strerror(errno));
	folder("/run/lock", 01777);
	folder("/run/netns", 0755);
	folder("/run/sluice", 0755);
}

static void prepare_kernel(void)
{
	const struct rlimit files = {.rlim_cur = 1024, .rlim_max = 1 << 19};
	struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &loopback))
		stop("loopback: %s", strerror(errno));
	close(fd);
	if (sethostname("vm", 2) || setrlimit(RLIMIT_NOFILE, &files))
		stop("host name and limits: %s", strerror(errno));
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* The only port there is, whatever number its device has. It may appear some time after the kernel
 * has started its first process. */
static void port_open(void)
{
	glob_t found = {};

	for (int ms = 0; glob("/dev/vport*", 0, NULL, &found) && ms < PORT_WAIT_MS; ms += 10)
		pause_ms(10);
	if (!found.gl_pathc)
		stop("no virtio port");
	port = open(found.gl_pathv[0], O_RDWR | O_CLOEXEC);
	if (port < 0)
		stop("%s: %s", found.gl_pathv[0], strerror(errno));
	globfree(&found);
}

static void port_write(const void *data, size_t len)
{
	while (len) {
		ssize_t n = write(port, data, len);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			stop("writing to the port: %s", strerror(errno));
		if (n > 0) {
			data = (const char *)data + n;
			len -= (size_t)n;
		}
	}
}

static void frame_send(char letter, const void *data, uint32_t len)
{
	char head[5] = {letter};

	memcpy(head + 1, &len, sizeof(len));
	port_write(head, sizeof(head));
	port_write(data, len);
}

static bool job_is_whole(const char *job, size_t len)
{
	return len >= 2 && job[len - 1] == '\0' && job[len - 2] == '\0';
}

/* Nothing to read means that the host has not opened its end yet. */
static void job_read(char *ret_job)
{
	size_t have = 0;

	while (!job_is_whole(ret_job, have)) {
		ssize_t n = read(port, ret_job + have, JOB_BYTES - have);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			stop("reading the job: %s", strerror(errno));
		if (n > 0)
			have += (size_t)n;
		else
			pause_ms(10);
		if (have == JOB_BYTES)
			stop("the job is longer than %d bytes", JOB_BYTES);
	}
}

static void share_mount(char *tag)
{
	char *directory = strchr(tag, ':');

	if (!directory)
		stop("share '%s' has no directory", tag);
	*directory++ = '\0';
	folders(directory);
	if (mount(tag, directory, "virtiofs", 0, NULL))
		stop("share %s on %s: %s", tag, directory, strerror(errno));
}

static void module_load(const char *name)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		execl("/sbin/modprobe", "modprobe", name, (char *)NULL);
		_exit(STATUS_NOT_RUN);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		stop("modprobe %s: status %d", name, status);
}

/* Carries out a field; arguments are collected. */
static void job_field(char *field, char **arguments, size_t *count)
{
	char *value = field + 1;

	switch (field[0]) {
	case 'M':
		share_mount(value);
		break;
	case 'K':
		module_load(value);
		break;
	case 'D':
		if (chdir(value))
			stop("chdir %s: %s", value, strerror(errno));
		break;
	case 'E':
		if (putenv(value))
			stop("environment: %s", strerror(errno));
		break;
	case 'A':
		if (*count < JOB_FIELDS)
			arguments[(*count)++] = value;
		break;
	default:
		stop("job field '%s'", field);
	}
}

static pid_t command_start(char **arguments, int ret_output[2])
{
	int out[2], err[2], null;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		stop("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		stop("fork: %s", strerror(errno));
	if (pid == 0) {
		null = open("/dev/null", O_RDONLY);
		setsid();
		if (null < 0 || dup2(null, 0) < 0 || dup2(out[1], 1) < 0 || dup2(err[1], 2) < 0)
			_exit(STATUS_NOT_RUN);
		execvp(arguments[0], arguments);
		dprintf(2, "%s: %s\n", arguments[0], strerror(errno));
		_exit(STATUS_NOT_RUN);
	}
	close(out[1]);
	close(err[1]);
	ret_output[0] = out[0];
	ret_output[1] = err[0];
	return pid;
}

/* Passes on what can be read now. */
static void output_pass(struct pollfd *from, char letter)
{
	static char data[65536];
	ssize_t n = read(from->fd, data, sizeof(data));

	if (n > 0)
		frame_send(letter, data, (uint32_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		from->fd = -1;
}

/* Reaps what has ended, orphans too; true when the command is among them. */
static bool command_ended(pid_t pid, int *ret_status)
{
	bool ended = false;
	int status;
	pid_t one;

	while ((one = waitpid(-1, &status, WNOHANG)) > 0) {
		if (one != pid)
			continue;
		*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		ended = true;
	}
	return ended;
}

static int children_fd(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0 || sigprocmask(SIG_BLOCK, &set, NULL))
		stop("signalfd: %s", strerror(errno));
	return fd;
}

/* The command runs with no signal blocked: started before the mask is set, and looked after at
 * least every second in case it ended in between. */
static int command_run(char **arguments)
{
	int output[2], status = 0;
	pid_t pid = command_start(arguments, output);
	struct pollfd fds[] = {
		{output[0], POLLIN, 0}, {output[1], POLLIN, 0}, {children_fd(), POLLIN, 0}};
	struct signalfd_siginfo info;
	bool ended = false;

	while (!ended) {
		if (poll(fds, 3, 1000) < 0 && errno != EINTR)
			stop("poll: %s", strerror(errno));
		while (read(fds[2].fd, &info, sizeof(info)) > 0)
			;
		/* Looked at first: what it wrote before its end is then in the pipes. */
		ended = command_ended(pid, &status);
		for (int i = 0; i < 2; i++)
			while (poll(&fds[i], 1, 0) > 0 && fds[i].fd >= 0)
				output_pass(&fds[i], "OE"[i]);
	}
	return status;
}

int main(void)
{
	static char job[JOB_BYTES], *arguments[JOB_FIELDS + 1];
	size_t count = 0;
	int32_t status;

	prepare_files();
	prepare_kernel();
	port_open();
	job_read(job);
	for (char *field = job; *field;) {
		size_t len = strlen(field); /* a field is cut into its parts when carried out */

		job_field(field, arguments, &count);
		field += len + 1;
	}
	if (!count)
		stop("the job names no command");
	frame_send('S', NULL, 0);
	status = command_run(arguments);
	sync();
	frame_send('X', &status, sizeof(status));
	for (;;)
		pause();
}
