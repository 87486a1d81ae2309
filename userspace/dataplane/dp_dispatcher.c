/*
 * Sharing an interface: libxdp's dispatcher is a small XDP program that calls others one after the
 * other; each is loaded as the replacement of one of its functions (freplace). Joining makes a new
 * dispatcher with the programs of the old one and ours, and exchanges the two in one step.
 *
 * libxdp keeps programs and links alive by pins of its own (LIBXDP_BPFFS, else /sys/fs/bpf, folder
 * xdp/dispatch-IFINDEX-DISPATCHER), so nothing of it stays open here: a membership is the
 * descriptor of our program. The member is a second copy of sluice_xdp on the same maps, because
 * a replacement is another type of program than one that is attached alone. libxdp is given a
 * dispatcher that can hold our program (bpf/xdp_dispatcher.bpf.c), and uses its own where it does
 * not take that one (another version of the protocol). Control thread.
 */
#define LOG_MODULE "dataplane"
#include "dataplane/dp_internal.h"

#include "bpf/host_probe.skel.h"
#include "bpf/sluice_xdp.skel.h"
#include "bpf/xdp_dispatcher.skel.h"
#include "core/log.h"
#include "core/mem.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#define DISPATCHER_NAME   "xdp_dispatcher"
#define DISPATCHER_OBJECT "xdp-dispatcher.o"

/* Where libxdp looks for its dispatcher first. */
static const char *const object_path_variable = "LIBXDP_OBJECT_PATH";

/* Our dispatcher as a file, which is how libxdp takes one; and what the variable was before. */
struct own_dispatcher {
	char folder[sizeof("/tmp/sluice-XXXXXX")];
	char *variable_before;
};

/* libxdp and libbpf print through process-wide functions: the last warning is the reason. */
static char last_words[DATAPLANE_WHY_BYTES];

static void words_keep(const char *format, va_list args)
{
	char *end;

	vsnprintf(last_words, sizeof(last_words), format, args);
	end = strchr(last_words, '\n');
	if (end)
		*end = '\0';
}

static int words_libxdp(enum libxdp_print_level level, const char *format, va_list args)
{
	if (level == LIBXDP_WARN)
		words_keep(format, args);
	return 0;
}

static int words_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level == LIBBPF_WARN)
		words_keep(format, args);
	return 0;
}

static libbpf_print_fn_t words_begin(void)
{
	last_words[0] = '\0';
	libxdp_set_print(words_libxdp);
	return libbpf_set_print(words_libbpf);
}

static const char *words_end(libbpf_print_fn_t before, int code)
{
	libbpf_set_print(before);
	return last_words[0] ? last_words : strerror(-code);
}

static int probe_load(void)
{
	struct host_probe_bpf *target = host_probe_bpf__open(), *replacement = NULL;
	int code = -ENOMEM;

	if (!target)
		return code;
	bpf_program__set_autoload(target->progs.probe_replacement, false);
	code = host_probe_bpf__load(target);
	replacement = code ? NULL : host_probe_bpf__open();
	if (replacement) {
		bpf_program__set_autoload(replacement->progs.probe_dispatcher, false);
		code = bpf_program__set_attach_target(replacement->progs.probe_replacement,
			bpf_program__fd(target->progs.probe_dispatcher), "probe_slot");
		if (!code)
			code = host_probe_bpf__load(replacement);
	}
	host_probe_bpf__destroy(replacement);
	host_probe_bpf__destroy(target);
	return code;
}

int dp_dispatcher_possible(void)
{
	libbpf_print_fn_t before = words_begin();
	int code = probe_load();

	libbpf_set_print(before);
	return code;
}

bool dp_dispatcher_is(uint32_t prog_id)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(prog_id);

	if (fd < 0)
		return false;
	if (bpf_prog_get_info_by_fd(fd, &info, &len))
		info.name[0] = '\0';
	close(fd);
	return strcmp(info.name, DISPATCHER_NAME) == 0;
}

uint32_t dp_program_id(int fd)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	return fd >= 0 && bpf_prog_get_info_by_fd(fd, &info, &len) == 0 ? info.id : 0;
}

static enum dataplane_mode dispatcher_mode(struct xdp_multiprog *dispatcher)
{
	switch (xdp_multiprog__attach_mode(dispatcher)) {
	case XDP_MODE_NATIVE:
		return DATAPLANE_NATIVE;
	case XDP_MODE_SKB:
		return DATAPLANE_GENERIC;
	default:
		return DATAPLANE_NONE;
	}
}

/* The dispatcher that the interface carries; NULL: it carries none. */
static struct xdp_multiprog *dispatcher_get(uint32_t ifindex)
{
	struct xdp_multiprog *dispatcher = xdp_multiprog__get_from_ifindex((int)ifindex);

	if (libxdp_get_error(dispatcher))
		return NULL;
	if (!xdp_multiprog__is_legacy(dispatcher))
		return dispatcher;
	xdp_multiprog__close(dispatcher);
	return NULL;
}

static struct xdp_program *dispatcher_find(struct xdp_multiprog *dispatcher, uint32_t prog_id)
{
	struct xdp_program *program = NULL;

	while ((program = xdp_multiprog__next_prog(program, dispatcher)))
		if (xdp_program__id(program) == prog_id)
			return program;
	return NULL;
}

enum dataplane_mode dp_dispatcher_has(uint32_t ifindex, int member_fd)
{
	enum dataplane_mode mode = DATAPLANE_NONE;
	uint32_t prog_id = dp_program_id(member_fd);
	libbpf_print_fn_t before = words_begin();
	struct xdp_multiprog *dispatcher = dispatcher_get(ifindex);

	if (dispatcher && prog_id && dispatcher_find(dispatcher, prog_id))
		mode = dispatcher_mode(dispatcher);
	xdp_multiprog__close(dispatcher);
	words_end(before, 0);
	return mode;
}

/* The copy works on the maps of the program that is loaded already, all of them: constants too. */
static int member_share_maps(const struct dataplane *dp, struct bpf_object *copy)
{
	struct bpf_map *map, *original;
	int code;

	bpf_object__for_each_map(map, copy)
	{
		original = bpf_object__find_map_by_name(dp->xdp->obj, bpf_map__name(map));
		if (!original || bpf_map__fd(original) < 0)
			return -ENOENT;
		code = bpf_map__reuse_fd(map, bpf_map__fd(original));
		if (code)
			return code;
	}
	return 0;
}

static struct sluice_xdp_bpf *member_open(const struct dataplane *dp, int *ret_code)
{
	struct sluice_xdp_bpf *copy = sluice_xdp_bpf__open();
	struct bpf_program *program;

	if (!copy) {
		*ret_code = -errno;
		return NULL;
	}
	bpf_object__for_each_program(program, copy->obj)
		bpf_program__set_autoload(program, program == copy->progs.sluice_xdp);
	*ret_code = member_share_maps(dp, copy->obj);
	if (*ret_code == 0)
		return copy;
	sluice_xdp_bpf__destroy(copy);
	return NULL;
}

/* libxdp attaches a program alone where it cannot make a dispatcher, which is not what is asked of
 * it here. */
static int program_join(struct xdp_program *program, uint32_t ifindex, enum dataplane_mode mode)
{
	enum xdp_attach_mode libxdp_mode =
		mode == DATAPLANE_GENERIC ? XDP_MODE_SKB : XDP_MODE_NATIVE;
	int code = xdp_program__attach(program, (int)ifindex, libxdp_mode, 0);

	if (code || dp_dispatcher_is(dp_interface_prog_id(ifindex)))
		return code;
	code = xdp_program__detach(program, (int)ifindex, libxdp_mode, 0);
	if (code)
		log_warn("detaching a program that was not to be alone: %s", strerror(-code));
	return -EOPNOTSUPP;
}

static int object_join(
	struct bpf_object *object, uint32_t ifindex, enum dataplane_mode mode, int *ret_member_fd)
{
	DECLARE_LIBXDP_OPTS(xdp_program_opts, opts, .obj = object, .prog_name = "sluice_xdp");
	struct xdp_program *program = xdp_program__create(&opts);
	int code = (int)libxdp_get_error(program), fd;

	if (code)
		return code;
	code = program_join(program, ifindex, mode);
	if (!code) {
		fd = fcntl(xdp_program__fd(program), F_DUPFD_CLOEXEC, 0);
		code = fd < 0 ? -errno : 0;
		if (!code)
			*ret_member_fd = fd;
	}
	xdp_program__close(program);
	return code;
}

static int file_write(const char *path)
{
	size_t len;
	const char *bytes = xdp_dispatcher_bpf__elf_bytes(&len);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), code = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, bytes, len) != (ssize_t)len)
		code = -EIO;
	close(fd);
	return code;
}

static void own_dispatcher_end(struct own_dispatcher *own)
{
	char path[sizeof(own->folder) + sizeof(DISPATCHER_OBJECT)];

	if (own->variable_before)
		setenv(object_path_variable, own->variable_before, 1);
	else
		unsetenv(object_path_variable);
	free(own->variable_before);
	snprintf(path, sizeof(path), "%s/" DISPATCHER_OBJECT, own->folder);
	if ((unlink(path) && errno != ENOENT) || rmdir(own->folder))
		log_warn("%s: %s", own->folder, strerror(errno));
}

static int own_dispatcher_begin(struct own_dispatcher *own)
{
	const char *variable = getenv(object_path_variable);
	char path[sizeof(own->folder) + sizeof(DISPATCHER_OBJECT)];
	int code;

	snprintf(own->folder, sizeof(own->folder), "/tmp/sluice-XXXXXX");
	if (!mkdtemp(own->folder))
		return -errno;
	own->variable_before = variable ? mem_strdup(variable) : NULL;
	snprintf(path, sizeof(path), "%s/" DISPATCHER_OBJECT, own->folder);
	code = file_write(path);
	if (!code && setenv(object_path_variable, own->folder, 1))
		code = -errno;
	if (code)
		own_dispatcher_end(own);
	return code;
}

static int copy_join(
	const struct dataplane *dp, uint32_t ifindex, enum dataplane_mode mode, int *ret_member_fd)
{
	struct sluice_xdp_bpf *copy;
	int code;

	copy = member_open(dp, &code);
	if (!copy)
		return code;
	code = object_join(copy->obj, ifindex, mode, ret_member_fd);
	sluice_xdp_bpf__destroy(copy);
	return code;
}

int dp_dispatcher_join(const struct dataplane *dp, uint32_t ifindex, enum dataplane_mode mode,
	int *ret_member_fd, char ret_why[DATAPLANE_WHY_BYTES])
{
	libbpf_print_fn_t before = words_begin();
	struct own_dispatcher own;
	int code = own_dispatcher_begin(&own);

	if (!code) {
		code = copy_join(dp, ifindex, mode, ret_member_fd);
		own_dispatcher_end(&own);
	}
	if (code)
		code = copy_join(dp, ifindex, mode, ret_member_fd);
	snprintf(ret_why, DATAPLANE_WHY_BYTES, "%s", code ? words_end(before, code) : "");
	libbpf_set_print(before);
	return code;
}

static int program_leave(uint32_t ifindex, uint32_t prog_id)
{
	struct xdp_multiprog *dispatcher = dispatcher_get(ifindex);
	struct xdp_program *program = dispatcher ? dispatcher_find(dispatcher, prog_id) : NULL;
	int code = -ENOENT;

	if (program)
		code = xdp_program__detach(
			program, (int)ifindex, xdp_multiprog__attach_mode(dispatcher), 0);
	xdp_multiprog__close(dispatcher);
	return code;
}

/* Those that stay, which may be a successor of ours, get a dispatcher of the same kind. */
int dp_dispatcher_leave(uint32_t ifindex, int member_fd)
{
	uint32_t prog_id = dp_program_id(member_fd);
	libbpf_print_fn_t before = words_begin();
	struct own_dispatcher own;
	int code = own_dispatcher_begin(&own);

	if (!code) {
		code = program_leave(ifindex, prog_id);
		own_dispatcher_end(&own);
	}
	if (code && code != -ENOENT)
		code = program_leave(ifindex, prog_id);
	if (code && code != -ENOENT)
		log_warn("leaving the XDP dispatcher: %s", words_end(before, code));
	libbpf_set_print(before);
	return code;
}

int dp_dispatcher_leave_any(int member_fd)
{
	struct if_nameindex *interfaces = if_nameindex();
	int code = -ENOENT;

	for (struct if_nameindex *one = interfaces; one && one->if_index && code == -ENOENT; one++)
		if (dp_dispatcher_is(dp_interface_prog_id(one->if_index)))
			code = dp_dispatcher_leave(one->if_index, member_fd);
	if_freenameindex(interfaces);
	return code;
}

void dp_dispatcher_forget(uint32_t ifindex, uint32_t dispatcher_id)
{
	const char *bpffs = getenv("LIBXDP_BPFFS");
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "%s/xdp/dispatch-%u-%u", bpffs ? bpffs : "/sys/fs/bpf",
		ifindex, dispatcher_id);
	dir = opendir(path);
	if (!dir)
		return;
	fd = dirfd(dir);
	while (fd >= 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && unlinkat(fd, entry->d_name, 0))
			log_warn("%s/%s: %s", path, entry->d_name, strerror(errno));
	closedir(dir);
	if (rmdir(path))
		log_warn("%s: %s", path, strerror(errno));
}
