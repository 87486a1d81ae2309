/* Socket addresses: see addr.h. */
#include "net/addr.h"
#include "core/line.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_port(const char *text, uint16_t *ret_port)
{
	char *end;
	unsigned long port;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	port = strtoul(text, &end, 10);
	if (*end || port > 65535 || end - text > 5)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

int addr_parse(const char *text, union addr *ret_addr)
{
	char host[INET6_ADDRSTRLEN + 1];
	const char *colon = strrchr(text, ':');
	bool is_v6 = text[0] == '[';
	union addr addr = {0};
	uint16_t port;
	size_t len;

	if (!colon || parse_port(colon + 1, &port) < 0)
		return -EINVAL;
	len = (size_t)(colon - text) - (is_v6 ? 2 : 0);
	if (len >= sizeof(host) || (is_v6 && (colon < text + 2 || colon[-1] != ']')))
		return -EINVAL;
	memcpy(host, text + is_v6, len);
	host[len] = '\0';
	addr.any.sa_family = is_v6 ? AF_INET6 : AF_INET;
	if (inet_pton(addr.any.sa_family, host,
		    is_v6 ? (void *)&addr.v6.sin6_addr : (void *)&addr.v4.sin_addr) != 1)
		return -EINVAL;
	addr_port_set(&addr, port);
	*ret_addr = addr;
	return 0;
}

/* For each request: inet_ntop() reads a format. */
static const char *format_v4(struct in_addr addr, char text[static ADDR_TEXT_BYTES])
{
	struct line line = {.bytes = text, .size = ADDR_TEXT_BYTES};
	const uint8_t *bytes = (const uint8_t *)&addr.s_addr;
	int i;

	for (i = 0; i < 4; i++) {
		if (i)
			line_put_char(&line, '.');
		line_put_number(&line, bytes[i]);
	}
	line_put_char(&line, '\0');
	return text;
}

const char *addr_format_host(const union addr *addr, char text[static ADDR_TEXT_BYTES])
{
	if (addr->any.sa_family == AF_INET)
		return format_v4(addr->v4.sin_addr, text);
	if (!inet_ntop(addr->any.sa_family, &addr->v6.sin6_addr, text, ADDR_TEXT_BYTES))
		snprintf(text, ADDR_TEXT_BYTES, "unknown");
	return text;
}

const char *addr_format(const union addr *addr, char text[static ADDR_TEXT_BYTES])
{
	char host[ADDR_TEXT_BYTES];
	bool is_v6 = addr->any.sa_family == AF_INET6;

	addr_format_host(addr, host);
	if (!addr_port(addr))
		return memcpy(text, host, sizeof(host));
	snprintf(text, ADDR_TEXT_BYTES, "%s%.48s%s:%u", is_v6 ? "[" : "", host, is_v6 ? "]" : "",
		addr_port(addr));
	return text;
}

socklen_t addr_len(const union addr *addr)
{
	return addr->any.sa_family == AF_INET6 ? sizeof(addr->v6) : sizeof(addr->v4);
}

uint16_t addr_port(const union addr *addr)
{
	return ntohs(addr->any.sa_family == AF_INET6 ? addr->v6.sin6_port : addr->v4.sin_port);
}

void addr_port_set(union addr *addr, uint16_t port)
{
	if (addr->any.sa_family == AF_INET6)
		addr->v6.sin6_port = htons(port);
	else
		addr->v4.sin_port = htons(port);
}

bool addr_eq(const union addr *a, const union addr *b)
{
	if (a->any.sa_family != b->any.sa_family || addr_port(a) != addr_port(b))
		return false;
	if (a->any.sa_family == AF_INET6)
		return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 16) == 0;
	return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

void addr_to_mapped(const union addr *addr, uint8_t ret_bytes[static 16])
{
	if (addr->any.sa_family == AF_INET6) {
		memcpy(ret_bytes, &addr->v6.sin6_addr, 16);
		return;
	}
	memset(ret_bytes, 0, 10);
	memset(ret_bytes + 10, 0xff, 2);
	memcpy(ret_bytes + 12, &addr->v4.sin_addr, 4);
}

void addr_unmap(union addr *addr)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};

	if (addr->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&addr->v6.sin6_addr))
		return;
	v4.sin_port = addr->v6.sin6_port;
	memcpy(&v4.sin_addr, addr->v6.sin6_addr.s6_addr + 12, 4);
	addr->v4 = v4;
}
