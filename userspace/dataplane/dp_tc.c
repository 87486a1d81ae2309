/*
 * The tc programs: sluice_release_link on the ingress of every interface that carries the XDP
 * program (it makes sockets for segments with a valid cookie), sluice_release_tun on the TUN device
 * (the same for what the gate releases). Both by tcx links, in front of other people's programs.
 * The link of an interface is pinned beside the XDP link: it outlives the process with it and its
 * program is exchanged at the next start. Control thread.
 */
#define LOG_MODULE "dataplane"
#include "dataplane/dp_internal.h"

#include "bpf/sluice_release.skel.h"
#include "core/log.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char tc_folder[] = "links/tc";

static void tc_path(const char *pin_dir, const char *interface, char ret_path[PATH_MAX])
{
	dp_pins_link_path(pin_dir, tc_folder, interface, ret_path);
}

/* 0 when it is detached; -errno. */
static int tc_link_ifindex(int fd)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	if (bpf_link_get_info_by_fd(fd, &info, &len))
		return -errno;
	return info.type == BPF_LINK_TYPE_TCX ? (int)info.tcx.ifindex : -EINVAL;
}

static int tc_link_create(const struct bpf_program *program, uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = BPF_F_BEFORE);

	return bpf_link_create(bpf_program__fd(program), (int)ifindex, BPF_TCX_INGRESS, &opts);
}

static void tc_pin_drop(int fd, const char *path)
{
	if (bpf_link_detach(fd) && errno != ENOLINK)
		log_warn("%s: detaching: %s", path, strerror(errno));
	close(fd);
	if (unlink(path) && errno != ENOENT)
		log_warn("%s: %s", path, strerror(errno));
}

static bool tc_adopt(const struct dataplane *dp, struct dp_interface *interface, uint32_t ifindex,
	const char *path)
{
	const struct bpf_program *program = dp->release->progs.sluice_release_link;
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return false;
	if (tc_link_ifindex(fd) == (int)ifindex &&
		(dp->is_aside || bpf_link_update(fd, bpf_program__fd(program), NULL) == 0)) {
		interface->tc_link_fd = fd;
		return true;
	}
	tc_pin_drop(fd, path);
	return false;
}

static void tc_attach_new(const struct dataplane *dp, struct dp_interface *interface,
	uint32_t ifindex, const char *path)
{
	int fd = tc_link_create(dp->release->progs.sluice_release_link, ifindex);

	if (fd < 0) {
		snprintf(interface->tc_why, sizeof(interface->tc_why), "tcx on %s: %s%s",
			interface->name, strerror(-fd),
			fd == -EINVAL || fd == -EOPNOTSUPP ? " (Linux 6.6 and later have it)" : "");
		return;
	}
	if (bpf_obj_pin(fd, path)) {
		snprintf(interface->tc_why, sizeof(interface->tc_why), "pinning %.180s: %s", path,
			strerror(errno));
		close(fd);
		return;
	}
	interface->tc_link_fd = fd;
}

void dp_tc_attach(struct dataplane *dp, struct dp_interface *interface, uint32_t ifindex)
{
	char path[PATH_MAX];

	interface->tc_why[0] = '\0';
	if (!dp->release)
		return; /* dp->release_why says why */
	tc_path(dp->pin_dir, interface->name, path);
	if (!tc_adopt(dp, interface, ifindex, path))
		tc_attach_new(dp, interface, ifindex, path);
	if (interface->tc_link_fd < 0)
		log_warn("interface %s: %s", interface->name, interface->tc_why);
}

void dp_tc_release(struct dataplane *dp, struct dp_interface *interface, enum dataplane_stop stop)
{
	char path[PATH_MAX];

	if (interface->tc_link_fd < 0)
		return;
	tc_path(dp->pin_dir, interface->name, path);
	if (stop == DATAPLANE_DETACH)
		tc_pin_drop(interface->tc_link_fd, path);
	else
		close(interface->tc_link_fd);
	interface->tc_link_fd = -1;
}

bool dp_tc_is_attached(const struct dp_interface *interface)
{
	return interface->tc_link_fd >= 0 && interface->ifindex &&
	       tc_link_ifindex(interface->tc_link_fd) == (int)interface->ifindex;
}

static bool tc_is_kept(const struct dataplane *keep, const char *path)
{
	char own[PATH_MAX];

	for (size_t i = 0; keep && i < keep->interface_count; i++) {
		tc_path(keep->pin_dir, keep->interfaces[i].name, own);
		if (keep->interfaces[i].tc_link_fd >= 0 && strcmp(own, path) == 0)
			return true;
	}
	return false;
}

int dp_tc_links_remove(const char *pin_dir, const struct dataplane *keep)
{
	char folder[PATH_MAX - 300], path[PATH_MAX];
	struct dirent *entry;
	int removed = 0, fd;
	DIR *dir;

	snprintf(folder, sizeof(folder), "%s/%s", pin_dir, tc_folder);
	dir = opendir(folder);
	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		fd = tc_is_kept(keep, path) ? -1 : bpf_obj_get(path);
		if (fd < 0)
			continue;
		tc_pin_drop(fd, path);
		removed++;
	}
	closedir(dir);
	return removed;
}

int dp_gate_tun_link(const struct dataplane *dp)
{
	return dp->tun_link_fd;
}

int dp_gate_take_tun(struct dataplane *dp, int link_fd, struct err *err)
{
	if (!dp->active)
		return 0;
	if (!dp->release)
		return err_set(err, -ENOTSUP, "%s", dp->release_why);
	if (bpf_link_update(link_fd, bpf_program__fd(dp->release->progs.sluice_release_tun), NULL))
		return err_set(err, -errno,
			"tc program on the TUN device of the process before: %s", strerror(errno));
	dp->tun_link_fd = link_fd;
	return 0;
}

int dp_gate_attach_tun(struct dataplane *dp, uint32_t ifindex, struct err *err)
{
	int fd;

	if (!dp->active)
		return 0;
	if (!dp->release)
		return err_set(err, -ENOTSUP, "%s", dp->release_why);
	if (dp->tun_link_fd >= 0)
		close(dp->tun_link_fd); /* a program is on an interface once */
	dp->tun_link_fd = -1;
	fd = tc_link_create(dp->release->progs.sluice_release_tun, ifindex);
	if (fd < 0)
		return err_set(err, fd, "tc program on the TUN device (interface %u): %s", ifindex,
			strerror(-fd));
	dp->tun_link_fd = fd;
	return 0;
}
