/*
 * Loading the BPF objects and adopting pinned maps. A pinned map is adopted when the layout
 * version in `settings` is ours and its type and sizes are those of the object; otherwise it is
 * replaced, which is logged. Control thread.
 */
#define LOG_MODULE "dataplane"
#include "dataplane/dp_internal.h"

#include "bpf/sluice_release.skel.h"
#include "bpf/sluice_reuseport.skel.h"
#include "bpf/sluice_xdp.skel.h"
#include "core/hash.h"
#include "core/log.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
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
	/* EACCES is the verifier's word, too; then its log is there. */
	if ((code == -EPERM || code == -EACCES) && !strstr(load_log.text, "PROG LOAD LOG"))
		hint = " (CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed)";
	else if (access("/sys/kernel/btf/vmlinux", R_OK))
		hint = " (the kernel has no BTF: CONFIG_DEBUG_INFO_BTF)";
	else if (code == -ENOMEM)
		hint = " (memory, or the limit RLIMIT_MEMLOCK)";
	return err_set(err, code, "%s: %s%s: %.200s", object, strerror(-code), hint, tail);
}

static void map_pin_path(const struct dataplane *dp, const char *name, char ret_path[PATH_MAX])
{
	snprintf(ret_path, PATH_MAX, "%s/%s/%s", dp->pin_dir, dp->is_aside ? "maps_aside" : "maps",
		name);
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

/* Where that fails the next process starts with maps of its own. */
static void map_repin(const struct dataplane *dp, const struct bpf_map *map)
{
	struct bpf_map_info ours = {}, pinned = {};
	__u32 len = sizeof(ours);
	char path[PATH_MAX];
	bool is_ours;
	int fd;

	map_pin_path(dp, bpf_map__name(map), path);
	if (bpf_map_get_info_by_fd(bpf_map__fd(map), &ours, &len))
		return;
	fd = bpf_obj_get(path);
	len = sizeof(pinned);
	is_ours = fd >= 0 && bpf_map_get_info_by_fd(fd, &pinned, &len) == 0 && pinned.id == ours.id;
	if (fd >= 0)
		close(fd);
	if (is_ours)
		return;
	if ((unlink(path) && errno != ENOENT) || bpf_obj_pin(bpf_map__fd(map), path))
		log_warn("pinning %s: %s", path, strerror(errno));
}

void dp_maps_repin(struct dataplane *dp)
{
	const struct bpf_object *objects[] = {
		dp->xdp->obj, dp->reuseport->obj, dp->release ? dp->release->obj : NULL};
	struct bpf_map *map;

	for (size_t i = 0; i < array_len(objects) && objects[i]; i++)
		bpf_object__for_each_map(map, objects[i])
		{
			if (!bpf_map__is_internal(map))
				map_repin(dp, map);
		}
}

/* Several objects have the source table; its size is the configuration's. */
static int source_rows_set(struct dataplane *dp, struct bpf_object *object, struct err *err)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, "source_buckets");
	int code = map ? bpf_map__set_max_entries(map, dp->source_rows) : 0;

	return code ? load_failed("source_buckets", code, err) : 0;
}

static int object_load(struct dataplane *dp, struct bpf_object *object, struct err *err)
{
	int code = source_rows_set(dp, object, err);

	if (!code)
		code = maps_adopt(dp, object, err);
	if (code)
		return code;
	code = bpf_object__load(object);
	if (code)
		return load_failed(bpf_object__name(object), code, err);
	return maps_pin(dp, object, err);
}

static int load_xdp(struct dataplane *dp, struct err *err)
{
	dp->xdp = sluice_xdp_bpf__open();
	if (!dp->xdp)
		return load_failed("sluice_xdp", -errno, err);
	return object_load(dp, dp->xdp->obj, err);
}

static int load_reuseport(struct dataplane *dp, struct err *err)
{
	dp->reuseport = sluice_reuseport_bpf__open();
	if (!dp->reuseport)
		return load_failed("sluice_reuseport", -errno, err);
	return object_load(dp, dp->reuseport->obj, err);
}

/* The object loads without the kernel function: it is a weak symbol. */
static bool kernel_makes_sockets(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool has = btf && btf__find_by_name_kind(btf, "bpf_sk_assign_tcp_reqsk", BTF_KIND_FUNC) > 0;

	btf__free(btf);
	return has;
}

static int release_open(struct dataplane *dp, struct err *err)
{
	if (!kernel_makes_sockets())
		return err_set(err, -ENOTSUP,
			"this kernel has no bpf_sk_assign_tcp_reqsk (Linux 6.9 and later have it)");
	dp->release = sluice_release_bpf__open();
	if (!dp->release)
		return load_failed("sluice_release", -errno, err);
	return object_load(dp, dp->release->obj, err);
}

/* Without it the kernel makes its sockets itself: no reason to fail. */
static void load_release(struct dataplane *dp)
{
	struct err err = {};

	dp->release_why[0] = '\0';
	if (release_open(dp, &err) == 0)
		return;
	snprintf(dp->release_why, sizeof(dp->release_why), "%.*s", (int)sizeof(dp->release_why) - 1,
		err.text);
	sluice_release_bpf__destroy(dp->release);
	dp->release = NULL;
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

	for (uint32_t i = 0; i < SLUICE_MAX_WORKERS && !dp->takes_over; i++)
		__atomic_store_n(&dp->workers[i].state, WORKER_UNUSED, __ATOMIC_RELAXED);
	if (!dp->maps_adopted) {
		hash_random(settings->hash_key, sizeof(settings->hash_key));
		settings->started_unix_s = (uint64_t)time(NULL);
	}
	settings->stale_ns = SLUICE_STALE_NS;
	settings->source_mask = dp->source_rows - 1;
	settings->layout_version = SLUICE_LAYOUT_VERSION;
}

/* Those of a process that serves stay pinned until it does not. */
static void layout_choose(struct dataplane *dp)
{
	uint32_t version = pinned_layout_version(dp);
	int removed;

	dp_maps_unpin_aside(dp->pin_dir); /* of somebody who failed */
	dp->maps_adopted = version == SLUICE_LAYOUT_VERSION;
	if (dp->maps_adopted)
		return;
	dp->is_aside = dp->takes_over && version;
	removed = dp->is_aside ? 0 : dp_maps_unpin(dp->pin_dir);
	if (dp->is_aside || removed)
		log_warn("%s: the pinned maps have layout %u, this is layout %u: replaced",
			dp->pin_dir, version, SLUICE_LAYOUT_VERSION);
}

int dp_load(struct dataplane *dp, struct err *err)
{
	libbpf_print_fn_t before;
	int code;

	layout_choose(dp);
	load_log.text[0] = '\0';
	before = libbpf_set_print(load_log_print);
	code = load_xdp(dp, err);
	if (!code)
		code = load_reuseport(dp, err);
	if (!code)
		load_release(dp);
	libbpf_set_print(before);
	if (!code)
		code = load_mmap(dp, err);
	if (code)
		return code;
	settings_fill(dp);
	dp_cookies_init(dp);
	if (!dp->takes_over)
		dp_gate_reset(dp);
	return 0;
}

void dp_unload(struct dataplane *dp)
{
	if (dp->settings)
		munmap(dp->settings, sizeof(*dp->settings));
	if (dp->workers)
		munmap(dp->workers, sizeof(*dp->workers) * SLUICE_MAX_WORKERS);
	dp->settings = NULL;
	dp->workers = NULL;
	sluice_release_bpf__destroy(dp->release);
	sluice_reuseport_bpf__destroy(dp->reuseport);
	dp->release = NULL;
	sluice_xdp_bpf__destroy(dp->xdp);
	dp->reuseport = NULL;
	dp->xdp = NULL;
}
