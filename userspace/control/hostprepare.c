/* Preparing a host: see hostprepare.h. Each step looks first, and says what it found or did. */
#include "control/hostprepare.h"

#include "control/render_table.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
	TUN_MAJOR = 10, /* Documentation/admin-guide/devices.txt */
	TUN_MINOR = 200,
	TUN_MODE = 0666, /* as udev makes it: what is done with it is what takes rights */
};

const struct hostprepare_places hostprepare_host = {
	.bpffs = "/sys/fs/bpf",
	.tun = "/dev/net/tun",
	.sysctls = "/proc/sys",
};

struct preparing {
	const struct hostprepare_places *places;
	struct render_table table;
	bool has_failed;
};

static void row(
	struct preparing *preparing, const char *name, const char *verdict, const char *text)
{
	render_table_cell(&preparing->table, "%s", name);
	render_table_cell(&preparing->table, "%s", verdict);
	render_table_cell(&preparing->table, "%s", text);
}

static void done(struct preparing *preparing, const char *name, int code, const char *did)
{
	preparing->has_failed |= code < 0;
	row(preparing, name, code < 0 ? "FAILED" : "done", code < 0 ? strerror(-code) : did);
}

static void prepare_bpffs(struct preparing *preparing)
{
	const char *path = preparing->places->bpffs;
	struct statfs fs;

	int r = statfs(path, &fs);

	if (r == 0 && fs.f_type == BPF_FS_MAGIC) {
		row(preparing, path, "ok", "is a BPF file system");
		return;
	}
	if (r == 0)
		r = mount("bpf", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700");
	done(preparing, path, r < 0 ? -errno : 0, "BPF file system mounted");
}

/* Whoever opens the node has the kernel load its module, if it is one. */
static int tun_try(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* The mode is set again because of the umask. */
static int tun_make(const char *path)
{
	char folder[PATH_MAX];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash && slash > folder) {
		*slash = '\0';
		if (mkdir(folder, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	if (mknod(path, S_IFCHR | TUN_MODE, makedev(TUN_MAJOR, TUN_MINOR)) < 0 ||
		chmod(path, TUN_MODE) < 0)
		return -errno;
	return tun_try(path);
}

static void prepare_tun(struct preparing *preparing)
{
	const char *path = preparing->places->tun;
	int r = tun_try(path);

	if (r == 0)
		row(preparing, path, "ok", "can be opened");
	else
		done(preparing, path, r == -ENOENT ? tun_make(path) : r, "made");
}

static int sysctl_write(const char *path, unsigned int value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (dprintf(fd, "%u\n", value) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* Raised to what is needed, never lowered. */
static void prepare_sysctl(struct preparing *preparing, const char *name, unsigned int least)
{
	char path[PATH_MAX], text[64];
	unsigned int now = 0;
	FILE *file;
	bool is_read;

	snprintf(path, sizeof(path), "%s/%s", preparing->places->sysctls, name);
	file = fopen(path, "re");
	is_read = file && fscanf(file, "%u", &now) == 1;
	if (file)
		fclose(file);
	if (is_read && now >= least)
		snprintf(text, sizeof(text), "%u", now);
	else
		snprintf(text, sizeof(text), "%u, was %u", least, now);
	if (is_read && now >= least)
		row(preparing, name, "ok", text);
	else if (!is_read)
		done(preparing, name, -ENOENT, "");
	else
		done(preparing, name, sysctl_write(path, least), text);
}

int hostprepare_print(FILE *out, const struct hostprepare_places *places)
{
	static const struct render_column columns[] = {
		{"WHAT", RENDER_TEXT}, {"", RENDER_TEXT}, {"FOUND OR DONE", RENDER_TEXT}};
	struct preparing preparing = {.places = places};

	render_table_init(&preparing.table, columns, array_len(columns));
	prepare_bpffs(&preparing);
	prepare_tun(&preparing);
	prepare_sysctl(&preparing, "net/ipv4/tcp_syncookies", 1);
	prepare_sysctl(&preparing, "net/core/somaxconn", 4096);
	render_table_print(&preparing.table, 0, out);
	render_table_fini(&preparing.table);
	return preparing.has_failed ? -EPERM : 0;
}
