/* The packet plane's life: see dataplane.h. Control thread. */
#define LOG_MODULE "dataplane"
#include "dataplane/dataplane.h"

#include "core/log.h"
#include "core/mem.h"
#include "dataplane/dp_internal.h"
#include "dataplane/dp_links.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *dataplane_mode_name(enum dataplane_mode mode)
{
	static const char *const names[] = {
		[DATAPLANE_AUTO] = "auto",
		[DATAPLANE_NATIVE] = "native",
		[DATAPLANE_GENERIC] = "generic",
		[DATAPLANE_NONE] = "none",
	};

	return (unsigned int)mode < array_len(names) ? names[mode] : "unknown";
}

const char *dataplane_attachment_name(const struct dataplane_interface_report *interface)
{
	if (interface->dispatcher && interface->mode == DATAPLANE_NATIVE)
		return "native (dispatcher)";
	if (interface->dispatcher && interface->mode == DATAPLANE_GENERIC)
		return "generic (dispatcher)";
	return dataplane_mode_name(interface->mode);
}

bool dataplane_active(const struct dataplane *dp)
{
	return dp->active;
}

static struct dp_interface *interface_find(struct dataplane *dp, const char *name)
{
	for (size_t i = 0; i < dp->interface_count; i++)
		if (strcmp(dp->interfaces[i].name, name) == 0)
			return &dp->interfaces[i];
	return NULL;
}

static int interfaces_check(
	const struct dataplane_interface_spec *interfaces, size_t count, struct err *err)
{
	if (count > DATAPLANE_MAX_INTERFACES)
		return err_set(err, -E2BIG, "%zu interfaces: at most %d are possible", count,
			DATAPLANE_MAX_INTERFACES);
	for (size_t i = 0; i < count; i++) {
		if (!interfaces[i].name[0] || strlen(interfaces[i].name) >= IF_NAMESIZE)
			return err_set(err, -EINVAL, "'%s' is not the name of an interface",
				interfaces[i].name);
		for (size_t j = 0; j < i; j++)
			if (strcmp(interfaces[i].name, interfaces[j].name) == 0)
				return err_set(err, -EINVAL, "interface %s is named twice",
					interfaces[i].name);
	}
	return 0;
}

/* The tc program first: once XDP answers SYNs, somebody must make sockets of the answers. */
static int interface_attach(struct dataplane *dp, struct dp_interface *interface, struct err *err)
{
	uint32_t ifindex = if_nametoindex(interface->name);
	int code;

	if (ifindex && interface->wanted != DATAPLANE_NONE)
		dp_tc_attach(dp, interface, ifindex);
	code = dp_interface_attach(dp, interface, err);
	if (!dp_interface_attached(interface))
		dp_tc_release(dp, interface, DATAPLANE_DETACH);
	dp_gate_sync(dp, interface);
	return code;
}

static void interface_detach(
	struct dataplane *dp, struct dp_interface *interface, enum dataplane_stop stop)
{
	dp_interface_release(dp, interface, stop);
	dp_tc_release(dp, interface, stop);
}

/* Drops the interfaces that are not wanted any more (nor in that mode) and closes the gaps. */
static void interfaces_drop(struct dataplane *dp)
{
	size_t kept = 0;

	for (size_t i = 0; i < dp->interface_count; i++) {
		struct dp_interface *interface = &dp->interfaces[i];

		if (interface->ours) {
			dp->interfaces[kept++] = *interface;
			continue;
		}
		interface_detach(dp, interface, DATAPLANE_DETACH);
		if (dp->active)
			dp_gate_sync(dp, interface);
	}
	dp->interface_count = kept;
}

static void interface_add(struct dataplane *dp, const struct dataplane_interface_spec *spec)
{
	struct dp_interface *interface = &dp->interfaces[dp->interface_count++];

	*interface = (struct dp_interface){
		.wanted = spec->mode,
		.dispatcher = spec->dispatcher,
		.mode = DATAPLANE_NONE,
		.link_fd = -1,
		.member_fd = -1,
		.tc_link_fd = -1,
		.ours = true,
	};
	snprintf(interface->name, sizeof(interface->name), "%s", spec->name);
	snprintf(interface->why, sizeof(interface->why), "%s", dp->why);
}

int dataplane_set_interfaces(struct dataplane *dp,
	const struct dataplane_interface_spec *interfaces, size_t count, struct err *err)
{
	int code = interfaces_check(interfaces, count, err);

	if (code)
		return code;
	for (size_t i = 0; i < dp->interface_count; i++)
		dp->interfaces[i].ours = false;
	for (size_t i = 0; i < count; i++) {
		struct dp_interface *old = interface_find(dp, interfaces[i].name);

		if (old && old->wanted == interfaces[i].mode &&
			old->dispatcher == interfaces[i].dispatcher)
			old->ours = true;
	}
	interfaces_drop(dp);
	for (size_t i = 0; i < count && !code; i++) {
		if (interface_find(dp, interfaces[i].name))
			continue;
		interface_add(dp, &interfaces[i]);
		if (dp->active)
			code = interface_attach(dp, &dp->interfaces[dp->interface_count - 1], err);
	}
	dp_handover_update(dp);
	return code;
}

int dataplane_set_workers(struct dataplane *dp, uint32_t workers, struct err *err)
{
	if (workers < 1 || workers > SLUICE_MAX_WORKERS)
		return err_set(err, -EINVAL, "%u workers: 1 to %d are possible", workers,
			SLUICE_MAX_WORKERS);
	dp->workers_wanted = workers;
	if (dp->active && !dp->takes_over)
		__atomic_store_n(&dp->settings->worker_count, workers, __ATOMIC_RELAXED);
	return 0;
}

static int spec_check(const struct dataplane_spec *spec, struct err *err)
{
	uint32_t rows = spec->source_rows;

	if (rows & (rows - 1) || rows > SLUICE_SOURCE_ROWS_MAX)
		return err_set(err, -EINVAL,
			"source table of %u rows: must be a power of two up to %u", rows,
			SLUICE_SOURCE_ROWS_MAX);
	if (spec->pin_dir && strlen(spec->pin_dir) >= sizeof(((struct dataplane *)0)->pin_dir))
		return err_set(err, -ENAMETOOLONG, "pin folder: the path is too long");
	return 0;
}

/* What the host does not allow makes the plane inactive; only a conflict is an error. */
static int dataplane_start(struct dataplane *dp, struct err *err)
{
	struct err why = {};
	int code = dp_pins_open(dp, &why);

	if (code == -EADDRINUSE)
		return err_set(err, code, "%s", why.text);
	if (!code)
		code = dp_load(dp, &why);
	if (!code) {
		dp->active = true;
		return 0;
	}
	snprintf(dp->why, sizeof(dp->why), "%.*s", (int)sizeof(dp->why) - 1, why.text);
	log_warn("packet plane off: %s", why.text);
	dp_unload(dp);
	return 0;
}

/* Returns how many pins went. */
static int pins_remove(const char *pin_dir)
{
	int removed = dp_links_remove(pin_dir, NULL) + dp_tc_links_remove(pin_dir, NULL) +
		      dp_maps_unpin(pin_dir) + dp_maps_unpin_aside(pin_dir);

	dp_pins_rmdir(pin_dir);
	return removed;
}

static int dataplane_prepare(
	struct dataplane *dp, const struct dataplane_spec *spec, struct err *err)
{
	int code;

	if (spec->enabled) {
		code = dataplane_start(dp, err);
		if (code)
			return code;
	} else {
		snprintf(dp->why, sizeof(dp->why), "switched off");
	}
	code = dataplane_set_workers(dp, spec->workers, err);
	if (code)
		return code;
	code = dataplane_set_interfaces(dp, spec->interfaces, spec->interface_count, err);
	if (!code && dp->active && !dp->takes_over &&
		dp_links_remove(dp->pin_dir, dp) + dp_tc_links_remove(dp->pin_dir, dp))
		log_info("%s: links of interfaces no longer configured were detached", dp->pin_dir);
	return code;
}

int dataplane_open(const struct dataplane_spec *spec, struct dataplane **ret_dp, struct err *err)
{
	struct dataplane *dp;
	int code = spec_check(spec, err);

	if (code)
		return code;
	dp = mem_zalloc(sizeof(*dp));
	dp->lock_fd = -1;
	dp->tun_link_fd = -1;
	dp->wanted = spec->handover;
	dp->most = HANDOVER_OWN_COOKIES;
	dp->source_rows = spec->source_rows ? spec->source_rows : SLUICE_SOURCE_ROWS;
	snprintf(dp->pin_dir, sizeof(dp->pin_dir), "%s",
		spec->pin_dir ? spec->pin_dir : DATAPLANE_PIN_DIR);
	dp->takes_over = spec->takes_over;
	if (spec->takes_over && spec->lock_fd >= 0)
		dp->lock_fd = fcntl(spec->lock_fd, F_DUPFD_CLOEXEC, 0);
	code = dataplane_prepare(dp, spec, err);
	if (code) {
		dataplane_close(dp, spec->takes_over ? DATAPLANE_LEAVE : DATAPLANE_DETACH);
		return code;
	}
	*ret_dp = dp;
	return 0;
}

void dataplane_close(struct dataplane *dp, enum dataplane_stop stop)
{
	if (!dp)
		return;
	for (size_t i = 0; i < dp->interface_count; i++)
		interface_detach(dp, &dp->interfaces[i], stop);
	if (dp->lock_fd >= 0 && stop == DATAPLANE_DETACH)
		(void)pins_remove(dp->pin_dir);
	else if (dp->is_aside)
		(void)dp_maps_unpin_aside(dp->pin_dir);
	if (dp->tun_link_fd >= 0)
		close(dp->tun_link_fd);
	dp_lists_close(dp);
	dp_links_free(dp->links);
	dp_unload(dp);
	if (dp->lock_fd >= 0)
		close(dp->lock_fd);
	free(dp);
}

/* Returns whether something changed. */
static bool interface_maintain(struct dataplane *dp, struct dp_interface *interface)
{
	enum dataplane_mode before = interface->mode;
	struct err err = {};

	if (!dp_interface_lost(interface)) {
		if (interface->tc_link_fd >= 0 && !dp_tc_is_attached(interface)) {
			log_warn("interface %s: the tc program was detached", interface->name);
			dp_tc_release(dp, interface, DATAPLANE_DETACH);
			dp_tc_attach(dp, interface, interface->ifindex);
		}
		dp_gate_sync(dp, interface); /* the MTU may be another one */
		return false;
	}
	if (dp_interface_attached(interface))
		log_warn("interface %s: the XDP program was detached", interface->name);
	interface_detach(dp, interface, DATAPLANE_DETACH);
	if (interface_attach(dp, interface, &err))
		log_error("%s", err.text);
	return before != interface->mode || dp_interface_attached(interface);
}

int dataplane_maintain(struct dataplane *dp)
{
	int changed = 0;

	if (!dp->active)
		return 0;
	dp_cookies_epoch(dp);
	for (size_t i = 0; i < dp->interface_count; i++)
		changed += interface_maintain(dp, &dp->interfaces[i]);
	dp_handover_update(dp);
	return changed;
}

void dataplane_report(const struct dataplane *dp, struct dataplane_report *ret_report)
{
	memset(ret_report, 0, sizeof(*ret_report));
	ret_report->active = dp->active;
	ret_report->maps_adopted = dp->active && dp->maps_adopted;
	snprintf(ret_report->why, sizeof(ret_report->why), "%s", dp->why);
	ret_report->interface_count = dp->interface_count;
	for (size_t i = 0; i < dp->interface_count; i++) {
		const struct dp_interface *interface = &dp->interfaces[i];
		struct dataplane_interface_report *row = &ret_report->interfaces[i];

		snprintf(row->name, sizeof(row->name), "%s", interface->name);
		snprintf(row->why, sizeof(row->why), "%s", interface->why);
		row->ifindex = if_nametoindex(interface->name);
		row->mode = interface->mode;
		row->adopted = interface->adopted;
		row->dispatcher = interface->member_fd >= 0;
		if (row->dispatcher)
			row->prog_id = dp_program_id(interface->member_fd);
		else if (row->mode != DATAPLANE_NONE && row->ifindex)
			row->prog_id = dp_interface_prog_id(row->ifindex);
	}
}

int dataplane_purge(const char *pin_dir, struct err *err)
{
	struct dataplane dp = {.lock_fd = -1};
	int removed, code;

	snprintf(dp.pin_dir, sizeof(dp.pin_dir), "%s", pin_dir ? pin_dir : DATAPLANE_PIN_DIR);
	if (access(dp.pin_dir, F_OK) && errno == ENOENT)
		return 0;
	code = dp_pins_lock(dp.pin_dir, &dp.lock_fd, err);
	if (code)
		return code;
	removed = pins_remove(dp.pin_dir);
	close(dp.lock_fd);
	return removed;
}
