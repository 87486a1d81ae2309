/*
 * AF_XDP sockets and where the XDP program finds them: a row per interface names the slot of its
 * queue 0, the slots of its other queues follow. Slots stay while the interface keeps its index,
 * since a socket is bound to the device. The row also says what the interface is: its MTU, and the
 * addresses that frames for this node have on it. Control thread.
 */
#define LOG_MODULE "dataplane"
#include "dataplane/dp_gate.h"

#include "bpf/sluice_xdp.skel.h"
#include "core/log.h"
#include "dataplane/dp_internal.h"
#include "dataplane/dp_links.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int interface_ioctl(const char *name, unsigned long command, struct ifreq *request)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), code = 0;

	if (fd < 0)
		return -errno;
	snprintf(request->ifr_name, sizeof(request->ifr_name), "%s", name);
	if (ioctl(fd, command, request))
		code = -errno;
	close(fd);
	return code;
}

/* A driver that does not say has one. */
static uint32_t queues_of(const char *name)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	struct ifreq request = {.ifr_data = (char *)&channels};
	uint32_t queues = 0;

	if (interface_ioctl(name, SIOCETHTOOL, &request) == 0)
		queues = channels.rx_count + channels.combined_count;
	return queues ? queues : 1;
}

static uint16_t mtu_of(const char *name)
{
	struct ifreq request = {};

	if (interface_ioctl(name, SIOCGIFMTU, &request) || request.ifr_mtu <= 0)
		return 0;
	return request.ifr_mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)request.ifr_mtu;
}

static bool slot_is_taken(const struct dataplane *dp, uint32_t slot)
{
	return dp->slots_taken[slot / 64] >> slot % 64 & 1;
}

/* The first of `count` slots side by side; SLUICE_GATE_SLOTS: there are none. */
static uint32_t slots_find(const struct dataplane *dp, uint32_t count)
{
	uint32_t run = 0;

	for (uint32_t slot = 0; slot < SLUICE_GATE_SLOTS; slot++) {
		run = slot_is_taken(dp, slot) ? 0 : run + 1;
		if (run == count)
			return slot + 1 - count;
	}
	return SLUICE_GATE_SLOTS;
}

static void slots_mark(struct dataplane *dp, const struct dp_slots *slots, bool taken)
{
	for (uint32_t slot = slots->first; slot < slots->first + slots->reserved; slot++)
		if (taken)
			dp->slots_taken[slot / 64] |= 1ull << slot % 64;
		else
			dp->slots_taken[slot / 64] &= ~(1ull << slot % 64);
}

static int slots_reserve(struct dataplane *dp, struct dp_interface *interface, struct err *err)
{
	uint32_t queues = queues_of(interface->name);
	struct dp_slots slots = {
		.ifindex = interface->ifindex, .first = slots_find(dp, queues), .reserved = queues};

	if (slots.first == SLUICE_GATE_SLOTS)
		return err_set(err, -ENOSPC,
			"interface %s: no room for its %u receive queues, all interfaces may have "
			"%d together",
			interface->name, queues, SLUICE_GATE_SLOTS);
	slots_mark(dp, &slots, true);
	interface->slots = slots;
	return 0;
}

static void slots_release(struct dataplane *dp, struct dp_interface *interface)
{
	int xsks = bpf_map__fd(dp->xdp->maps.xsks);
	struct dp_slots *slots = &interface->slots;

	for (uint32_t i = 0; i < slots->used; i++) {
		uint32_t slot = slots->first + i;

		/* -ENOENT: the socket was closed before. */
		if (bpf_map_delete_elem(xsks, &slot) && errno != ENOENT)
			log_warn("xsks map, row %u: %s", slot, strerror(errno));
	}
	slots_mark(dp, slots, false);
	*slots = (struct dp_slots){};
}

static int row_write(
	struct dataplane *dp, uint32_t ifindex, const struct sluice_interface_slots *row)
{
	uint32_t at = ifindex % SLUICE_INTERFACE_ROWS;
	int code =
		bpf_map_update_elem(bpf_map__fd(dp->xdp->maps.interface_slots), &at, row, BPF_ANY);

	if (code)
		log_error("interface_slots map, row %u: %s", at, strerror(errno));
	return code;
}

/* Another interface whose index differs by a multiple of the number of rows has it. */
static bool row_is_others(const struct dataplane *dp, const struct dp_interface *interface)
{
	for (size_t i = 0; i < dp->interface_count; i++) {
		const struct dp_interface *other = &dp->interfaces[i];

		if (other != interface && other->row.ifindex &&
			other->row.ifindex % SLUICE_INTERFACE_ROWS ==
				interface->ifindex % SLUICE_INTERFACE_ROWS)
			return true;
	}
	return false;
}

static void row_clear(struct dataplane *dp, struct dp_interface *interface)
{
	const struct sluice_interface_slots none = {};

	if (interface->row.ifindex)
		(void)row_write(dp, interface->row.ifindex, &none);
	interface->row = none;
}

/* Not known: every frame is taken for one of ours, as without this. */
static void row_set_macs(struct dataplane *dp, struct sluice_interface_slots *row)
{
	int code = dp->links ? 0 : dp_links_new(&dp->links);

	if (!code)
		code = dp_links_refresh(dp->links);
	if (code && !dp->links_failed)
		log_warn(
			"addresses of interfaces: %s: frames for other machines are taken for ours",
			strerror(-code));
	dp->links_failed = code != 0;
	if (!code)
		row->mac_count = (uint16_t)dp_links_macs(dp->links, row->ifindex, row->macs);
}

void dp_gate_sync(struct dataplane *dp, struct dp_interface *interface)
{
	struct sluice_interface_slots row = {
		.ifindex = interface->ifindex,
		.first = interface->slots.first,
		.queues = interface->slots.used,
		.mtu = mtu_of(interface->name),
	};

	if (dp->takes_over && dp->maps_adopted)
		return; /* the rows are another process's, which serves */
	if (interface->ifindex)
		row_set_macs(dp, &row);
	if (interface->row.ifindex != interface->ifindex)
		row_clear(dp, interface);
	if (interface->slots.ifindex && interface->slots.ifindex != interface->ifindex) {
		slots_release(dp, interface);
		row.queues = row.first = 0;
	}
	if (!interface->ifindex || memcmp(&row, &interface->row, sizeof(row)) == 0)
		return;
	if (!interface->row.ifindex && row_is_others(dp, interface)) {
		log_warn("interface %s: its index %u falls together with another one's: no gate",
			interface->name, interface->ifindex);
		return;
	}
	if (row_write(dp, row.ifindex, &row) == 0)
		interface->row = row;
}

static struct dp_interface *interface_of(struct dataplane *dp, uint32_t ifindex)
{
	for (size_t i = 0; i < dp->interface_count; i++)
		if (ifindex && dp->interfaces[i].ifindex == ifindex)
			return &dp->interfaces[i];
	return NULL;
}

/* Its slots go on with the sockets that are in them. */
static bool inherit_slots(struct dataplane *dp, const struct sluice_interface_slots *row)
{
	struct dp_interface *interface = interface_of(dp, row->ifindex);
	struct dp_slots slots = {.ifindex = row->ifindex, .first = row->first, .used = row->queues};

	if (!interface || !dp_interface_attached(interface) || interface->slots.ifindex)
		return false;
	slots.reserved = queues_of(interface->name);
	if (!row->queues || slots.reserved != row->queues ||
		slots.first + slots.reserved > SLUICE_GATE_SLOTS)
		return false;
	slots_mark(dp, &slots, true);
	interface->slots = slots;
	interface->row = *row;
	return true;
}

void dp_gate_inherit(struct dataplane *dp)
{
	int fd = bpf_map__fd(dp->xdp->maps.interface_slots);
	struct sluice_interface_slots row;

	for (uint32_t at = 0; at < SLUICE_INTERFACE_ROWS; at++)
		if (bpf_map_lookup_elem(fd, &at, &row) == 0 && row.ifindex &&
			!inherit_slots(dp, &row)) {
			row = (struct sluice_interface_slots){};
			(void)row_write(dp, at, &row);
		}
}

void dp_gate_reset(struct dataplane *dp)
{
	int fd = bpf_map__fd(dp->xdp->maps.interface_slots);
	struct sluice_interface_slots row;

	for (uint32_t at = 0; at < SLUICE_INTERFACE_ROWS; at++)
		if (bpf_map_lookup_elem(fd, &at, &row) == 0 && row.ifindex) {
			row = (struct sluice_interface_slots){};
			(void)row_write(dp, at, &row);
		}
}

size_t dp_gate_interfaces(
	const struct dataplane *dp, struct dp_gate_interface ret_rows[DATAPLANE_MAX_INTERFACES])
{
	size_t count = 0;

	for (size_t i = 0; dp->active && i < dp->interface_count; i++) {
		const struct dp_interface *interface = &dp->interfaces[i];
		struct dp_gate_interface *row = &ret_rows[count];

		if (!interface->ifindex || !dp_interface_attached(interface))
			continue;
		*row = (struct dp_gate_interface){
			.ifindex = interface->ifindex, .queues = queues_of(interface->name)};
		snprintf(row->name, sizeof(row->name), "%s", interface->name);
		count++;
	}
	return count;
}

static int slot_write(struct dataplane *dp, const struct sluice_gate_slot *gate, uint32_t slot,
	int xsk_fd, struct err *err)
{
	if (bpf_map_update_elem(bpf_map__fd(dp->xdp->maps.gate_slots), &slot, gate, BPF_ANY))
		return err_set(err, -errno, "gate_slots map: %s", strerror(errno));
	if (bpf_map_update_elem(bpf_map__fd(dp->xdp->maps.xsks), &slot, &xsk_fd, BPF_ANY))
		return err_set(err, -errno, "xsks map: %s", strerror(errno));
	return 0;
}

int dp_gate_add(struct dataplane *dp, uint32_t ifindex, uint32_t queue, uint32_t worker, int xsk_fd,
	struct err *err)
{
	const struct sluice_gate_slot gate = {.worker = worker, .ifindex = ifindex, .queue = queue};
	struct dp_interface *interface;
	int code = 0;

	if (!dp->active)
		return 0;
	interface = interface_of(dp, ifindex);
	if (!interface)
		return err_set(
			err, -ENODEV, "interface %u does not carry the XDP program", ifindex);
	if (worker >= SLUICE_MAX_WORKERS || queue > interface->slots.used)
		return err_set(err, -EINVAL, "%s: queue %u of worker %u: queue %u is the next",
			interface->name, queue, worker, interface->slots.used);
	if (!interface->slots.ifindex)
		code = slots_reserve(dp, interface, err);
	if (code)
		return code;
	if (queue >= interface->slots.reserved)
		return err_set(err, -EINVAL, "%s: queue %u: there are %u", interface->name, queue,
			interface->slots.reserved);
	code = slot_write(dp, &gate, interface->slots.first + queue, xsk_fd, err);
	if (code)
		return err_context(err, code, "interface %s, queue %u", interface->name, queue);
	if (queue == interface->slots.used)
		interface->slots.used++;
	dp_gate_sync(dp, interface);
	return interface->row.ifindex
		       ? 0
		       : err_set(err, -EEXIST, "interface %s: its row belongs to another interface",
				 interface->name);
}

/* The row first: packets that have read it find empty slots, and go on to the kernel. */
void dp_gate_remove(struct dataplane *dp, uint32_t ifindex)
{
	struct dp_interface *interface = dp->active ? interface_of(dp, ifindex) : NULL;
	struct sluice_interface_slots row;

	if (!interface || !interface->slots.ifindex)
		return;
	row = interface->row;
	row.queues = 0;
	if (row.ifindex && row_write(dp, row.ifindex, &row) == 0)
		interface->row = row;
	slots_release(dp, interface);
	dp_gate_sync(dp, interface);
}
