/* The socket of the admin API: see admin_socket.h. */
#include "control/admin_socket.h"

#include "core/mem.h"
#include "net/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 32, LOCK_TRIES = 8, FOLDER_MODE = 0755, SOCKET_MODE = 0600 };

/* Makes the missing folders above `path`. The mode is set again because of the umask. */
static int make_parents(const char *path)
{
	char *copy = mem_strdup(path);
	int rc = 0;

	for (char *slash = strchr(copy + 1, '/'); slash && !rc; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, FOLDER_MODE) == 0)
			rc = chmod(copy, FOLDER_MODE) < 0 ? -errno : 0;
		else if (errno != EEXIST)
			rc = -errno;
		*slash = '/';
	}
	free(copy);
	return rc;
}

/* Connects to see who answers. As admin_socket_owner(). A listener whose queue is full (EAGAIN)
 * or that is stopped is alive too. */
static int probe(const char *path, pid_t *ret_pid)
{
	struct sockaddr_un address;
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	int fd, rc;

	rc = socket_unix_addr(path, &address);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = 1;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
			peer.pid = 0;
	} else if (errno == ECONNREFUSED || errno == ENOENT || errno == ENOTDIR) {
		rc = 0;
	} else if (errno != EAGAIN) {
		rc = -errno;
	}
	close(fd);
	if (rc == 1)
		*ret_pid = peer.pid;
	return rc;
}

static pid_t lock_read_pid(int fd)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return (pid_t)strtol(text, NULL, 10);
}

/* Does `path` still name the file that `fd` has open? Its last owner may have removed it. */
static bool is_same_file(int fd, const char *path)
{
	struct stat by_fd, by_path;

	if (fstat(fd, &by_fd) < 0 || stat(path, &by_path) < 0)
		return false;
	return by_fd.st_dev == by_path.st_dev && by_fd.st_ino == by_path.st_ino;
}

/* The locked descriptor; -EWOULDBLOCK if it is held (by `ret_pid`); another negative errno. */
static int lock_take(const char *lock_path, pid_t *ret_pid)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, SOCKET_MODE);
		int rc;

		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
			if (is_same_file(fd, lock_path))
				return fd;
			close(fd);
			continue;
		}
		rc = -errno;
		*ret_pid = lock_read_pid(fd);
		close(fd);
		return rc;
	}
	return -EBUSY;
}

static int lock_write_pid(int fd)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(fd, 0) < 0)
		return -errno;
	return pwrite(fd, text, (size_t)len, 0) == len ? 0 : -EIO;
}

static int refuse_live(const char *path, pid_t pid, struct err *err)
{
	char who[32] = "a process that cannot be named";

	if (pid > 0)
		snprintf(who, sizeof(who), "pid %d", (int)pid);
	return err_set(err, -EADDRINUSE,
		"admin socket %s: a daemon (%s) is serving it: stop that one first, or set "
		"admin.socket to another path",
		path, who);
}

/* Removes what a dead daemon left, and nothing else. 1 if there was something, 0 if not. */
static int remove_stale(const char *path, struct err *err)
{
	struct stat st;
	pid_t pid = 0;
	int rc;

	if (lstat(path, &st) < 0)
		return errno == ENOENT
			       ? 0
			       : err_set(err, -errno, "admin socket %s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EEXIST,
			"admin socket %s: there is a file of that name that is not a socket: "
			"remove it, or set admin.socket to another path",
			path);
	rc = probe(path, &pid);
	if (rc > 0)
		return refuse_live(path, pid, err);
	if (rc < 0 || unlink(path) < 0)
		return err_set(err, rc < 0 ? rc : -errno,
			"admin socket %s: cannot replace the old one: %s", path,
			strerror(rc < 0 ? -rc : errno));
	return 1;
}

/* The mode is set on the descriptor before bind(): the file never has another one, whatever the
 * umask (which only takes bits away). */
static int listen_on(const char *path, struct err *err)
{
	struct sockaddr_un address;
	int fd, rc;

	rc = socket_unix_addr(path, &address);
	if (rc)
		return err_set(err, rc,
			"admin socket %s: the path is empty or longer than %zu bytes", path,
			sizeof(address.sun_path) - 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || fchmod(fd, SOCKET_MODE) < 0 ||
		bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, BACKLOG) < 0) {
		rc = err_set(err, -errno, "admin socket %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	return fd;
}

/* Holding the lock: the socket is ours to make. */
static int open_locked(struct admin_socket *sock, struct err *err)
{
	int rc = lock_write_pid(sock->lock_fd);

	if (rc)
		return err_set(err, rc, "%s: cannot write: %s", sock->lock_path, strerror(-rc));
	rc = remove_stale(sock->path, err);
	if (rc < 0)
		return rc;
	sock->fd = listen_on(sock->path, err);
	return sock->fd < 0 ? sock->fd : 0;
}

/* The lock's descriptor, or a negative errno with a text. */
static int lock_or_explain(const char *path, const char *lock_path, struct err *err)
{
	pid_t pid = 0;
	int fd = lock_take(lock_path, &pid);

	if (fd == -EWOULDBLOCK)
		return refuse_live(path, pid, err);
	if (fd < 0)
		return err_set(err, fd, "%s: cannot lock: %s", lock_path, strerror(-fd));
	return fd;
}

int admin_socket_open(struct admin_socket *sock, const char *path, struct err *err)
{
	int rc;

	*sock = (struct admin_socket){.fd = -1, .lock_fd = -1};
	rc = make_parents(path);
	if (rc)
		return err_set(err, rc, "admin socket %s: cannot make its folder: %s", path,
			strerror(-rc));
	sock->path = mem_strdup(path);
	sock->lock_path = mem_printf("%s.lock", path);
	sock->lock_fd = lock_or_explain(path, sock->lock_path, err);
	rc = sock->lock_fd;
	if (rc < 0)
		goto fail_paths;
	rc = open_locked(sock, err);
	if (rc)
		goto fail_lock;
	return 0;

fail_lock:
	unlink(sock->lock_path);
	close(sock->lock_fd);
fail_paths:
	free(sock->lock_path);
	free(sock->path);
	*sock = (struct admin_socket){.fd = -1, .lock_fd = -1};
	return rc;
}

void admin_socket_close(struct admin_socket *sock)
{
	if (sock->fd < 0)
		return;
	close(sock->fd);
	unlink(sock->path);
	unlink(sock->lock_path);
	close(sock->lock_fd);
	free(sock->lock_path);
	free(sock->path);
	*sock = (struct admin_socket){.fd = -1, .lock_fd = -1};
}

int admin_socket_owner(const char *path, pid_t *ret_pid)
{
	char *lock_path;
	int fd, rc;

	rc = probe(path, ret_pid);
	if (rc)
		return rc;
	lock_path = mem_printf("%s.lock", path);
	fd = open(lock_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	free(lock_path);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	if (flock(fd, LOCK_SH | LOCK_NB) < 0) {
		*ret_pid = lock_read_pid(fd);
		rc = 1;
	}
	close(fd);
	return rc;
}

int admin_socket_check(const char *path, struct err *err)
{
	pid_t pid = 0;

	return admin_socket_owner(path, &pid) == 1 ? refuse_live(path, pid, err) : 0;
}

int admin_socket_purge(const char *path, struct err *err)
{
	char *lock_path, *upgrade_path;
	int fd, rc;

	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	lock_path = mem_printf("%s.lock", path);
	upgrade_path = mem_printf("%s.upgrade", path); /* nobody takes over from who is gone */
	fd = lock_or_explain(path, lock_path, err);
	rc = fd;
	if (fd >= 0) {
		rc = remove_stale(path, err);
		if (rc >= 0 && unlink(upgrade_path) == 0)
			rc++;
		unlink(lock_path);
		close(fd);
	}
	free(upgrade_path);
	free(lock_path);
	return rc;
}
