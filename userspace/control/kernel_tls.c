/* Whether this kernel has TLS: see kernel_tls.h. */
#include "control/kernel_tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool kernel_tls_load(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return false;
	/* What is missing is said first (ENOENT), then that this socket is not connected. */
	r = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls"));
	r = r < 0 && errno == ENOTCONN ? 0 : r;
	close(fd);
	return r == 0;
}

bool kernel_tls_is_there(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/tcp_available_ulp", "re");
	char words[256] = "", *rest, *word;

	if (!file)
		return kernel_tls_load();
	if (!fgets(words, sizeof(words), file))
		words[0] = '\0';
	fclose(file);
	for (word = strtok_r(words, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest))
		if (strcmp(word, "tls") == 0)
			return true;
	return false;
}
