/*
 * Who answers SYNs and who makes sockets: the best of enum handover that configuration, kernel and
 * settings of the host allow. Looked at again about every second, since an administrator may
 * change a sysctl at any time. Control thread.
 */
#define LOG_MODULE "dataplane"
#include "dataplane/dp_gate.h"

#include "bpf/sluice_release.skel.h"
#include "core/log.h"
#include "dataplane/dp_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of this network namespace. -errno where it cannot be read. */
static int sysctl_read(const char *name)
{
	char path[64], text[16] = "";
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	return len > 0 ? atoi(text) : -EIO;
}

static uint32_t flags_allowed(void)
{
	static const struct {
		const char *sysctl;
		uint32_t flag;
	} table[] = {
		{"tcp_window_scaling", SETTINGS_WINDOW_SCALING},
		{"tcp_sack", SETTINGS_SACK},
		{"tcp_timestamps", SETTINGS_TIMESTAMPS},
		{"tcp_ecn", SETTINGS_ECN},
	};
	uint32_t flags = 0;

	for (size_t i = 0; i < array_len(table); i++)
		if (sysctl_read(table[i].sysctl) > 0)
			flags |= table[i].flag;
	return flags;
}

/* Other bits of the flags are written elsewhere, by this thread too. */
static void flags_update(struct dataplane *dp)
{
	const uint32_t ours =
		SETTINGS_WINDOW_SCALING | SETTINGS_SACK | SETTINGS_TIMESTAMPS | SETTINGS_ECN;
	uint32_t flags = (dp->settings->flags & ~ours) | flags_allowed();

	__atomic_store_n(&dp->settings->flags, flags, __ATOMIC_RELAXED);
}

static void report_limit(struct dp_handover_report *report, enum handover most, const char *why)
{
	if (report->reached <= most)
		return;
	report->reached = most;
	snprintf(report->why, sizeof(report->why), "%s", why);
}

static const char *tc_missing(const struct dataplane *dp)
{
	if (!dp->release)
		return dp->release_why;
	for (size_t i = 0; i < dp->interface_count; i++)
		if (dp->interfaces[i].ifindex && dp->interfaces[i].tc_link_fd < 0)
			return dp->interfaces[i].tc_why;
	return NULL;
}

static void check_syncookies(struct dp_handover_report *report)
{
	int syncookies = sysctl_read("tcp_syncookies");
	char why[DATAPLANE_WHY_BYTES];

	if (syncookies > 0)
		return;
	if (syncookies < 0)
		snprintf(why, sizeof(why),
			"net.ipv4.tcp_syncookies cannot be read (%s): is it in this kernel "
			"(CONFIG_SYN_COOKIES), is /proc/sys there?",
			strerror(-syncookies));
	else
		snprintf(why, sizeof(why),
			"net.ipv4.tcp_syncookies is 0, and the kernel makes no sockets from "
			"cookies: sysctl -w net.ipv4.tcp_syncookies=1");
	report_limit(report, HANDOVER_NONE, why);
}

/* The reason that stands at the end is the one that forbids most; of equals the first. */
static struct dp_handover_report handover_decide(const struct dataplane *dp)
{
	struct dp_handover_report report = {.reached = HANDOVER_OWN_COOKIES};
	const char *missing = tc_missing(dp);

	report_limit(&report, dp->wanted, "set by xdp.handover");
	if (missing)
		report_limit(&report, HANDOVER_KERNEL_COOKIES, missing);
	check_syncookies(&report);
	report_limit(&report, dp->most, dp->most_why);
	return report;
}

static const char *handover_name(enum handover handover)
{
	static const char *const names[] = {
		[HANDOVER_NONE] = "listening sockets alone",
		[HANDOVER_KERNEL_COOKIES] = "the kernel's SYN cookies, sorted in XDP",
		[HANDOVER_OWN_COOKIES] = "SYN cookies in XDP",
	};

	return names[handover];
}

void dp_handover_update(struct dataplane *dp)
{
	struct dp_handover_report now;

	if (!dp->active)
		return;
	flags_update(dp);
	now = handover_decide(dp);
	if (now.reached != dp->handover.reached || strcmp(now.why, dp->handover.why) != 0) {
		if (now.why[0] && now.reached < dp->wanted)
			log_warn("handover: %s: %s", handover_name(now.reached), now.why);
		else
			log_info("handover: %s", handover_name(now.reached));
	}
	dp->handover = now;
	__atomic_store_n(&dp->settings->handover, now.reached, __ATOMIC_RELEASE);
}

void dp_handover_report(const struct dataplane *dp, struct dp_handover_report *ret_report)
{
	*ret_report = dp->handover;
	if (!dp->active) {
		ret_report->reached = HANDOVER_NONE;
		snprintf(ret_report->why, sizeof(ret_report->why), "%s", dp->why);
	}
}

void dp_handover_limit(struct dataplane *dp, enum handover most, const char *why)
{
	dp->most = most;
	snprintf(dp->most_why, sizeof(dp->most_why), "%s", why);
	dp_handover_update(dp);
}
