/* The target of a request: see request_target.h. */
#include "request_target.h"

#include "core/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RFC 3986 section 3.4: what a query may hold as it is, without those that mean something to us. */
static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/";

char *target_new(const char *path)
{
	return mem_strdup(path);
}

char *target_add(char *target, const char *name, const char *value)
{
	char *encoded = mem_alloc(3 * strlen(value) + 1), *to = encoded, *longer;

	for (; *value; value++) {
		if (strchr(plain, *value))
			*to++ = *value;
		else
			to += sprintf(to, "%%%02X", (unsigned char)*value);
	}
	*to = '\0';
	longer = mem_printf("%s%c%s=%s", target, strchr(target, '?') ? '&' : '?', name, encoded);
	free(encoded);
	free(target);
	return longer;
}
