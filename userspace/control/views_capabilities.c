/*
 * What this host can do and whether the daemon uses it: the list "capabilities" of the view
 * "status". A fallback always says what is used instead and why. See views.h.
 */
#include "control/confinement.h"
#include "control/kernel_tls.h"
#include "control/views_parts.h"

#include "core/confine.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* Besides those of connections: logs, epoll, maps, certificates being read. */
enum { OTHER_FILES = 256, FILES_PER_CONNECTION = 2 };

static void put(const struct view_list *list, const char *name, const char *state,
	const char *using, const char *reason)
{
	struct view row = view_list_object(list);

	view_text(&row, "name", name);
	view_text(&row, "state", state);
	view_text(&row, "using", using);
	view_text(&row, "reason", reason);
}

static void put_interface(
	const struct view_list *list, const struct dataplane_interface_report *interface)
{
	bool native = interface->mode == DATAPLANE_NATIVE;
	const char *why = *interface->why ? interface->why : NULL;
	char name[32];

	snprintf(name, sizeof(name), "xdp_%s", interface->name);
	if (interface->mode == DATAPLANE_NONE)
		put(list, name, "off", "the kernel's network stack alone", why);
	else
		put(list, name, native ? "used" : "fallback", dataplane_attachment_name(interface),
			native ? NULL : why);
}

static void put_packet_plane(const struct dataplane_report *report, const struct view_list *list)
{
	size_t i;

	if (!report->active) {
		put(list, "packet_plane", "off", "the kernel's network stack alone", report->why);
		put(list, "worker_selection", "fallback", "the kernel's hash of the connection",
			"the packet plane is off");
		put(list, "heartbeat", "off", "workers that hang still get connections",
			"the packet plane is off");
		return;
	}
	put(list, "packet_plane", "used", report->maps_adopted ? "BPF, maps adopted" : "BPF", NULL);
	if (!report->interface_count)
		put(list, "xdp", "off", "the kernel's network stack alone",
			"xdp.interfaces names none");
	for (i = 0; i < report->interface_count; i++)
		put_interface(list, &report->interfaces[i]);
	put(list, "worker_selection", "used", "a BPF program, by hash and heartbeat", NULL);
	put(list, "heartbeat", "used", "memory-mapped map", NULL);
}

static void put_cpus(const struct daemon *daemon, const struct view_list *list)
{
	bool pinned = daemon->env.n_workers > 0;
	uint32_t i;

	for (i = 0; i < daemon->env.n_workers; i++)
		pinned = pinned && daemon->workers[i].cpu >= 0;
	if (pinned)
		put(list, "worker_cpus", "used", "one worker per CPU, pinned", NULL);
	else
		put(list, "worker_cpus", "fallback", "the kernel moves workers between CPUs",
			"the number of workers is not that of the CPUs");
}

static void put_files(const struct daemon *daemon, const struct view_list *list)
{
	uint64_t wanted =
		(uint64_t)daemon->build->config->limits.connections * FILES_PER_CONNECTION +
		OTHER_FILES;
	char using[64], reason[96];
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	snprintf(using, sizeof(using), "%llu open files", (unsigned long long)limit.rlim_cur);
	snprintf(reason, sizeof(reason), "limits.connections needs %llu (LimitNOFILE)",
		(unsigned long long)wanted);
	if (limit.rlim_cur == RLIM_INFINITY)
		put(list, "open_files", "used", "no limit", NULL);
	else
		put(list, "open_files", limit.rlim_cur >= wanted ? "used" : "fallback", using,
			limit.rlim_cur >= wanted ? NULL : reason);
}

/* Workers find out by trying. */
static void put_splice(const struct daemon *daemon, const struct view_list *list)
{
	int refused = 0;
	uint32_t i;

	for (i = 0; i < daemon->env.n_workers && !refused; i++)
		refused =
			__atomic_load_n(&daemon->workers[i].proxy.pipes.refused, __ATOMIC_RELAXED);
	if (refused)
		put(list, "splice", "fallback", "all bytes are copied through user space",
			strerror(refused));
	else
		put(list, "splice", "used", "bytes between plain sockets stay in the kernel", NULL);
}

static void put_ktls(const struct view_list *list)
{
	if (kernel_tls_is_there())
		put(list, "ktls", "used", "records in the kernel where cipher and setting allow",
			NULL);
	else
		put(list, "ktls", "fallback", "records are made in user space", KERNEL_TLS_MISSING);
}

/* What is left of the process's rights after the start. */
static void put_rights(const struct daemon *daemon, const struct view_list *list)
{
	char held[CONFINE_TEXT_BYTES], missing[CONFINE_TEXT_BYTES];
	char using[CONFINE_TEXT_BYTES + 32], reason[CONFINE_TEXT_BYTES + 32];
	bool is_whole = strcmp(confine_missing(missing), "none") == 0;
	const char *why, *calls = confinement_calls(daemon->build->config, &why);

	snprintf(using, sizeof(using), "%s; workers none", confine_held(held));
	snprintf(reason, sizeof(reason), "was started without %s", missing);
	put(list, "rights", is_whole ? "used" : "fallback", using, is_whole ? NULL : reason);
	put(list, "system_calls", why ? "fallback" : "used", calls, why);
}

void view_capabilities(
	const struct daemon *daemon, const struct dataplane_report *report, const struct view *root)
{
	struct view_list list = view_list(root, "capabilities");

	put_packet_plane(report, &list);
	put_cpus(daemon, &list);
	put_splice(daemon, &list);
	put_ktls(&list);
	put_files(daemon, &list);
	put_rights(daemon, &list);
}
