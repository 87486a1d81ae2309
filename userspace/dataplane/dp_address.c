/* Addresses as the maps hold them, binary and printed. Any thread. */
#include "dataplane/dp_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int dp_address_split(
	const struct sockaddr_storage *address, __u32 ret_addr_be[4], __u16 *ret_port_be)
{
	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

		ret_addr_be[0] = ret_addr_be[1] = 0;
		ret_addr_be[2] = htonl(0xffff);
		ret_addr_be[3] = v4->sin_addr.s_addr;
		*ret_port_be = v4->sin_port;
		return 0;
	}
	if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

		memcpy(ret_addr_be, &v6->sin6_addr, 16);
		*ret_port_be = v6->sin6_port;
		return 0;
	}
	return -EAFNOSUPPORT;
}

void dp_address_print(const struct sockaddr_storage *address, char ret_text[SLUICE_ADDRESS_BYTES])
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(ret_text, SLUICE_ADDRESS_BYTES, "%s:%u", host, ntohs(v4->sin_port));
	} else {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(ret_text, SLUICE_ADDRESS_BYTES, "[%s]:%u", host, ntohs(v6->sin6_port));
	}
}
