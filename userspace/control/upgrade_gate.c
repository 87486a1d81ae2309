/* The gate as messages: see upgrade_gate.h. Control thread. */
#define LOG_MODULE "upgrade"
#include "control/upgrade_gate.h"

#include "control/daemon.h"
#include "control/upgrade_give.h"
#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PARKED_BYTES_MAX = 256 * 1024 * 1024 };

/* --- giving */

static void give_socket(struct upgrade_outbox *outbox, const struct gates_socket *sock)
{
	struct upgrade_xsk item = {
		.ifindex = sock->ifindex, .queue = sock->queue, .place = sock->place};

	memcpy(item.interface, sock->interface, sizeof(item.interface));
	item.state = sock->state;
	upgrade_outbox_put(outbox,
		&(struct upgrade_item){UPGRADE_XSK, &item, sizeof(item), sock->fds, XSK_FDS});
}

static void give_tun(struct upgrade_outbox *outbox, const struct gates_state *state)
{
	upgrade_outbox_put(outbox,
		&(struct upgrade_item){UPGRADE_TUN, NULL, 0, state->tun_fds, state->n_tun_fds});
	if (state->tun_link_fd >= 0)
		upgrade_outbox_put(outbox,
			&(struct upgrade_item){UPGRADE_TUN_LINK, NULL, 0, &state->tun_link_fd, 1});
}

/* They may be more than there is room for in a message. */
static void give_parked(struct upgrade_outbox *outbox, const struct gate_parked *parked)
{
	int fd = memfd_create("sluice-flights", MFD_CLOEXEC);
	size_t at = 0;
	ssize_t n = 1;

	while (fd >= 0 && at < parked->len && n > 0) {
		n = write(fd, parked->bytes + at, parked->len - at);
		at += n > 0 ? (size_t)n : 0;
	}
	if (fd < 0 || at < parked->len) {
		log_warn("incomplete first flights are not given away: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	upgrade_outbox_put(
		outbox, &(struct upgrade_item){UPGRADE_FLIGHTS, NULL, 0, &fd, 1, .closes = true});
}

void upgrade_gate_give(struct daemon *daemon, struct upgrade_outbox *outbox)
{
	struct gates_state state;
	struct dp_secrets secrets;
	uint32_t i;

	dp_secrets_give(daemon->dataplane, &secrets);
	upgrade_outbox_put(outbox,
		&(struct upgrade_item){UPGRADE_SECRETS, &secrets, sizeof(secrets), NULL, 0});
	explicit_bzero(&secrets, sizeof(secrets));
	gates_give(daemon->gates, &state);
	for (i = 0; i < state.n_sockets; i++)
		give_socket(outbox, &state.sockets[i]);
	if (state.n_tun_fds)
		give_tun(outbox, &state);
	for (i = 0; i < state.n_parked; i++)
		give_parked(outbox, &state.parked[i]);
	free(state.sockets);
}

/* --- taking */

static int take_fd(struct upgrade_message *message, uint32_t at)
{
	int fd = at < message->n_fds ? message->fds[at] : -1;

	if (fd >= 0)
		message->fds[at] = -1;
	return fd;
}

static void take_socket(struct gates_state *state, struct upgrade_message *message)
{
	struct gates_socket *sock;
	struct upgrade_xsk item;
	int i;

	if (message->n_fds != XSK_FDS)
		return;
	upgrade_body(message, &item, sizeof(item));
	state->sockets =
		mem_realloc(state->sockets, (state->n_sockets + 1) * sizeof(*state->sockets));
	sock = &state->sockets[state->n_sockets++];
	*sock = (struct gates_socket){.ifindex = item.ifindex,
		.queue = item.queue,
		.place = item.place,
		.state = item.state};
	memcpy(sock->interface, item.interface, sizeof(sock->interface) - 1);
	for (i = 0; i < XSK_FDS; i++)
		sock->fds[i] = take_fd(message, (uint32_t)i);
}

static void take_tun(struct gates_state *state, struct upgrade_message *message)
{
	uint32_t i;

	for (i = 0; i < message->n_fds && state->n_tun_fds < SLUICE_MAX_WORKERS; i++)
		state->tun_fds[state->n_tun_fds++] = take_fd(message, i);
}

static bool read_all(int fd, struct gate_parked *ret_parked)
{
	struct stat about;
	size_t at = 0;
	ssize_t n = 1;

	if (fstat(fd, &about) < 0 || about.st_size <= 0 || about.st_size > PARKED_BYTES_MAX)
		return false;
	ret_parked->len = (size_t)about.st_size;
	ret_parked->bytes = mem_alloc(ret_parked->len);
	while (at < ret_parked->len && n > 0) {
		n = pread(fd, ret_parked->bytes + at, ret_parked->len - at, (off_t)at);
		at += n > 0 ? (size_t)n : 0;
	}
	if (at < ret_parked->len)
		free(ret_parked->bytes);
	return at == ret_parked->len;
}

static void take_parked(struct gates_state *state, struct upgrade_message *message)
{
	struct gate_parked parked;

	if (message->n_fds != 1 || !read_all(message->fds[0], &parked))
		return;
	state->parked = mem_realloc(state->parked, (state->n_parked + 1) * sizeof(*state->parked));
	state->parked[state->n_parked++] = parked;
}

bool upgrade_gate_take(
	struct gates_state *state, struct dp_secrets *ret_secrets, struct upgrade_message *message)
{
	switch (message->kind) {
	case UPGRADE_SECRETS:
		upgrade_body(message, ret_secrets, sizeof(*ret_secrets));
		return true;
	case UPGRADE_XSK:
		take_socket(state, message);
		return true;
	case UPGRADE_TUN:
		take_tun(state, message);
		return true;
	case UPGRADE_TUN_LINK:
		if (state->tun_link_fd < 0)
			state->tun_link_fd = take_fd(message, 0);
		return true;
	case UPGRADE_FLIGHTS:
		take_parked(state, message);
		return true;
	default:
		return false;
	}
}
