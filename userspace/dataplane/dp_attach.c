/*
 * Interfaces: attaching the XDP program through a pinned bpf_link or through libxdp's dispatcher
 * (dp_dispatcher.c), taking over what an earlier process left, noticing that it is gone. An
 * interface that carries somebody else's program is left alone. Control thread.
 *
 * Pins in links/: xdp_INTERFACE is our link, member_INTERFACE
 * our program in a dispatcher, joining_INTERFACE the same while it takes its predecessor's place.
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

#define LINK    "xdp"
#define MEMBER  "member"
#define JOINING "joining"

static void pin_path(
	const char *pin_dir, const char *kind, const char *interface, char ret_path[PATH_MAX])
{
	char name[IF_NAMESIZE + sizeof(JOINING) + 1];

	snprintf(name, sizeof(name), "%s_%s", kind, interface);
	dp_pins_link_path(pin_dir, "links", name, ret_path);
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
	interface->other_id = prog_id;
	snprintf(interface->why, sizeof(interface->why),
		"XDP program '%s' (id %u) of somebody else is attached", info.name, prog_id);
	return err_set(err, -EBUSY,
		"interface %s: XDP program '%s' (id %u) is attached already and sluice does not replace "
		"what it did not attach: detach it (ip link set dev %s xdp off) or take %s out of the "
		"configuration",
		interface->name, info.name, prog_id, interface->name, interface->name);
}

static void why_add(struct dp_interface *interface, const char *what, const char *reason)
{
	size_t used = strlen(interface->why);

	snprintf(interface->why + used, sizeof(interface->why) - used, "%s%s: %s", used ? ", " : "",
		what, reason);
}

bool dp_interface_attached(const struct dp_interface *interface)
{
	return interface->link_fd >= 0 || interface->member_fd >= 0;
}

static bool mode_is_wanted(const struct dp_interface *interface, enum dataplane_mode mode)
{
	return interface->wanted == DATAPLANE_AUTO || interface->wanted == mode;
}

static int program_fd(const struct dataplane *dp)
{
	return bpf_program__fd(dp->xdp->progs.sluice_xdp);
}

/* A link that is there is kept where there can be no dispatcher. */
static bool wants_dispatcher(const struct dp_interface *interface)
{
	return interface->dispatcher == DATAPLANE_DISPATCHER_ALWAYS &&
	       dp_dispatcher_possible() == 0;
}

/* The pinned link of an earlier process: exchange its program, if it is attached where we want to
 * be; later, where the maps of that process are not ours. Returns 1 when it was taken over, 0 when there is nothing to take over. */
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

		if (mode_is_wanted(interface, mode) && !wants_dispatcher(interface) &&
			(dp->is_aside || bpf_link_update(fd, program_fd(dp), NULL) == 0)) {
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

	if (interface->wanted != DATAPLANE_GENERIC) {
		fd = link_create(dp, ifindex, XDP_FLAGS_DRV_MODE);
		interface->mode = DATAPLANE_NATIVE;
		if (fd < 0)
			why_add(interface, "native", strerror(-fd));
	}
	if (fd < 0 && fd != -EBUSY && interface->wanted != DATAPLANE_NATIVE) {
		fd = link_create(dp, ifindex, XDP_FLAGS_SKB_MODE);
		interface->mode = DATAPLANE_GENERIC;
		if (fd < 0)
			why_add(interface, "generic", strerror(-fd));
	}
	if (fd < 0)
		interface->mode = DATAPLANE_NONE;
	return fd;
}

static void pin_rename(const struct dataplane *dp, const struct dp_interface *interface)
{
	char from[PATH_MAX], to[PATH_MAX];

	pin_path(dp->pin_dir, JOINING, interface->name, from);
	pin_path(dp->pin_dir, MEMBER, interface->name, to);
	if (rename(from, to))
		log_warn("%s: %s", to, strerror(errno));
}

/* Without a pin the next process could not tell that the program is ours: it is not left there. */
static int member_pin(const struct dataplane *dp, struct dp_interface *interface, const char *kind)
{
	char path[PATH_MAX];
	int code;

	pin_path(dp->pin_dir, kind, interface->name, path);
	if (bpf_obj_pin(interface->member_fd, path) == 0)
		return 0;
	code = -errno;
	why_add(interface, path, strerror(-code));
	if (dp_dispatcher_leave(interface->tried_ifindex, interface->member_fd))
		log_warn("interface %s: cannot leave the dispatcher", interface->name);
	close(interface->member_fd);
	interface->member_fd = -1;
	interface->mode = DATAPLANE_NONE;
	return code;
}

static int member_join(struct dataplane *dp, struct dp_interface *interface, const char *kind,
	enum dataplane_mode mode)
{
	uint32_t ifindex = interface->tried_ifindex;
	char why[DATAPLANE_WHY_BYTES];
	int code = dp_dispatcher_join(dp, ifindex, mode, &interface->member_fd, why);

	if (code) {
		why_add(interface, "dispatcher", why);
		return code;
	}
	interface->mode = mode;
	interface->dispatcher_id = dp_interface_prog_id(ifindex);
	return member_pin(dp, interface, kind);
}

/* The program an earlier process has in the interface's dispatcher: ours takes its place. Returns 1
 * when it did, 0 when there is nothing to take over. */
static int member_adopt(struct dataplane *dp, struct dp_interface *interface, uint32_t ifindex)
{
	enum dataplane_mode mode;
	char path[PATH_MAX];
	int fd;

	pin_path(dp->pin_dir, MEMBER, interface->name, path);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return 0;
	mode = dp_dispatcher_has(ifindex, fd);
	if (mode != DATAPLANE_NONE && interface->dispatcher != DATAPLANE_DISPATCHER_NEVER &&
		mode_is_wanted(interface, mode))
		interface->adopted = member_join(dp, interface, JOINING, mode) == 0;
	/* Both run for a moment, so that there is none in which no program does. */
	if (mode != DATAPLANE_NONE && dp_dispatcher_leave(ifindex, fd))
		log_warn("interface %s: the earlier program stays in the dispatcher",
			interface->name);
	close(fd);
	if (unlink(path))
		log_warn("%s: %s", path, strerror(errno));
	if (!interface->adopted)
		return 0;
	interface->dispatcher_id = dp_interface_prog_id(ifindex);
	pin_rename(dp, interface);
	return 1;
}

/* A program is there that is not ours: a dispatcher may be joined, anything else stays alone. */
static int interface_occupied(struct dataplane *dp, struct dp_interface *interface,
	const struct bpf_xdp_query_opts *query, struct err *err)
{
	enum dataplane_mode mode = query->drv_prog_id ? DATAPLANE_NATIVE : DATAPLANE_GENERIC;
	uint32_t prog_id = attached_prog_id(query);

	if (interface->dispatcher == DATAPLANE_DISPATCHER_NEVER ||
		!mode_is_wanted(interface, mode) || !dp_dispatcher_is(prog_id))
		return interface_busy(interface, prog_id, err);
	if (member_join(dp, interface, MEMBER, mode) == 0)
		return 0;
	interface->other_id = prog_id;
	return err_set(err, -EBUSY,
		"interface %s: an XDP dispatcher with the programs of others is attached, and "
		"joining it failed (%s): remove it (ip link set dev %s xdp off) or take %s out of "
		"the configuration",
		interface->name, interface->why, interface->name, interface->name);
}

/* Makes a dispatcher where that is wanted and possible; false: the program is to be alone. */
static bool dispatcher_make(struct dataplane *dp, struct dp_interface *interface)
{
	int code;

	if (interface->dispatcher != DATAPLANE_DISPATCHER_ALWAYS)
		return false;
	code = dp_dispatcher_possible();
	if (code) {
		why_add(interface, "dispatcher", strerror(-code));
		return false;
	}
	if (interface->wanted != DATAPLANE_GENERIC)
		code = member_join(dp, interface, MEMBER, DATAPLANE_NATIVE);
	if (interface->wanted == DATAPLANE_GENERIC || (code && interface->wanted == DATAPLANE_AUTO))
		code = member_join(dp, interface, MEMBER, DATAPLANE_GENERIC);
	return code == 0;
}

static int interface_attach_new(struct dataplane *dp, struct dp_interface *interface,
	uint32_t ifindex, const char *path, struct err *err)
{
	struct bpf_xdp_query_opts query;
	int fd;

	if (interface_query(ifindex, &query) == 0 && attached_prog_id(&query))
		return interface_occupied(dp, interface, &query, err);
	if (dispatcher_make(dp, interface))
		return 0;
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
		log_info("interface %s: XDP %s %s%s%s%s", interface->name,
			interface->adopted ? "taken over," : "attached,",
			dataplane_mode_name(interface->mode),
			interface->member_fd >= 0 ? " (dispatcher)" : "",
			interface->why[0] ? "; " : "", interface->why);
}

int dp_interface_attach(struct dataplane *dp, struct dp_interface *interface, struct err *err)
{
	uint32_t ifindex = if_nametoindex(interface->name);
	char path[PATH_MAX];
	int code = 0;

	interface->mode = DATAPLANE_NONE;
	interface->adopted = false;
	interface->other_id = 0;
	interface->why[0] = '\0';
	interface->tried_ifindex = ifindex;
	pin_path(dp->pin_dir, LINK, interface->name, path);
	if (interface->wanted == DATAPLANE_NONE)
		snprintf(interface->why, sizeof(interface->why), "switched off");
	else if (!ifindex)
		snprintf(interface->why, sizeof(interface->why), "no such interface");
	else if (!link_adopt(dp, interface, ifindex, path) && !member_adopt(dp, interface, ifindex))
		code = interface_attach_new(dp, interface, ifindex, path, err);
	if (dp_interface_attached(interface))
		interface->ifindex = ifindex;
	interface_log(interface);
	return code;
}

static bool member_lost(struct dp_interface *interface, uint32_t ifindex)
{
	uint32_t dispatcher_id;

	if (ifindex != interface->ifindex)
		return true;
	dispatcher_id = dp_interface_prog_id(ifindex);
	if (dispatcher_id == interface->dispatcher_id)
		return false;
	if (dp_dispatcher_has(ifindex, interface->member_fd) == DATAPLANE_NONE)
		return true;
	interface->dispatcher_id = dispatcher_id; /* others came or went */
	return false;
}

bool dp_interface_lost(struct dp_interface *interface)
{
	uint32_t now = if_nametoindex(interface->name), other_id;

	if (interface->wanted == DATAPLANE_NONE)
		return false;
	if (interface->link_fd >= 0)
		return now != interface->ifindex ||
		       dp_link_ifindex(interface->link_fd, NULL) != (int)now;
	if (interface->member_fd >= 0)
		return member_lost(interface, now);
	if (!now || now != interface->tried_ifindex)
		return now != 0;
	if (!interface->other_id)
		return false;
	other_id = dp_interface_prog_id(now);
	return other_id != interface->other_id && (!other_id || dp_dispatcher_is(other_id));
}

static void pin_remove(const struct dataplane *dp, const char *kind, const char *interface)
{
	char path[PATH_MAX];

	pin_path(dp->pin_dir, kind, interface, path);
	if (unlink(path) && errno != ENOENT)
		log_warn("%s: %s", path, strerror(errno));
}

static void link_release(
	struct dataplane *dp, struct dp_interface *interface, enum dataplane_stop stop)
{
	if (stop == DATAPLANE_DETACH) {
		if (bpf_link_detach(interface->link_fd) && errno != ENOLINK)
			log_warn("interface %s: detaching XDP: %s", interface->name,
				strerror(errno));
		pin_remove(dp, LINK, interface->name);
	}
	close(interface->link_fd);
	interface->link_fd = -1;
}

static void member_release(
	struct dataplane *dp, struct dp_interface *interface, enum dataplane_stop stop)
{
	if (stop == DATAPLANE_DETACH) {
		/* Taken off the interface, or gone with it: libxdp's pins are still there. */
		if (dp_dispatcher_leave(interface->ifindex, interface->member_fd) == -ENOENT)
			dp_dispatcher_forget(interface->ifindex, interface->dispatcher_id);
		pin_remove(dp, MEMBER, interface->name);
	}
	close(interface->member_fd);
	interface->member_fd = -1;
}

void dp_interface_release(
	struct dataplane *dp, struct dp_interface *interface, enum dataplane_stop stop)
{
	if (interface->link_fd >= 0)
		link_release(dp, interface, stop);
	if (interface->member_fd >= 0)
		member_release(dp, interface, stop);
	interface->ifindex = 0;
	interface->mode = DATAPLANE_NONE;
}

static bool pin_is_kept(const struct dataplane *keep, const char *path)
{
	char own[PATH_MAX];

	for (size_t i = 0; keep && i < keep->interface_count; i++) {
		const struct dp_interface *interface = &keep->interfaces[i];

		pin_path(keep->pin_dir, interface->member_fd >= 0 ? MEMBER : LINK, interface->name,
			own);
		if (dp_interface_attached(interface) && strcmp(own, path) == 0)
			return true;
	}
	return false;
}

/* Detaches what is pinned there, wherever it is attached now. */
static void pinned_detach(const char *path, bool is_link)
{
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return;
	if (!is_link)
		dp_dispatcher_leave_any(fd);
	else if (bpf_link_detach(fd) && errno != ENOLINK)
		log_warn("%s: detaching: %s", path, strerror(errno));
	close(fd);
}

int dp_links_remove(const char *pin_dir, const struct dataplane *keep)
{
	char folder[PATH_MAX - 300], path[PATH_MAX];
	struct dirent *entry;
	int removed = 0;
	DIR *dir;

	snprintf(folder, sizeof(folder), "%s/links", pin_dir);
	dir = opendir(folder);
	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (pin_is_kept(keep, path))
			continue;
		pinned_detach(path, strncmp(entry->d_name, LINK "_", strlen(LINK "_")) == 0);
		if (unlink(path) == 0)
			removed++;
	}
	closedir(dir);
	return removed;
}
