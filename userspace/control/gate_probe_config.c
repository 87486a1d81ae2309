/* What is to be probed, by the configuration: see gate_probe.h. */
#define LOG_MODULE "gate"
#include "control/gate_probe.h"

#include "control/build_parts.h"
#include "core/log.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static const sa_family_t families[] = {AF_INET, AF_INET6};

/* The kernel takes such addresses from no other interface than lo. */
static bool is_loopback(const struct config_address *address)
{
	union addr addr = build_addr(address);

	if (addr.any.sa_family == AF_INET)
		return ntohl(addr.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&addr.v6.sin6_addr);
}

bool gate_probe_target(
	const struct config *config, sa_family_t family, bool gated, union addr *ret_target)
{
	for (uint32_t i = 0; config && i < config->listeners_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		for (uint32_t at = 0;
			(!gated || build_is_gated(listener)) && at < listener->address_count;
			at++) {
			if (listener->address[at].family != family ||
				is_loopback(&listener->address[at]))
				continue;
			*ret_target = build_addr(&listener->address[at]);
			return true;
		}
	}
	return false;
}

int gate_probe_config(
	const struct gate_probe_way *way, const struct config *config, struct err *err)
{
	for (size_t i = 0; i < array_len(families); i++) {
		union addr target, tried;
		int code;

		if (!gate_probe_target(config, families[i], true, &target))
			continue;
		code = gate_probe_run(way, &target, &tried, err);
		if (code == -EHOSTUNREACH || code == -EIO)
			return code;
		if (code)
			log_warn("whether first flights reach accept() was not tried: %s",
				err->text);
	}
	return 0;
}

/* Of a bridge, a bond: packets do not go on as those of this interface, and are filtered as others. */
static bool is_part_of_another(const struct dp_gate_interface *interface)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/%s/master", interface->name);
	return access(path, F_OK) == 0;
}

/* 0: what is let in directly reaches accept(); -EHOSTUNREACH: a packet filter drops it; else it could
 * not be tried. */
static int try_link(const struct gate_probe_way *way, const union addr *target, struct err *err)
{
	union addr tried;
	int code;

	if (is_part_of_another(way->interface))
		return -EOPNOTSUPP;
	code = gate_probe_run(way, target, &tried, err);
	if (code && code != -EHOSTUNREACH)
		log_debug("whether what comes in on %s reaches accept() was not tried: %s",
			way->interface->name, err->text);
	return code;
}

/* Of one family. */
static int try_links(const struct gate_probe_way *way, const union addr *target, struct err *err)
{
	struct dp_gate_interface rows[DATAPLANE_MAX_INTERFACES];
	size_t n = dp_gate_interfaces(way->dp, rows), refused = 0;
	struct gate_probe_way link = *way;
	struct err own = {};
	int passed = 0, code;

	link.tun = NULL;
	for (size_t at = 0; at < n; at++) {
		link.interface = &rows[at];
		code = try_link(&link, target, &own);
		passed += code == 0;
		refused += code == -EHOSTUNREACH;
		if (code == -EHOSTUNREACH)
			*err = own;
	}
	return refused && !passed ? -EHOSTUNREACH : passed;
}

int gate_probe_links(const struct gate_probe_way *way, const struct config *config, struct err *err)
{
	union addr target;
	int passed = 0, r;

	for (size_t i = 0; i < array_len(families); i++) {
		if (!gate_probe_target(config, families[i], false, &target))
			continue;
		r = try_links(way, &target, err);
		if (r < 0)
			return r;
		passed += r;
	}
	return passed;
}
