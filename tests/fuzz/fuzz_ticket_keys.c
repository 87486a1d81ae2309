/* Any bytes as a file of ticket keys: refused with a sentence, or as many keys as it has room for, of
 * which each has a name of its own. */
#include "tls/tickets.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int is_so)
{
	if (!is_so)
		abort();
}

static void use(const struct tls_ticket_keys *keys, const uint8_t *data, size_t size)
{
	struct tls_tickets *tickets = tls_tickets_new();
	uint32_t i, j, n = tls_ticket_keys_len(keys);

	must(n >= 1 && n <= TLS_TICKET_KEYS_MAX && n * TLS_TICKET_KEY_BYTES == size);
	for (i = 0; i < n; i++)
		for (j = 0; j < i; j++)
			must(memcmp(data + i * TLS_TICKET_KEY_BYTES,
				     data + j * TLS_TICKET_KEY_BYTES, 16) != 0);
	tls_tickets_use(tickets, keys);
	tls_tickets_rotate(tickets);
	tls_tickets_forget(tickets);
	tls_tickets_put(tickets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("keys", MFD_CLOEXEC);
	struct tls_ticket_keys *keys = NULL;
	struct err err = {""};
	char path[32];

	must(fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (tls_ticket_keys_read(path, &keys, &err) == 0)
		use(keys, data, size);
	else
		must(strstr(err.text, path) != NULL);
	tls_ticket_keys_put(keys);
	close(fd);
	return 0;
}
