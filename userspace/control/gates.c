/* Dealing AF_XDP sockets out to workers: see gates.h. */
#define LOG_MODULE "gate"
#include "control/gates_parts.h"
#include "control/gate_probe.h"
#include "core/log.h"
#include "core/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void share_free(struct gate_share *share)
{
	if (share) {
		free(share->xsks);
		free(share->places);
	}
	free(share);
}

bool gates_all_took(const struct gates *gates)
{
	uint32_t i;

	for (i = 0; gates->shares && i < gates->spec.n_workers; i++)
		if (atomic_load_explicit(&gates->spec.workers[i].share_seen,
			    memory_order_acquire) != gates->shares[i])
			return false;
	return true;
}

static void free_retired(struct gates *gates)
{
	struct retired *old = &gates->retired;
	uint32_t i;

	for (i = 0; i < old->n_xsks; i++)
		xsk_close(old->xsks[i]);
	for (i = 0; old->shares && i < gates->spec.n_workers; i++)
		share_free(old->shares[i]);
	if (old->tun)
		tun_close(old->tun);
	free(old->xsks);
	free(old->shares);
	memset(old, 0, sizeof(*old));
}

static struct gate_share *share_new(const struct gates *gates, uint32_t worker)
{
	struct gate_share *share = mem_zalloc(sizeof(*share));
	uint32_t i;

	share->tun_fd = gates->tun ? tun_queue_fd(gates->tun, worker) : -1;
	share->xsks = mem_zalloc((gates->n_sockets + 1) * sizeof(struct xsk *));
	share->places = mem_zalloc((gates->n_sockets + 1) * sizeof(uint32_t));
	share->parks = gates->is_suspended && gates->keeps;
	for (i = 0; !gates->is_suspended && i < gates->n_sockets; i++) {
		if (gates->sockets[i].worker != worker)
			continue;
		share->places[share->n_xsks] = gates->sockets[i].place;
		share->xsks[share->n_xsks++] = gates->sockets[i].xsk;
	}
	share->parked = gates->parked;
	share->n_parked = gates->is_suspended ? 0 : gates->n_parked;
	return share;
}

void gates_deal(struct gates *gates)
{
	struct gate_share **shares = mem_zalloc(gates->spec.n_workers * sizeof(*shares));
	uint32_t i;

	for (i = 0; i < gates->spec.n_workers; i++)
		shares[i] = share_new(gates, i);
	gates->retired.shares = gates->shares;
	gates->shares = shares;
	for (i = 0; i < gates->spec.n_workers; i++) {
		atomic_store_explicit(
			&gates->spec.workers[i].share_wanted, shares[i], memory_order_release);
		worker_wake(&gates->spec.workers[i]);
	}
}

uint32_t gates_worker_with_least(const struct gates *gates)
{
	uint32_t counts[SLUICE_MAX_WORKERS] = {0}, i, least = 0;

	for (i = 0; i < gates->n_sockets; i++)
		counts[gates->sockets[i].worker]++;
	for (i = 1; i < gates->spec.n_workers; i++)
		if (counts[i] < counts[least])
			least = i;
	return least;
}

/* Sockets for the queues of an interface, from 0 on, until one cannot be had. */
static void add_interface(struct gates *gates, const struct dp_gate_interface *row)
{
	struct gate_socket *sock;
	struct xsk_spec spec = {.interface = row->name};
	struct err err;

	if (gates->n_interfaces < DATAPLANE_MAX_INTERFACES)
		gates->interfaces[gates->n_interfaces++] = (struct gate_interface){*row, true};
	gates->sockets = mem_realloc(
		gates->sockets, (gates->n_sockets + row->queues + 1) * sizeof(*gates->sockets));
	for (spec.queue = 0; spec.queue < row->queues; spec.queue++) {
		sock = &gates->sockets[gates->n_sockets];
		*sock = (struct gate_socket){.ifindex = row->ifindex,
			.queue = spec.queue,
			.place = gates->n_sockets,
			.worker = gates_worker_with_least(gates)};
		if (xsk_open(&spec, &sock->xsk, &err) < 0) {
			log_warn("no gate on queue %u of %s: %s", spec.queue, row->name, err.text);
			snprintf(gates->why, sizeof(gates->why), "queue %u of %s: %.200s",
				spec.queue, row->name, err.text);
			return;
		}
		gates->n_sockets++;
	}
}

void gates_show(struct gates *gates, uint32_t first)
{
	struct err err;
	uint32_t i;

	for (i = first; i < gates->n_sockets; i++)
		if (dp_gate_add(gates->spec.dp, gates->sockets[i].ifindex, gates->sockets[i].queue,
			    gates->sockets[i].worker, xsk_fd(gates->sockets[i].xsk), &err) < 0) {
			log_warn("queue %u goes around the gate: %s", gates->sockets[i].queue,
				err.text);
			snprintf(gates->why, sizeof(gates->why), "%.200s", err.text);
		}
}

void gates_remove_interface(struct gates *gates, size_t at)
{
	uint32_t ifindex = gates->interfaces[at].row.ifindex, i, kept = 0;
	struct retired *old = &gates->retired;

	dp_gate_remove(gates->spec.dp, ifindex);
	old->xsks =
		mem_realloc(old->xsks, (old->n_xsks + gates->n_sockets + 1) * sizeof(struct xsk *));
	for (i = 0; i < gates->n_sockets; i++)
		if (gates->sockets[i].ifindex == ifindex)
			old->xsks[old->n_xsks++] = gates->sockets[i].xsk;
		else
			gates->sockets[kept++] = gates->sockets[i];
	gates->n_sockets = kept;
	gates->interfaces[at] = gates->interfaces[--gates->n_interfaces];
}

static struct gate_interface *find_interface(
	struct gates *gates, const struct dp_gate_interface *row)
{
	size_t i;

	for (i = 0; i < gates->n_interfaces; i++)
		if (gates->interfaces[i].row.ifindex == row->ifindex &&
			gates->interfaces[i].row.queues == row->queues)
			return &gates->interfaces[i];
	return NULL;
}

static void follow_interfaces(struct gates *gates)
{
	struct dp_gate_interface rows[DATAPLANE_MAX_INTERFACES];
	struct gate_interface *known;
	uint32_t first;
	size_t n, i;
	bool changed = false;

	n = dp_gate_interfaces(gates->spec.dp, rows);
	for (i = 0; i < gates->n_interfaces; i++)
		gates->interfaces[i].seen = false;
	for (i = 0; i < n; i++) {
		known = find_interface(gates, &rows[i]);
		if (known)
			known->seen = true;
	}
	for (i = gates->n_interfaces; i-- > 0;)
		if (!gates->interfaces[i].seen) {
			gates_remove_interface(gates, i);
			changed = true;
		}
	first = gates->n_sockets;
	/* a queue can be had again when its old socket is closed: at the next call */
	for (i = 0; i < n && !gates->retired.n_xsks; i++)
		if (!find_interface(gates, &rows[i])) {
			add_interface(gates, &rows[i]);
			changed = true;
		}
	if (!changed)
		return;
	gates_deal(gates);
	gates_show(gates, first);
}

/* A filter that drops segments without a SYN drops what XDP lets in directly, too: then the kernel
 * answers SYNs. Returns how many ways were seen to be open. */
static int probe_links(struct gates *gates, const struct config *config, struct err *err)
{
	const struct gate_probe_way way = {
		.dp = gates->spec.dp, .guard = gates->spec.guard, .arg = gates->spec.arg};
	int passed = gate_probe_links(&way, config, err);

	if (passed >= 0)
		return passed;
	log_warn("no gate and no SYN cookies in XDP: %s", err->text);
	dp_handover_limit(gates->spec.dp, HANDOVER_KERNEL_COOKIES, err->text);
	return passed;
}

/* Without the gate XDP goes on answering SYNs where what it lets in directly is seen to arrive. */
static int probe_device(
	struct gates *gates, const struct config *config, int links_passed, struct err *err)
{
	const struct gate_probe_way way = {.dp = gates->spec.dp,
		.tun = gates->tun,
		.guard = gates->spec.guard,
		.arg = gates->spec.arg};
	int r = gate_probe_config(&way, config, err);

	if (r == 0)
		return 0;
	if (links_passed) {
		log_warn("no gate, ClientHellos are judged after accept: %s", err->text);
		return r;
	}
	log_warn("no gate and no SYN cookies in XDP: %s", err->text);
	dp_handover_limit(gates->spec.dp, HANDOVER_KERNEL_COOKIES, err->text);
	return r;
}

static int open_device(struct gates *gates, struct err *err)
{
	int r = tun_open("sluice%d", gates->spec.n_workers, &gates->tun, err);

	if (r == 0)
		r = dp_gate_attach_tun(gates->spec.dp, tun_ifindex(gates->tun), err);
	if (r < 0)
		log_warn("no gate: %s", err->text);
	return r;
}

/* What is missing is not tried again until the handover has changed. */
static void come_up(struct gates *gates, const struct config *config)
{
	struct err err = {};
	int passed = probe_links(gates, config, &err), r = passed < 0 ? passed : 0;

	if (r == 0)
		r = open_device(gates, &err);
	if (r == 0)
		r = probe_device(gates, config, passed, &err);
	gates->why[0] = '\0';
	if (r == 0)
		return;
	gates->failed = true;
	snprintf(gates->why, sizeof(gates->why), "%.250s", err.text);
	if (gates->tun)
		tun_close(gates->tun);
	gates->tun = NULL;
}

/* The device goes when no worker writes to it any more. */
void gates_go_down(struct gates *gates)
{
	while (gates->n_interfaces)
		gates_remove_interface(gates, gates->n_interfaces - 1);
	gates->retired.tun = gates->tun;
	gates->tun = NULL;
	gates_deal(gates);
	log_warn("no gate, incomplete first flights are forgotten: %s", gates->why);
}

/* True: there is a device. */
static bool follow_handover(struct gates *gates, const struct config *config)
{
	struct dp_handover_report report;

	dp_handover_report(gates->spec.dp, &report);
	if (report.reached == HANDOVER_OWN_COOKIES) {
		if (!gates->tun && !gates->failed)
			come_up(gates, config);
		return gates->tun;
	}
	gates->failed = false;
	snprintf(gates->why, sizeof(gates->why), "%s", report.why);
	if (gates->tun)
		gates_go_down(gates);
	return false;
}

/* True: what was retired is gone. */
bool gates_end_retirement(struct gates *gates)
{
	if (gates->retired.shares) {
		if (!gates_all_took(gates))
			return false;
		free_retired(gates);
	}
	return true;
}

void gates_maintain(struct gates *gates, const struct config *config)
{
	bool had = gates->tun;

	if (!gates_end_retirement(gates) || gates->is_suspended)
		return;
	if (gates->resumes) {
		gates_resume_kept(gates);
		return;
	}
	if (gates->n_parked && gates_all_took(gates))
		gates_forget_parked(gates); /* each has its own */
	if (!follow_handover(gates, config))
		return;
	follow_interfaces(gates);
	if (!had)
		log_info("gate: %u AF_XDP sockets, first flights are released into %s",
			gates->n_sockets, tun_name(gates->tun));
}

void gates_forget_parked(struct gates *gates)
{
	uint32_t i;

	for (i = 0; i < gates->n_parked; i++)
		free(gates->parked[i].bytes);
	free(gates->parked);
	gates->parked = NULL;
	gates->n_parked = 0;
}

struct gates *gates_new(const struct gates_spec *spec, const struct config *config)
{
	struct gates *gates = mem_zalloc(sizeof(*gates));

	gates->spec = *spec;
	gates->spec.state = NULL;
	if (spec->state && spec->state->n_sockets)
		gates_take(gates, spec->state);
	else
		gates_maintain(gates, config);
	return gates;
}

void gates_free(struct gates *gates)
{
	uint32_t i;

	if (!gates)
		return;
	free_retired(gates);
	gates_forget_parked(gates);
	for (i = 0; i < gates->n_sockets; i++)
		xsk_close(gates->sockets[i].xsk);
	for (i = 0; gates->shares && i < gates->spec.n_workers; i++)
		share_free(gates->shares[i]);
	if (gates->tun)
		tun_close(gates->tun);
	free(gates->shares);
	free(gates->sockets);
	free(gates);
}

void gates_report(const struct gates *gates, struct gates_report *ret_report)
{
	struct xsk_counts counts;
	uint32_t i;

	memset(ret_report, 0, sizeof(*ret_report));
	snprintf(ret_report->why, sizeof(ret_report->why), "%s", gates->why);
	if (gates->tun)
		snprintf(
			ret_report->device, sizeof(ret_report->device), "%s", tun_name(gates->tun));
	ret_report->sockets = gates->n_sockets;
	ret_report->active = gates->n_sockets > 0;
	for (i = 0; i < gates->n_sockets; i++) {
		ret_report->zero_copy += xsk_is_zero_copy(gates->sockets[i].xsk);
		if (xsk_counts(gates->sockets[i].xsk, &counts) < 0)
			continue;
		ret_report->counts.dropped += counts.dropped;
		ret_report->counts.ring_full += counts.ring_full;
		ret_report->counts.fill_empty += counts.fill_empty;
	}
}
