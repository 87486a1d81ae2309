/* Dealing AF_XDP sockets out to workers: see gates.h. */
#define LOG_MODULE "gate"
#include "control/gates.h"
#include "control/gate_probe.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/tun.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gate_socket {
	struct xsk *xsk;
	uint32_t ifindex, queue;
	uint32_t worker;
};

struct gate_interface {
	struct dp_gate_interface row; /* as it was when its sockets were made, or could not be */
	bool seen;      /* while the set is compared */
};

/* What workers may still be using; freed once each has taken its new share. */
struct retired {
	struct xsk **xsks;
	uint32_t n_xsks;
	struct gate_share **shares; /* one per worker */
};

struct gates {
	struct dataplane *dp;
	struct worker *workers;
	uint32_t n_workers;
	struct tun *tun; /* NULL: no gate */
	char why[GATES_WHY_BYTES];
	struct gate_socket *sockets;
	uint32_t n_sockets;
	struct gate_interface interfaces[DATAPLANE_MAX_INTERFACES];
	size_t n_interfaces;
	struct gate_share **shares; /* one per worker, in force */
	struct retired retired;
};

static void share_free(struct gate_share *share)
{
	if (share)
		free(share->xsks);
	free(share);
}

static bool all_took_their_share(const struct gates *gates)
{
	uint32_t i;

	for (i = 0; i < gates->n_workers; i++)
		if (atomic_load_explicit(&gates->workers[i].share_seen, memory_order_acquire) !=
			gates->shares[i])
			return false;
	return true;
}

static void free_retired(struct gates *gates)
{
	struct retired *old = &gates->retired;
	uint32_t i;

	for (i = 0; i < old->n_xsks; i++)
		xsk_close(old->xsks[i]);
	for (i = 0; old->shares && i < gates->n_workers; i++)
		share_free(old->shares[i]);
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
	for (i = 0; i < gates->n_sockets; i++)
		if (gates->sockets[i].worker == worker)
			share->xsks[share->n_xsks++] = gates->sockets[i].xsk;
	return share;
}

/* Tells every worker its share; what it had goes when all have taken theirs. */
static void deal(struct gates *gates)
{
	struct gate_share **shares = mem_zalloc(gates->n_workers * sizeof(*shares));
	uint32_t i;

	for (i = 0; i < gates->n_workers; i++)
		shares[i] = share_new(gates, i);
	gates->retired.shares = gates->shares;
	gates->shares = shares;
	for (i = 0; i < gates->n_workers; i++) {
		atomic_store_explicit(
			&gates->workers[i].share_wanted, shares[i], memory_order_release);
		worker_wake(&gates->workers[i]);
	}
}

static uint32_t worker_with_least(const struct gates *gates)
{
	uint32_t counts[SLUICE_MAX_WORKERS] = {0}, i, least = 0;

	for (i = 0; i < gates->n_sockets; i++)
		counts[gates->sockets[i].worker]++;
	for (i = 1; i < gates->n_workers; i++)
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
			.worker = worker_with_least(gates)};
		if (xsk_open(&spec, &sock->xsk, &err) < 0) {
			log_warn("no gate on queue %u of %s: %s", spec.queue, row->name, err.text);
			snprintf(gates->why, sizeof(gates->why), "queue %u of %s: %.200s",
				spec.queue, row->name, err.text);
			return;
		}
		gates->n_sockets++;
	}
}

static void show_new(struct gates *gates, uint32_t first)
{
	struct err err;
	uint32_t i;

	for (i = first; i < gates->n_sockets; i++)
		if (dp_gate_add(gates->dp, gates->sockets[i].ifindex, gates->sockets[i].queue,
			    gates->sockets[i].worker, xsk_fd(gates->sockets[i].xsk), &err) < 0) {
			log_warn("queue %u goes around the gate: %s", gates->sockets[i].queue,
				err.text);
			snprintf(gates->why, sizeof(gates->why), "%.200s", err.text);
		}
}

static void remove_interface(struct gates *gates, size_t at)
{
	uint32_t ifindex = gates->interfaces[at].row.ifindex, i, kept = 0;
	struct retired *old = &gates->retired;

	dp_gate_remove(gates->dp, ifindex);
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

void gates_maintain(struct gates *gates)
{
	struct dp_gate_interface rows[DATAPLANE_MAX_INTERFACES];
	struct gate_interface *known;
	uint32_t first;
	size_t n, i;
	bool changed = false;

	if (!gates->tun)
		return;
	if (gates->retired.shares) {
		if (!all_took_their_share(gates))
			return;
		free_retired(gates);
	}
	n = dp_gate_interfaces(gates->dp, rows);
	for (i = 0; i < gates->n_interfaces; i++)
		gates->interfaces[i].seen = false;
	for (i = 0; i < n; i++) {
		known = find_interface(gates, &rows[i]);
		if (known)
			known->seen = true;
	}
	for (i = gates->n_interfaces; i-- > 0;)
		if (!gates->interfaces[i].seen) {
			remove_interface(gates, i);
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
	deal(gates);
	show_new(gates, first);
}

static int open_device(struct gates *gates, struct err *err)
{
	int r = tun_open("sluice%d", gates->n_workers, &gates->tun, err);

	if (r < 0)
		return r;
	r = dp_gate_attach_tun(gates->dp, tun_ifindex(gates->tun), err);
	if (r < 0) {
		tun_close(gates->tun);
		gates->tun = NULL;
	}
	return r;
}

/* Does what is released arrive? If not, the kernel answers SYNs: a firewall that drops segments
 * without a SYN would drop those that XDP lets in, too. */
static void probe(struct gates *gates, const struct gates_spec *spec)
{
	struct err err;

	if (gate_probe_config(gates->dp, gates->tun, spec->config, &err) == 0)
		return;
	log_warn("no gate and no SYN cookies in XDP: %s", err.text);
	snprintf(gates->why, sizeof(gates->why), "%.250s", err.text);
	dp_handover_limit(gates->dp, HANDOVER_KERNEL_COOKIES, err.text);
	tun_close(gates->tun);
	gates->tun = NULL;
}

struct gates *gates_new(const struct gates_spec *spec)
{
	struct gates *gates = mem_zalloc(sizeof(*gates));
	struct dp_handover_report report;
	struct err err;

	gates->dp = spec->dp;
	gates->workers = spec->workers;
	gates->n_workers = spec->n_workers;
	dp_handover_report(spec->dp, &report);
	if (report.reached != HANDOVER_OWN_COOKIES) {
		snprintf(gates->why, sizeof(gates->why), "%s", report.why);
	} else if (open_device(gates, &err) < 0) {
		log_warn("no gate: %s", err.text);
		snprintf(gates->why, sizeof(gates->why), "%.250s", err.text);
	} else {
		probe(gates, spec);
		gates_maintain(gates);
	}
	return gates;
}

void gates_free(struct gates *gates)
{
	uint32_t i;

	if (!gates)
		return;
	free_retired(gates);
	for (i = 0; i < gates->n_sockets; i++)
		xsk_close(gates->sockets[i].xsk);
	for (i = 0; gates->shares && i < gates->n_workers; i++)
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
