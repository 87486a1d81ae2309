/*
 * Interfaces: attaching the XDP program through a pinned bpf_link, taking over the link an earlier
 * process left, noticing that it is gone. One program per interface: an interface that carries
 * somebody else's program is left alone. Control thread.
 */
#define LOG_MODULE "dataplane"
#include "dataplane/dp_internal.h"

#include "bpf/sluice_xdp.skel.h"
#include "core/log.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* bpffs refuses dots in names: '.' and '%' are written as %2e and %25. */
static void link_pin_path(const char *pin_dir, const char *interface, char ret_path[PATH_MAX])
{
	int len = snprintf(ret_path, PATH_MAX, "%s/links/xdp_", pin_dir);
	const char *c;

	for (c = interface; *c && len < PATH_MAX - 4; c++)
		len += snprintf(ret_path + len, PATH_MAX - (size_t)len,
			*c == '.' || *c == '%' ? "%%%02x" : "%c", *c);
}

int dp_link_ifindex(int link_fd, uint32_t *ret_prog_id)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	if (bpf_link_get_info_by_fd(link_fd, &info, &len))
		return -errno;
	if (info.type != BPF_LINK_TYPE_XDP)
		return -EINVAL;
	if (ret_prog_id)
		*ret_prog_id = info.prog_id;
	return (int)info.xdp.ifindex;
}

static uint32_t attached_prog_id(const struct bpf_xdp_query_opts *query)
{
	if (query->drv_prog_id)
		return query->drv_prog_id;
	return query->skb_prog_id ? query->skb_prog_id : query->hw_prog_id;
}

static int interface_query(uint32_t ifindex, struct bpf_xdp_query_opts *ret_query)
{
	*ret_query = (struct bpf_xdp_query_opts){.sz = sizeof(*ret_query)};
	return bpf_xdp_query((int)ifindex, 0, ret_query);
}

uint32_t dp_interface_prog_id(uint32_t ifindex)
{
	struct bpf_xdp_query_opts query;

	return interface_query(ifindex, &query) ? 0 : attached_prog_id(&query);
}

static int interface_busy(struct dp_interface *interface, uint32_t prog_id, struct err *err)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(prog_id);

	if (fd >= 0) {
		if (bpf_prog_get_info_by_fd(fd, &info, &len))
			info.name[0] = '\0';
		close(fd);
	}
	interface->other = true;
	snprintf(interface->why, sizeof(interface->why),
		"XDP program '%s' (id %u) of somebody else is attached", info.name, prog_id);
	return err_set(err, -EBUSY,
		"interface %s: XDP program '%s' (id %u) is attached already and sluice does not replace "
		"what it did not attach: detach it (ip link set dev %s xdp off) or take %s out of the "
		"configuration",
		interface->name, info.name, prog_id, interface->name, interface->name);
}

static int program_fd(const struct dataplane *dp)
{
	return bpf_program__fd(dp->xdp->progs.sluice_xdp);
}

/* The pinned link of an earlier process: exchange its program, if it is attached where we want to
 * be. Returns 1 when it was taken over, 0 when there is nothing to take over. */
static int link_adopt(
	struct dataplane *dp, struct dp_interface *interface, uint32_t ifindex, const char *path)
{
	struct bpf_xdp_query_opts query;
	uint32_t prog_id = 0;
	int fd = bpf_obj_get(path), code;

	if (fd < 0)
		return 0;
	code = dp_link_ifindex(fd, &prog_id);
	if (code == (int)ifindex && interface_query(ifindex, &query) == 0 &&
		attached_prog_id(&query) == prog_id) {
		enum dataplane_mode mode = query.drv_prog_id ? DATAPLANE_NATIVE : DATAPLANE_GENERIC;

		if ((interface->wanted == DATAPLANE_AUTO || interface->wanted == mode) &&
			bpf_link_update(fd, program_fd(dp), NULL) == 0) {
			interface->mode = mode;
			interface->link_fd = fd;
			interface->adopted = true;
			return 1;
		}
	}
	if (code != 0 && bpf_link_detach(fd))
		log_warn("%s: detaching the old link: %s", path, strerror(errno));
	close(fd);
	if (unlink(path))
		log_warn("%s: %s", path, strerror(errno));
	return 0;
}

static int link_create(struct dataplane *dp, uint32_t ifindex, uint32_t flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);

	return bpf_link_create(program_fd(dp), (int)ifindex, BPF_XDP, &opts);
}

/* Tries native, then generic; returns the link or -errno of the last try. */
static int link_attach(struct dataplane *dp, struct dp_interface *interface, uint32_t ifindex)
{
	int fd = -EOPNOTSUPP;

	interface->why[0] = '\0';
	if (interface->wanted != DATAPLANE_GENERIC) {
		fd = link_create(dp, ifindex, XDP_FLAGS_DRV_MODE);
		interface->mode = DATAPLANE_NATIVE;
		if (fd < 0)
			snprintf(interface->why, sizeof(interface->why), "native: %s",
				strerror(-fd));
	}
	if (fd < 0 && fd != -EBUSY && interface->wanted != DATAPLANE_NATIVE) {
		size_t used = strlen(interface->why);

		fd = link_create(dp, ifindex, XDP_FLAGS_SKB_MODE);
		interface->mode = DATAPLANE_GENERIC;
		if (fd < 0)
			snprintf(interface->why + used, sizeof(interface->why) - used,
				"%sgeneric: %s", used ? ", " : "", strerror(-fd));
	}
	if (fd < 0)
		interface->mode = DATAPLANE_NONE;
	return fd;
}

static int interface_attach_new(struct dataplane *dp, struct dp_interface *interface,
	uint32_t ifindex, const char *path, struct err *err)
{
	struct bpf_xdp_query_opts query;
	int fd;

	if (interface_query(ifindex, &query) == 0 && attached_prog_id(&query))
		return interface_busy(interface, attached_prog_id(&query), err);
	fd = link_attach(dp, interface, ifindex);
	if (fd == -EBUSY && interface_query(ifindex, &query) == 0)
		return interface_busy(interface, attached_prog_id(&query), err);
	if (fd < 0)
		return 0;
	if (bpf_obj_pin(fd, path)) {
		snprintf(interface->why, sizeof(interface->why), "pinning %s: %s", path,
			strerror(errno));
		interface->mode = DATAPLANE_NONE;
		close(fd);
		return 0;
	}
	interface->link_fd = fd;
	return 0;
}

static void interface_log(const struct dp_interface *interface)
{
	if (interface->mode == DATAPLANE_NONE)
		log_warn("interface %s: XDP not attached: %s", interface->name, interface->why);
	else
		log_info("interface %s: XDP %s %s%s%s", interface->name,
			interface->adopted ? "taken over," : "attached,",
			dataplane_mode_name(interface->mode), interface->why[0] ? "; " : "",
			interface->why);
}

int dp_interface_attach(struct dataplane *dp, struct dp_interface *interface, struct err *err)
{
	uint32_t ifindex = if_nametoindex(interface->name);
	char path[PATH_MAX];
	int code = 0;

	interface->mode = DATAPLANE_NONE;
	interface->adopted = false;
	interface->other = false;
	interface->why[0] = '\0';
	interface->tried_ifindex = ifindex;
	link_pin_path(dp->pin_dir, interface->name, path);
	if (interface->wanted == DATAPLANE_NONE)
		snprintf(interface->why, sizeof(interface->why), "switched off");
	else if (!ifindex)
		snprintf(interface->why, sizeof(interface->why), "no such interface");
	else if (!link_adopt(dp, interface, ifindex, path))
		code = interface_attach_new(dp, interface, ifindex, path, err);
	if (interface->link_fd >= 0)
		interface->ifindex = ifindex;
	interface_log(interface);
	return code;
}

void dp_interface_release(
	struct dataplane *dp, struct dp_interface *interface, enum dataplane_stop stop)
{
	char path[PATH_MAX];

	if (interface->link_fd < 0)
		return;
	if (stop == DATAPLANE_DETACH) {
		link_pin_path(dp->pin_dir, interface->name, path);
		if (bpf_link_detach(interface->link_fd) && errno != ENOLINK)
			log_warn("interface %s: detaching XDP: %s", interface->name,
				strerror(errno));
		if (unlink(path) && errno != ENOENT)
			log_warn("%s: %s", path, strerror(errno));
	}
	close(interface->link_fd);
	interface->link_fd = -1;
	interface->ifindex = 0;
	interface->mode = DATAPLANE_NONE;
}

static bool link_is_kept(const struct dataplane *keep, const char *path)
{
	char own[PATH_MAX];

	for (size_t i = 0; keep && i < keep->interface_count; i++) {
		link_pin_path(keep->pin_dir, keep->interfaces[i].name, own);
		if (keep->interfaces[i].link_fd >= 0 && strcmp(own, path) == 0)
			return true;
	}
	return false;
}

int dp_links_remove(const char *pin_dir, const struct dataplane *keep)
{
	char folder[PATH_MAX - 300], path[PATH_MAX];
	struct dirent *entry;
	int removed = 0, fd;
	DIR *dir;

	snprintf(folder, sizeof(folder), "%s/links", pin_dir);
	dir = opendir(folder);
	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (link_is_kept(keep, path))
			continue;
		fd = bpf_obj_get(path);
		if (fd >= 0) {
			if (bpf_link_detach(fd) && errno != ENOLINK)
				log_warn("%s: detaching: %s", path, strerror(errno));
			close(fd);
		}
		if (unlink(path) == 0)
			removed++;
	}
	closedir(dir);
	return removed;
}
