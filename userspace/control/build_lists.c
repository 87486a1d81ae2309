/* The deny and allow lists of a configuration, with the files it names: see build.h. */
#include "control/build_parts.h"
#include "core/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct dp_prefix *prefixes_of(const struct config_prefix *list, uint32_t count)
{
	struct dp_prefix *prefixes = mem_zalloc((count + 1) * sizeof(*prefixes));
	uint32_t i;

	for (i = 0; i < count; i++) {
		memcpy(prefixes[i].addr, list[i].ip, 16);
		prefixes[i].length_bits = (uint8_t)list[i].len_bits;
		prefixes[i].v6 = list[i].family == AF_INET6;
	}
	return prefixes;
}

void build_lists(struct building *building)
{
	const struct config *config = building->build->config;
	struct dp_prefix *deny = prefixes_of(config->deny, config->deny_count);
	struct dp_prefix *allow = prefixes_of(config->allow, config->allow_count);
	struct lists_config_spec spec = {
		.prefixes = {[LIST_DENY] = deny, [LIST_ALLOW] = allow},
		.counts = {[LIST_DENY] = config->deny_count, [LIST_ALLOW] = config->allow_count},
		.paths = {[LIST_DENY] = config->deny_path, [LIST_ALLOW] = config->allow_path},
	};
	struct err err;

	if (lists_config_new(&spec, &building->build->lists, &err) < 0)
		config_errors_add(
			building->errors, config->mark, "deny_file, allow_file", "%s", err.text);
	free(deny);
	free(allow);
}
