/*
 * Loading the BPF objects and adopting pinned maps. A pinned map is adopted when the layout
 * version in `settings` is ours and its type and sizes are those of the object; otherwise it is
 * replaced, which is logged. Control thread.
 */
#define LOG_MODULE "dataplane"
#include "dataplane/dp_internal.h"

#include "bpf/sluice_reuseport.skel.h"
#include "bpf/sluice_xdp.skel.h"
#include "core/hash.h"
#include "core/log.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum {
	LOAD_LOG_BYTES = 1024, /* of libbpf's words and the verifier's last lines */
	LOAD_LOG_LINES = 4,
};

/* libbpf prints through one process-wide function. */
static struct {
	char text[LOAD_LOG_BYTES];
} load_log;

static void load_log_append(const char *text)
{
	size_t have = strlen(load_log.text), add = strlen(text);

	if (add >= LOAD_LOG_BYTES) {
		text += add - (LOAD_LOG_BYTES - 1);
		add = LOAD_LOG_BYTES - 1;
	}
	if (have + add >= LOAD_LOG_BYTES) {
		size_t drop = have + add - (LOAD_LOG_BYTES - 1);

		memmove(load_log.text, load_log.text + drop, have - drop + 1);
		have -= drop;
	}
	memcpy(load_log.text + have, text, add + 1);
}

static int load_log_print(enum libbpf_print_level level, const char *format, va_list args)
{
	static char line[65536]; /* the verifier's log comes in one call */

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), format, args);
	load_log_append(line);
	return 0;
}

/* The last lines that say something about the cause. */
static const char *load_log_tail(void)
{
	char *end = load_log.text + strlen(load_log.text);
	int lines = 0;

	while (end > load_log.text && end[-1] == '\n')
		*--end = '\0';
	while (end > load_log.text && lines < LOAD_LOG_LINES)
		if (*--end == '\n')
			lines++;
	return *end == '\n' ? end + 1 : end;
}

/* A line of the log has no line ends. */
static void load_log_join(void)
{
	char *end = load_log.text;

	while ((end = strchr(end, '\n')))
		*end = ' ';
}

static int load_failed(const char *object, int code, struct err *err)
{
	const char *hint = "", *tail = load_log_tail();

	load_log_join();
	log_error("%s: loading the BPF programs failed (%s): %s", object, strerror(-code),
		load_log.text);
	if (code == -EPERM || code == -EACCES)
		hint = " (CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed)";
	else if (access("/sys/kernel/btf/vmlinux", R_OK))
		hint = " (the kernel has no BTF: CONFIG_DEBUG_INFO_BTF)";
	else if (code == -ENOMEM)
		hint = " (memory, or the limit RLIMIT_MEMLOCK)";
	return err_set(err, code, "%s: %s%s: %.200s", object, strerror(-code), hint, tail);
}

static int pins_mkdir(const char *path, struct err *err)
{
	if (mkdir(path, 0700) && errno != EEXIST)
		return err_set(err, -errno, "mkdir %s: %s", path, strerror(errno));
	return 0;
}

static int pins_check_bpffs(const char *pin_dir, struct err *err)
{
	char parent[PATH_MAX];
	struct statfs fs;
	char *slash;

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
	if (!code)
		code = dp_pins_lock(dp->pin_dir, &dp->lock_fd, err);
	if (code)
		return code;
	snprintf(path, sizeof(path), "%s/maps", dp->pin_dir);
	code = pins_mkdir(path, err);
	if (code)
		return code;
	snprintf(path, sizeof(path), "%s/links", dp->pin_dir);
	return pins_mkdir(path, err);
}

static void map_pin_path(const struct dataplane *dp, const char *name, char ret_path[PATH_MAX])
{
	snprintf(ret_path, PATH_MAX, "%s/maps/%s", dp->pin_dir, name);
}

/* The version that is pinned; 0 when there is none. */
static uint32_t pinned_layout_version(const struct dataplane *dp)
{
	struct sluice_settings row = {};
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), zero = 0;
	char path[PATH_MAX];
	int fd;

	map_pin_path(dp, "settings", path);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return 0;
	if (bpf_map_get_info_by_fd(fd, &info, &len) || info.value_size != sizeof(row) ||
		bpf_map_lookup_elem(fd, &zero, &row))
		row.layout_version = 0;
	close(fd);
	return row.layout_version;
}

int dp_maps_unpin(const char *pin_dir)
{
	char path[PATH_MAX];
	struct dirent *entry;
	int removed = 0, fd;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/maps", pin_dir);
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

static bool map_fits(const struct bpf_map *map, const struct bpf_map_info *info)
{
	return info->type == bpf_map__type(map) && info->key_size == bpf_map__key_size(map) &&
	       info->value_size == bpf_map__value_size(map) &&
	       info->max_entries == bpf_map__max_entries(map) &&
	       info->map_flags == bpf_map__map_flags(map);
}

/* Takes over the pinned map of that name, or removes the pin when it does not fit. */
static int map_adopt(struct dataplane *dp, struct bpf_map *map, struct err *err)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	char path[PATH_MAX];
	int fd, code = 0;

	map_pin_path(dp, bpf_map__name(map), path);
	fd = bpf_obj_get(path);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd >= 0 && bpf_map_get_info_by_fd(fd, &info, &len) == 0 && map_fits(map, &info)) {
		code = bpf_map__reuse_fd(map, fd);
	} else {
		log_warn("pinned map %s has other sizes: it is replaced, its contents are lost",
			path);
		if (unlink(path))
			code = -errno;
	}
	if (fd >= 0)
		close(fd);
	return code ? err_set(err, code, "%s: %s", path, strerror(-code)) : 0;
}

static int maps_adopt(struct dataplane *dp, struct bpf_object *object, struct err *err)
{
	struct bpf_map *map;
	int code;

	bpf_object__for_each_map(map, object)
	{
		code = bpf_map__is_internal(map) ? 0 : map_adopt(dp, map, err);
		if (code)
			return code;
	}
	return 0;
}

static int maps_pin(struct dataplane *dp, struct bpf_object *object, struct err *err)
{
	char path[PATH_MAX];
	struct bpf_map *map;
	int code;

	bpf_object__for_each_map(map, object)
	{
		map_pin_path(dp, bpf_map__name(map), path);
		if (bpf_map__is_internal(map) || access(path, F_OK) == 0)
			continue;
		code = bpf_obj_pin(bpf_map__fd(map), path);
		if (code)
			return err_set(err, code, "pinning %s: %s", path, strerror(-code));
	}
	return 0;
}

static int object_load(struct dataplane *dp, struct bpf_object *object, struct err *err)
{
	int code = maps_adopt(dp, object, err);

	if (code)
		return code;
	code = bpf_object__load(object);
	if (code)
		return load_failed(bpf_object__name(object), code, err);
	return maps_pin(dp, object, err);
}

static int load_xdp(struct dataplane *dp, struct err *err)
{
	int code;

	dp->xdp = sluice_xdp_bpf__open();
	if (!dp->xdp)
		return load_failed("sluice_xdp", -errno, err);
	code = bpf_map__set_max_entries(dp->xdp->maps.source_buckets, dp->source_rows);
	if (code)
		return load_failed("source_buckets", code, err);
	return object_load(dp, dp->xdp->obj, err);
}

static int load_reuseport(struct dataplane *dp, struct err *err)
{
	dp->reuseport = sluice_reuseport_bpf__open();
	if (!dp->reuseport)
		return load_failed("sluice_reuseport", -errno, err);
	return object_load(dp, dp->reuseport->obj, err);
}

static void *map_mmap(const struct bpf_map *map, size_t bytes)
{
	void *rows = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	return rows == MAP_FAILED ? NULL : rows;
}

static int load_mmap(struct dataplane *dp, struct err *err)
{
	dp->settings = map_mmap(dp->xdp->maps.settings, sizeof(*dp->settings));
	dp->workers = map_mmap(dp->xdp->maps.workers, sizeof(*dp->workers) * SLUICE_MAX_WORKERS);
	if (!dp->settings || !dp->workers)
		return err_set(err, -errno, "mapping settings and workers: %s", strerror(errno));
	return 0;
}

/* The secret survives a restart, so that the buckets do. Nobody is alive until it stamps. */
static void settings_fill(struct dataplane *dp)
{
	struct sluice_settings *settings = dp->settings;

	for (uint32_t i = 0; i < SLUICE_MAX_WORKERS; i++)
		__atomic_store_n(&dp->workers[i].state, WORKER_UNUSED, __ATOMIC_RELAXED);
	if (!dp->maps_adopted) {
		hash_random(settings->hash_key, sizeof(settings->hash_key));
		settings->started_unix_s = (uint64_t)time(NULL);
	}
	settings->stale_ns = SLUICE_STALE_NS;
	settings->source_mask = dp->source_rows - 1;
	settings->layout_version = SLUICE_LAYOUT_VERSION;
}

int dp_load(struct dataplane *dp, struct err *err)
{
	uint32_t version = pinned_layout_version(dp);
	libbpf_print_fn_t before;
	int code;

	if (version != SLUICE_LAYOUT_VERSION) {
		int removed = dp_maps_unpin(dp->pin_dir);

		if (removed)
			log_warn("%s: %d pinned maps have layout %u, this is layout %u: replaced",
				dp->pin_dir, removed, version, SLUICE_LAYOUT_VERSION);
	}
	dp->maps_adopted = version == SLUICE_LAYOUT_VERSION;
	load_log.text[0] = '\0';
	before = libbpf_set_print(load_log_print);
	code = load_xdp(dp, err);
	if (!code)
		code = load_reuseport(dp, err);
	libbpf_set_print(before);
	if (!code)
		code = load_mmap(dp, err);
	if (!code)
		settings_fill(dp);
	return code;
}

void dp_unload(struct dataplane *dp)
{
	if (dp->settings)
		munmap(dp->settings, sizeof(*dp->settings));
	if (dp->workers)
		munmap(dp->workers, sizeof(*dp->workers) * SLUICE_MAX_WORKERS);
	dp->settings = NULL;
	dp->workers = NULL;
	sluice_reuseport_bpf__destroy(dp->reuseport);
	sluice_xdp_bpf__destroy(dp->xdp);
	dp->reuseport = NULL;
	dp->xdp = NULL;
}
