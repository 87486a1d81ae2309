/*
 * A gate from one process to the next: see gates.h. While nobody serves them frames wait in the rings of
 * the AF_XDP sockets, and the packet plane goes on as ever: who knocks waits for some milliseconds.
 * First flights that are incomplete are parked by the worker that had them, and go on with the one that
 * has their socket.
 */
#define LOG_MODULE "gate"
#include "control/gates_parts.h"

#include "core/log.h"
#include "core/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool gates_suspend(struct gates *gates, bool keeps)
{
	if (gates->is_suspended)
		return gates_end_retirement(gates);
	if (gates->resumes || !gates_end_retirement(gates) || !gates_all_took(gates))
		return false;
	gates_forget_parked(gates);
	gates->is_suspended = true;
	snprintf(gates->why, sizeof(gates->why), "another process takes over");
	if (!gates->tun)
		return true;
	gates->keeps = keeps;
	if (keeps)
		gates_deal(gates);
	else
		gates_go_down(gates);
	return gates_end_retirement(gates);
}

static void collect_parked(struct gates *gates)
{
	struct gate_parked *parked;
	uint32_t i;

	gates->parked = mem_realloc(
		gates->parked, (gates->n_parked + gates->spec.n_workers) * sizeof(*gates->parked));
	for (i = 0; i < gates->spec.n_workers; i++) {
		parked = &gates->spec.workers[i].parked;
		if (parked->bytes)
			gates->parked[gates->n_parked++] = *parked;
		*parked = (struct gate_parked){0};
	}
}

static void show_socket(
	const struct gates *gates, const struct gate_socket *sock, struct gates_socket *ret_sock)
{
	size_t i;

	memset(ret_sock, 0, sizeof(*ret_sock));
	for (i = 0; i < gates->n_interfaces; i++)
		if (gates->interfaces[i].row.ifindex == sock->ifindex)
			memcpy(ret_sock->interface, gates->interfaces[i].row.name,
				sizeof(ret_sock->interface));
	ret_sock->ifindex = sock->ifindex;
	ret_sock->queue = sock->queue;
	ret_sock->place = sock->place;
	xsk_give(sock->xsk, &ret_sock->state, ret_sock->fds);
}

void gates_give(struct gates *gates, struct gates_state *ret_state)
{
	uint32_t i;

	gates_state_init(ret_state);
	if (!gates->keeps)
		return;
	collect_parked(gates);
	ret_state->sockets = mem_zalloc((gates->n_sockets + 1) * sizeof(*ret_state->sockets));
	for (i = 0; i < gates->n_sockets; i++)
		show_socket(gates, &gates->sockets[i], &ret_state->sockets[i]);
	ret_state->n_sockets = gates->n_sockets;
	for (i = 0; i < tun_queues(gates->tun) && i < SLUICE_MAX_WORKERS; i++)
		ret_state->tun_fds[i] = tun_queue_fd(gates->tun, i);
	ret_state->n_tun_fds = i;
	ret_state->tun_link_fd = dp_gate_tun_link(gates->spec.dp);
	ret_state->parked = gates->parked;
	ret_state->n_parked = gates->n_parked;
}

void gates_resume(struct gates *gates, bool is_touched)
{
	gates->resumes = gates->keeps;
	gates->is_touched = is_touched;
	gates->is_suspended = gates->keeps = false;
	gates->why[0] = '\0';
	gates_resume_kept(gates);
}

void gates_resume_kept(struct gates *gates)
{
	if (!gates->resumes || !gates_end_retirement(gates))
		return;
	gates->resumes = false;
	while (gates->is_touched && gates->n_interfaces)
		gates_remove_interface(gates, gates->n_interfaces - 1);
	if (gates->is_touched)
		gates_forget_parked(gates);
	else
		collect_parked(gates); /* where it did not come to gates_give() */
	gates_deal(gates);
}

void gates_let_go(struct gates *gates)
{
	uint32_t i;

	if (!gates->keeps)
		return;
	for (i = 0; i < gates->n_sockets; i++)
		xsk_close(gates->sockets[i].xsk);
	gates->n_sockets = 0;
	gates->n_interfaces = 0;
	tun_close(gates->tun);
	gates->tun = NULL;
	gates_forget_parked(gates);
	gates->keeps = false;
}

void gates_state_init(struct gates_state *state)
{
	memset(state, 0, sizeof(*state));
	state->tun_link_fd = -1;
}

static void close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

void gates_state_fini(struct gates_state *state)
{
	uint32_t i;
	int at;

	for (i = 0; i < state->n_sockets; i++)
		for (at = 0; at < XSK_FDS; at++)
			close_if(state->sockets[i].fds[at]);
	for (i = 0; i < state->n_tun_fds; i++)
		close_if(state->tun_fds[i]);
	close_if(state->tun_link_fd);
	for (i = 0; i < state->n_parked; i++)
		free(state->parked[i].bytes);
	free(state->sockets);
	free(state->parked);
	gates_state_init(state);
}

/* --- the other side */

static struct gates_socket *find(
	struct gates_state *state, const struct dp_gate_interface *row, uint32_t queue)
{
	uint32_t i;

	for (i = 0; i < state->n_sockets; i++)
		if (state->sockets[i].ifindex == row->ifindex && state->sockets[i].queue == queue &&
			state->sockets[i].fds[0] >= 0)
			return &state->sockets[i];
	return NULL;
}

static bool take_socket(struct gates *gates, struct gates_socket *given)
{
	struct gate_socket *sock = &gates->sockets[gates->n_sockets];
	struct err err;

	*sock = (struct gate_socket){.ifindex = given->ifindex,
		.queue = given->queue,
		.place = given->place,
		.worker = gates_worker_with_least(gates)};
	if (xsk_take(&given->state, given->fds, &sock->xsk, &err) < 0) {
		log_warn("queue %u of %s is made anew: %s", given->queue, given->interface,
			err.text);
		return false;
	}
	memset(given->fds, -1, sizeof(given->fds));
	gates->n_sockets++;
	return true;
}

/* All of its queues, or none: then it comes later, as a new one. */
static void take_interface(
	struct gates *gates, struct gates_state *state, const struct dp_gate_interface *row)
{
	uint32_t first = gates->n_sockets, queue;
	struct gates_socket *given;

	gates->sockets =
		mem_realloc(gates->sockets, (first + row->queues + 1) * sizeof(*gates->sockets));
	for (queue = 0; queue < row->queues; queue++) {
		given = find(state, row, queue);
		if (!given || !take_socket(gates, given))
			break;
	}
	if (queue == row->queues) {
		gates->interfaces[gates->n_interfaces++] = (struct gate_interface){*row, true};
		return;
	}
	while (gates->n_sockets > first)
		xsk_close(gates->sockets[--gates->n_sockets].xsk);
	dp_gate_remove(gates->spec.dp, row->ifindex);
}

static int take_device(struct gates *gates, struct gates_state *state, struct err *err)
{
	int r = tun_take(state->tun_fds, state->n_tun_fds, gates->spec.n_workers, &gates->tun, err);

	if (r < 0)
		return r;
	state->n_tun_fds = 0;
	r = dp_gate_take_tun(gates->spec.dp, state->tun_link_fd, err);
	if (r < 0) {
		tun_close(gates->tun);
		gates->tun = NULL;
		return r;
	}
	state->tun_link_fd = -1;
	return 0;
}

/* Probing was the other one's, on the same device and the same host. */
void gates_take(struct gates *gates, struct gates_state *state)
{
	struct dp_gate_interface rows[DATAPLANE_MAX_INTERFACES];
	struct dp_handover_report report;
	struct err err;
	size_t n, i;

	dp_handover_report(gates->spec.dp, &report);
	if (report.reached != HANDOVER_OWN_COOKIES)
		return;
	if (take_device(gates, state, &err) < 0) {
		log_warn("the gate is made anew: %s", err.text);
		return;
	}
	n = dp_gate_interfaces(gates->spec.dp, rows);
	for (i = 0; i < n; i++)
		take_interface(gates, state, &rows[i]);
	gates->parked = state->parked;
	gates->n_parked = state->n_parked;
	state->parked = NULL;
	state->n_parked = 0;
	gates_deal(gates);
	gates_show(gates, 0);
	log_info(
		"gate: %u AF_XDP sockets of the process before, first flights are released into %s",
		gates->n_sockets, tun_name(gates->tun));
}
