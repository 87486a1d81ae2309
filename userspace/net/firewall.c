/*
 * nftables, read through nfnetlink: see firewall.h. Chains and rules come in messages of nested
 * attributes (<linux/netfilter/nf_tables.h>). What is not understood is taken for a drop where it
 * decides about packets (verdict maps), since the chain is only to be named.
 */
#include "net/firewall.h"

#include "core/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
	CHAINS_MAX = 512,
	JUMPS_MAX = 1024,
	ANSWER_BYTES = 65536,
	ANSWER_PATIENCE_S = 1,
};

struct chain {
	uint8_t family;
	char table[FIREWALL_NAME_BYTES];
	char name[FIREWALL_NAME_BYTES];
	bool sees_arrivals; /* base chain of prerouting or input */
	bool drops;
};

struct jump {
	uint32_t from, to; /* chains */
};

struct firewall {
	uint32_t n_chains, n_jumps;
	struct chain chains[CHAINS_MAX];
	struct jump jumps[JUMPS_MAX];
};

typedef void message_handler(
	struct firewall *firewall, uint8_t family, struct rtattr *first, size_t len);

static struct rtattr *attribute_find(struct rtattr *first, size_t len, uint16_t type)
{
	for (struct rtattr *at = first; RTA_OK(at, len); at = RTA_NEXT(at, len))
		if ((at->rta_type & NLA_TYPE_MASK) == type)
			return at;
	return NULL;
}

static struct rtattr *attribute_in(struct rtattr *nest, uint16_t type)
{
	return nest ? attribute_find(RTA_DATA(nest), RTA_PAYLOAD(nest), type) : NULL;
}

/* Numbers are big endian. `missing` where there is no such attribute. */
static uint32_t attribute_u32(const struct rtattr *attribute, uint32_t missing)
{
	uint32_t value;

	if (!attribute || RTA_PAYLOAD(attribute) < sizeof(value))
		return missing;
	memcpy(&value, RTA_DATA(attribute), sizeof(value));
	return ntohl(value);
}

static void attribute_name(const struct rtattr *attribute, char ret_name[FIREWALL_NAME_BYTES])
{
	size_t len = attribute ? RTA_PAYLOAD(attribute) : 0;

	if (len >= FIREWALL_NAME_BYTES)
		len = FIREWALL_NAME_BYTES - 1;
	memset(ret_name, 0, FIREWALL_NAME_BYTES);
	if (attribute)
		memcpy(ret_name, RTA_DATA(attribute), len);
}

static void chain_read(struct firewall *firewall, uint8_t family, struct rtattr *first, size_t len)
{
	struct rtattr *hook = attribute_find(first, len, NFTA_CHAIN_HOOK);
	uint32_t at = attribute_u32(attribute_in(hook, NFTA_HOOK_HOOKNUM), NF_INET_NUMHOOKS);
	uint32_t policy = attribute_u32(attribute_find(first, len, NFTA_CHAIN_POLICY), NF_ACCEPT);
	struct chain *chain = &firewall->chains[firewall->n_chains];

	if (firewall->n_chains == CHAINS_MAX)
		return;
	firewall->n_chains++;
	*chain = (struct chain){
		.family = family,
		.sees_arrivals = hook && (at == NF_INET_PRE_ROUTING || at == NF_INET_LOCAL_IN),
		.drops = hook && policy == NF_DROP,
	};
	attribute_name(attribute_find(first, len, NFTA_CHAIN_TABLE), chain->table);
	attribute_name(attribute_find(first, len, NFTA_CHAIN_NAME), chain->name);
}

static uint32_t chain_find(
	const struct firewall *firewall, uint8_t family, const char *table, const char *name)
{
	uint32_t i;

	for (i = 0; i < firewall->n_chains; i++)
		if (firewall->chains[i].family == family &&
			strcmp(firewall->chains[i].table, table) == 0 &&
			strcmp(firewall->chains[i].name, name) == 0)
			break;
	return i;
}

static void verdict_read(struct firewall *firewall, uint32_t chain, struct rtattr *verdict)
{
	uint32_t code = attribute_u32(attribute_in(verdict, NFTA_VERDICT_CODE), NF_ACCEPT);
	const struct chain *from = &firewall->chains[chain];
	char name[FIREWALL_NAME_BYTES];
	uint32_t to;

	if (code == NF_DROP)
		firewall->chains[chain].drops = true;
	if (code != (uint32_t)NFT_JUMP && code != (uint32_t)NFT_GOTO)
		return;
	attribute_name(attribute_in(verdict, NFTA_VERDICT_CHAIN), name);
	to = chain_find(firewall, from->family, from->table, name);
	if (to < firewall->n_chains && firewall->n_jumps < JUMPS_MAX)
		firewall->jumps[firewall->n_jumps++] = (struct jump){chain, to};
}

/* Of a verdict map, or of an extension of iptables-nft. */
static bool may_drop(const char *name, struct rtattr *data)
{
	if (strcmp(name, "lookup") == 0)
		return attribute_u32(attribute_in(data, NFTA_LOOKUP_DREG), ~0u) == NFT_REG_VERDICT;
	if (strcmp(name, "target") == 0)
		return data && memmem(RTA_DATA(data), RTA_PAYLOAD(data), "REJECT", 6);
	return strcmp(name, "reject") == 0;
}

static void expression_read(struct firewall *firewall, uint32_t chain, struct rtattr *expression)
{
	struct rtattr *data = attribute_in(expression, NFTA_EXPR_DATA);
	char name[FIREWALL_NAME_BYTES];

	attribute_name(attribute_in(expression, NFTA_EXPR_NAME), name);
	if (strcmp(name, "immediate") == 0)
		verdict_read(firewall, chain,
			attribute_in(attribute_in(data, NFTA_IMMEDIATE_DATA), NFTA_DATA_VERDICT));
	else if (may_drop(name, data))
		firewall->chains[chain].drops = true;
}

static void rule_read(struct firewall *firewall, uint8_t family, struct rtattr *first, size_t len)
{
	struct rtattr *expressions = attribute_find(first, len, NFTA_RULE_EXPRESSIONS), *at;
	char table[FIREWALL_NAME_BYTES], name[FIREWALL_NAME_BYTES];
	uint32_t chain;
	size_t left;

	attribute_name(attribute_find(first, len, NFTA_RULE_TABLE), table);
	attribute_name(attribute_find(first, len, NFTA_RULE_CHAIN), name);
	chain = chain_find(firewall, family, table, name);
	if (chain == firewall->n_chains || !expressions)
		return;
	left = RTA_PAYLOAD(expressions);
	for (at = RTA_DATA(expressions); RTA_OK(at, left); at = RTA_NEXT(at, left))
		expression_read(firewall, chain, at);
}

/* Returns whether more is to come. */
static bool answer_read(
	struct firewall *firewall, message_handler *handler, struct nlmsghdr *header, size_t len)
{
	const size_t head = NLMSG_SPACE(sizeof(struct nfgenmsg));

	for (; NLMSG_OK(header, len); header = NLMSG_NEXT(header, len)) {
		struct nfgenmsg *message = NLMSG_DATA(header);

		if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR)
			return false;
		if (header->nlmsg_len >= head)
			handler(firewall, message->nfgen_family,
				(struct rtattr *)((uint8_t *)header + head),
				header->nlmsg_len - head);
	}
	return true;
}

static void list(struct firewall *firewall, int fd, uint16_t what, message_handler *handler)
{
	struct {
		struct nlmsghdr header;
		struct nfgenmsg message;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			.nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | what),
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.message = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0},
	};
	struct nlmsghdr *answer = mem_alloc(ANSWER_BYTES);
	ssize_t len = send(fd, &request, sizeof(request), 0);

	while (len > 0) {
		len = recv(fd, answer, ANSWER_BYTES, 0);
		if (len > 0 && !answer_read(firewall, handler, answer, (size_t)len))
			break;
	}
	free(answer);
}

/* A chain drops what a chain drops that it jumps to. */
static void jumps_follow(struct firewall *firewall)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (uint32_t i = 0; i < firewall->n_jumps; i++) {
			struct chain *from = &firewall->chains[firewall->jumps[i].from];

			if (!from->drops && firewall->chains[firewall->jumps[i].to].drops)
				from->drops = changed = true;
		}
	}
}

static const char *family_name(uint8_t family)
{
	if (family == NFPROTO_INET)
		return "inet";
	return family == NFPROTO_IPV6 ? "ip6" : "ip";
}

static size_t droppers(const struct firewall *firewall, int family,
	struct firewall_chain ret_chains[static FIREWALL_CHAINS_MAX])
{
	const uint8_t own = family == AF_INET6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
	size_t found = 0;

	for (uint32_t i = 0; i < firewall->n_chains && found < FIREWALL_CHAINS_MAX; i++) {
		const struct chain *chain = &firewall->chains[i];
		struct firewall_chain *row = &ret_chains[found];

		if (!chain->sees_arrivals || !chain->drops ||
			(chain->family != own && chain->family != NFPROTO_INET))
			continue;
		snprintf(row->family, sizeof(row->family), "%s", family_name(chain->family));
		memcpy(row->table, chain->table, sizeof(row->table));
		memcpy(row->name, chain->name, sizeof(row->name));
		found++;
	}
	return found;
}

size_t firewall_droppers(int family, struct firewall_chain ret_chains[static FIREWALL_CHAINS_MAX])
{
	const struct timeval patience = {.tv_sec = ANSWER_PATIENCE_S};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct firewall *firewall;
	size_t found = 0;

	if (fd < 0)
		return 0;
	firewall = mem_zalloc(sizeof(*firewall));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0) {
		list(firewall, fd, NFT_MSG_GETCHAIN, chain_read);
		list(firewall, fd, NFT_MSG_GETRULE, rule_read);
		jumps_follow(firewall);
		found = droppers(firewall, family, ret_chains);
	}
	free(firewall);
	close(fd);
	return found;
}
