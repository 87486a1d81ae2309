/* Socket addresses, IPv4 and IPv6: one value type, parsed and printed in one way. */
#ifndef SLUICE_NET_ADDR_H
#define SLUICE_NET_ADDR_H

#include "core/attr.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDR_TEXT_BYTES = 64 }; /* "[v6%scope]:65535" and NUL */

union addr {
	struct sockaddr_in6 v6; /* first: the largest, so that {0} clears all of it */
	struct sockaddr_in v4;
	struct sockaddr any;
};

/* "192.0.2.1:443", "[2001:db8::1]:443". 0 or -EINVAL. */
int addr_parse(const char *text, union addr *ret_addr) must_check;
/* The same form back; for port 0 without the port. Returns `text`. */
const char *addr_format(const union addr *addr, char text[static ADDR_TEXT_BYTES]);
/* Without the port and without brackets. */
const char *addr_format_host(const union addr *addr, char text[static ADDR_TEXT_BYTES]);
socklen_t addr_len(const union addr *addr);
uint16_t addr_port(const union addr *addr);
void addr_port_set(union addr *addr, uint16_t port);
bool addr_eq(const union addr *a, const union addr *b);
/* 16 bytes, network order, IPv4 as ::ffff:a.b.c.d; `addr` of a v4-mapped IPv6 becomes IPv4. */
void addr_to_mapped(const union addr *addr, uint8_t ret_bytes[static 16]);
void addr_unmap(union addr *addr);

#endif
