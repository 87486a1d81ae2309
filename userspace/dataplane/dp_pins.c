/*
 * The folder of pins and its lock:
 *	maps/      one pin per map, named like it
 *	maps_aside/  the same of a process that is about to take over with another layout
 *	links/     the XDP links
 *	links/tc/  the links of the tc programs beside them
 * Control thread.
 */
#define LOG_MODULE "dataplane"
#include "dataplane/dp_internal.h"

#include "core/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char *const folders[] = {"/maps", "/maps_aside", "/links", "/links/tc"};

static int pins_mkdir(const char *path, struct err *err)
{
	if (mkdir(path, 0700) && errno != EEXIST)
		return err_set(err, -errno, "mkdir %s: %s", path, strerror(errno));
	return 0;
}

/* The folder may be there before us, mounted by itself, in a container or a sandbox. */
static int pins_check_bpffs(const char *pin_dir, struct err *err)
{
	char parent[PATH_MAX];
	struct statfs fs;
	char *slash;

	if (statfs(pin_dir, &fs) == 0 && fs.f_type == BPF_FS_MAGIC)
		return 0;
	snprintf(parent, sizeof(parent), "%s", pin_dir);
	slash = strrchr(parent, '/');
	if (!slash || slash == parent)
		return err_set(
			err, -EINVAL, "pin folder %s: must be below a bpf file system", pin_dir);
	*slash = '\0';
	if (statfs(parent, &fs))
		return err_set(err, -errno, "%s: %s", parent, strerror(errno));
	if (fs.f_type != BPF_FS_MAGIC)
		return err_set(err, -ENOTSUP,
			"%s is not on a bpf file system (mount -t bpf bpf /sys/fs/bpf)", parent);
	return 0;
}

int dp_pins_lock(const char *pin_dir, int *ret_fd, struct err *err)
{
	int fd = open(pin_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int code;

	if (fd < 0)
		return err_set(err, -errno, "%s: %s", pin_dir, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		code = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
		close(fd);
		return err_set(err, code, "%s: %s", pin_dir,
			code == -EADDRINUSE
				? "another sluiced is running on this pin folder: stop that "
				  "one first, or set xdp.pin_dir to another folder"
				: strerror(-code));
	}
	*ret_fd = fd;
	return 0;
}

int dp_pins_open(struct dataplane *dp, struct err *err)
{
	char path[PATH_MAX];
	int code = pins_check_bpffs(dp->pin_dir, err);

	if (!code)
		code = pins_mkdir(dp->pin_dir, err);
	if (!code && dp->lock_fd < 0)
		code = dp_pins_lock(dp->pin_dir, &dp->lock_fd, err);
	for (size_t i = 0; i < array_len(folders) && !code; i++) {
		snprintf(path, sizeof(path), "%s%s", dp->pin_dir, folders[i]);
		code = pins_mkdir(path, err);
	}
	return code;
}

void dp_pins_rmdir(const char *pin_dir)
{
	char path[PATH_MAX];

	for (size_t i = array_len(folders); i-- > 0;) {
		snprintf(path, sizeof(path), "%s%s", pin_dir, folders[i]);
		if (rmdir(path) && errno != ENOENT)
			log_warn("rmdir %s: %s", path, strerror(errno));
	}
	/* One that was made for us is not ours to remove. */
	if (rmdir(pin_dir) && errno != ENOENT && errno != EACCES && errno != EPERM &&
		errno != EBUSY && errno != EROFS)
		log_warn("rmdir %s: %s", pin_dir, strerror(errno));
}

/* bpffs refuses dots in names: '.' and '%' are written as %2e and %25. */
void dp_pins_link_path(
	const char *pin_dir, const char *folder, const char *interface, char ret_path[PATH_MAX])
{
	int len = snprintf(ret_path, PATH_MAX, "%s/%s/", pin_dir, folder);
	const char *c;

	for (c = interface; *c && len < PATH_MAX - 4; c++)
		len += snprintf(ret_path + len, PATH_MAX - (size_t)len,
			*c == '.' || *c == '%' ? "%%%02x" : "%c", *c);
}

static int unpin_all(const char *pin_dir, const char *folder)
{
	char path[PATH_MAX];
	struct dirent *entry;
	int removed = 0, fd;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", pin_dir, folder);
	dir = opendir(path);
	if (!dir)
		return 0;
	fd = dirfd(dir);
	while (fd >= 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.' && unlinkat(fd, entry->d_name, 0) == 0)
			removed++;
	}
	closedir(dir);
	return removed;
}

int dp_maps_unpin(const char *pin_dir)
{
	return unpin_all(pin_dir, "maps");
}

int dp_maps_unpin_aside(const char *pin_dir)
{
	return unpin_all(pin_dir, "maps_aside");
}
