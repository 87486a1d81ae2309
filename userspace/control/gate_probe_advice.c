/* Rules that let a way through a packet filter: see gate_probe_advice.h. */
#include "control/gate_probe_advice.h"

#include "net/firewall.h"

#include <stdio.h>
#include <string.h>

enum { MATCH_BYTES = 64 };

/* "sluice" of "sluice0": the number may be another one after the next start. */
static int stem(const char *name)
{
	size_t len = strlen(name);

	while (len && name[len - 1] >= '0' && name[len - 1] <= '9')
		len--;
	return (int)len;
}

/* What is to be accepted, as nft and iptables put it. */
static void match_of(const struct gate_probe_way *way, const union addr *server,
	char ret_nft[static MATCH_BYTES], char ret_iptables[static MATCH_BYTES])
{
	const char *name = way->interface ? way->interface->name : tun_name(way->tun);
	const int len = stem(name);

	if (way->interface) {
		snprintf(ret_nft, MATCH_BYTES, "iifname \"%s\" tcp dport %u", name,
			addr_port(server));
		snprintf(ret_iptables, MATCH_BYTES, "-i %s -p tcp --dport %u", name,
			addr_port(server));
	} else {
		snprintf(ret_nft, MATCH_BYTES, "iifname \"%.*s*\"", len, name);
		snprintf(ret_iptables, MATCH_BYTES, "-i %.*s+", len, name);
	}
}

static bool has_iptables(int family)
{
	FILE *tables = fopen(
		family == AF_INET6 ? "/proc/net/ip6_tables_names" : "/proc/net/ip_tables_names",
		"re");
	bool some = tables && fgetc(tables) != EOF;

	if (tables)
		fclose(tables);
	return some;
}

void gate_probe_advise(const struct gate_probe_way *way, const union addr *server,
	char ret_text[static GATE_PROBE_ADVICE_BYTES])
{
	const int family = server->any.sa_family;
	struct firewall_chain chains[FIREWALL_CHAINS_MAX];
	size_t count = firewall_droppers(family, chains), len = 0;
	const size_t size = GATE_PROBE_ADVICE_BYTES;
	char nft[MATCH_BYTES], iptables[MATCH_BYTES];

	match_of(way, server, nft, iptables);
	for (size_t i = 0; i < count && len < size; i++)
		len += (size_t)snprintf(ret_text + len, size - len,
			"%snft insert rule %s %s %s %s accept", i ? "; " : "", chains[i].family,
			chains[i].table, chains[i].name, nft);
	if (!count && has_iptables(family))
		len += (size_t)snprintf(ret_text, size, "%s -I INPUT %s -j ACCEPT",
			family == AF_INET6 ? "ip6tables" : "iptables", iptables);
	if (!len)
		snprintf(ret_text, size,
			"no chain of nftables drops anything, so it is something else that looks at "
			"packets from interface %s",
			way->interface ? way->interface->name : tun_name(way->tun));
}
