/* Listening sockets in the hands of the SK_REUSEPORT program: see dp_reuseport.h. Control thread. */
#include "dataplane/dp_reuseport.h"

#include "bpf/sluice_reuseport.skel.h"
#include "dataplane/dp_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* The kernel refuses a socket that is in an array already, be it in the very same slot. Keeps
 * errno. */
static bool is_in_slot(int map_fd, uint32_t slot, int fd)
{
	uint64_t there = 0, cookie = 0;
	socklen_t len = sizeof(cookie);
	int refused = errno;
	bool same = bpf_map_lookup_elem(map_fd, &slot, &there) == 0 &&
		    getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 && there == cookie;

	errno = refused;
	return same;
}

int dp_reuseport_add(
	struct dataplane *dp, uint32_t socket_row, uint32_t worker, int fd, struct err *err)
{
	uint32_t slot = socket_row * SLUICE_MAX_WORKERS + worker;
	uint64_t value = (uint64_t)fd;
	int prog_fd, map_fd;

	if (socket_row >= SLUICE_MAX_LISTENERS || worker >= SLUICE_MAX_WORKERS)
		return err_set(err, -EINVAL, "socket row %u of worker %u: no such slot", socket_row,
			worker);
	if (!dp->active)
		return 0;
	map_fd = bpf_map__fd(dp->reuseport->maps.worker_sockets);
	if (bpf_map_update_elem(map_fd, &slot, &value, BPF_ANY) &&
		!(errno == EBUSY && is_in_slot(map_fd, slot, fd)))
		return err_set(err, -errno,
			"worker_sockets row %u: %s (SO_REUSEPORT before bind, then listen?)", slot,
			strerror(errno));
	prog_fd = bpf_program__fd(dp->reuseport->progs.sluice_reuseport);
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &prog_fd, sizeof(prog_fd)))
		return err_set(err, -errno, "attaching the reuseport program: %s", strerror(errno));
	return 0;
}
