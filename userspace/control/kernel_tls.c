/* Whether this kernel has TLS: see kernel_tls.h. */
#include "control/kernel_tls.h"
#include "tls/ktls.h"

#include <stdio.h>
#include <string.h>

bool kernel_tls_is_there(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/tcp_available_ulp", "re");
	char words[256] = "", *rest, *word;

	if (!file)
		return ktls_kernel_exists();
	if (!fgets(words, sizeof(words), file))
		words[0] = '\0';
	fclose(file);
	for (word = strtok_r(words, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest))
		if (strcmp(word, "tls") == 0)
			return true;
	return false;
}
