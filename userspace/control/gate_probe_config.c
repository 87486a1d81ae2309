/* What is to be probed, by the configuration: see gate_probe.h. */
#define LOG_MODULE "gate"
#include "control/gate_probe.h"

#include "control/build_parts.h"
#include "core/log.h"

#include <errno.h>

bool gate_probe_target(const struct config *config, sa_family_t family, union addr *ret_target)
{
	for (uint32_t i = 0; config && i < config->listeners_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		for (uint32_t at = 0; build_is_gated(listener) && at < listener->address_count;
			at++) {
			if (listener->address[at].family != family)
				continue;
			*ret_target = build_addr(&listener->address[at]);
			return true;
		}
	}
	return false;
}

int gate_probe_config(
	struct dataplane *dp, const struct tun *tun, const struct config *config, struct err *err)
{
	static const sa_family_t families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < array_len(families); i++) {
		union addr target, tried;
		int code;

		if (!gate_probe_target(config, families[i], &target))
			continue;
		code = gate_probe_run(dp, tun, &target, &tried, err);
		if (code == -EHOSTUNREACH || code == -EIO)
			return code;
		if (code)
			log_warn("whether first flights reach accept() was not tried: %s",
				err->text);
	}
	return 0;
}
