/*
 * The gate's part of the host check: a packet plane of its own without interfaces, a TUN device and
 * a first flight of nobody's. All of it is gone afterwards.
 */
#include "control/hostcheck_parts.h"

#include "control/gate_probe.h"
#include "core/log.h"
#include "dataplane/dp_gate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PORT_ANY = 0 };

static void probe_row(struct hostcheck *check, const char *name, const union addr *wanted,
	const union addr *tried, int code, const struct err *err)
{
	char address[ADDR_TEXT_BYTES];

	if (code == -EADDRNOTAVAIL) {
		hostcheck_row(check, name, false, "not tried: %s", err->text);
		return;
	}
	addr_format(code ? wanted : tried, address);
	if (code)
		hostcheck_row(check, name, false, "%s", err->text);
	else if (addr_port(wanted) && addr_port(wanted) != addr_port(tried))
		hostcheck_row(check, name, true,
			"a first flight to %s reaches accept() (tried there, since port %u is in use)",
			address, addr_port(wanted));
	else
		hostcheck_row(check, name, true, "a first flight to %s reaches accept()", address);
}

/* Without a configuration that has such a listener: any port of any address. */
static void check_family(
	struct hostcheck *check, struct dataplane *dp, const struct tun *tun, sa_family_t family)
{
	const char *name = family == AF_INET ? "gate_v4" : "gate_v6";
	const struct gate_probe_way way = {.dp = dp, .tun = tun};
	union addr target = {.any = {.sa_family = family}}, tried = {0};
	struct err err = {};
	int code;

	if (!gate_probe_target(check->config, family, true, &target)) {
		target = (union addr){0};
		target.any.sa_family = family;
		addr_port_set(&target, PORT_ANY);
	}
	code = gate_probe_run(&way, &target, &tried, &err);
	probe_row(check, name, &target, &tried, code, &err);
}

static void check_rp_filter(struct hostcheck *check, const struct tun *tun)
{
	FILE *file = fopen("/proc/sys/net/ipv4/conf/all/rp_filter", "re");
	int all = -1;

	if (file && fscanf(file, "%d", &all) != 1)
		all = -1;
	if (file)
		fclose(file);
	if (all < 0)
		hostcheck_row(
			check, "rp_filter", false, "net.ipv4.conf.all.rp_filter cannot be read");
	else
		hostcheck_row(check, "rp_filter", true,
			"%d for all, 2 (loose) on %s: the larger one counts", all, tun_name(tun));
}

static void check_with_tun(struct hostcheck *check, struct dataplane *dp, const struct tun *tun)
{
	struct dp_handover_report report;
	struct err err = {};

	hostcheck_row(check, "tun", true, "%s was made", tun_name(tun));
	check_rp_filter(check, tun);
	dp_handover_report(dp, &report);
	hostcheck_row(check, "own_cookies", report.reached == HANDOVER_OWN_COOKIES, "%s",
		report.reached == HANDOVER_OWN_COOKIES
			? "XDP answers SYNs, sockets are made of what the gate releases"
			: report.why);
	if (report.reached != HANDOVER_OWN_COOKIES)
		return;
	if (dp_gate_attach_tun(dp, tun_ifindex(tun), &err)) {
		hostcheck_row(check, "gate_v4", false, "%s", err.text);
		return;
	}
	check_family(check, dp, tun, AF_INET);
	check_family(check, dp, tun, AF_INET6);
}

static void check_with(struct hostcheck *check, struct dataplane *dp)
{
	struct err err = {};
	struct tun *tun;

	if (tun_open("sluice%d", 1, &tun, &err)) {
		hostcheck_row(
			check, "tun", false, "%s: ClientHellos are judged after accept", err.text);
		return;
	}
	check_with_tun(check, dp, tun);
	tun_close(tun);
}

/* What the packet plane says meanwhile is said in the rows. */
void hostcheck_gate(struct hostcheck *check)
{
	char pin_dir[64];
	struct dataplane_spec spec = {.enabled = true,
		.pin_dir = pin_dir,
		.workers = 1,
		.handover = HANDOVER_OWN_COOKIES};
	enum log_level before = log_level_get();
	struct dataplane *dp;
	struct err err = {};

	snprintf(pin_dir, sizeof(pin_dir), "/sys/fs/bpf/sluice-check-%d", (int)getpid());
	log_level_set(LOG_LEVEL_ERROR);
	if (dataplane_open(&spec, &dp, &err)) {
		hostcheck_row(check, "own_cookies", false, "%s", err.text);
	} else {
		check_with(check, dp);
		dataplane_close(dp, DATAPLANE_DETACH);
	}
	log_level_set(before);
}
