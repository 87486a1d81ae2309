/* Reading the secret of the SYN cookies: see secrets.h. */
#include "control/secrets.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { KEY_BYTES = 16, LINE_BYTES = 256 };

static int hex_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	digit = (char)tolower((unsigned char)digit);
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* The bytes in their order, so that the key is the same on machines of either byte order. */
static bool read_key(const char *digits, uint64_t ret_key[2])
{
	uint64_t words[2] = {0};
	int i, value;

	if (strlen(digits) != 2 * KEY_BYTES)
		return false;
	for (i = 0; i < 2 * KEY_BYTES; i++) {
		value = hex_value(digits[i]);
		if (value < 0)
			return false;
		words[i / 16] = words[i / 16] << 4 | (uint64_t)value;
	}
	memcpy(ret_key, words, sizeof(words));
	return words[0] || words[1];
}

static char *trimmed(char *line)
{
	char *end;

	line += strspn(line, " \t");
	end = line + strlen(line);
	while (end > line && strchr(" \t\r\n", end[-1]))
		*--end = '\0';
	return line;
}

static int read_lines(
	FILE *file, const char *path, struct dp_cookie_secret *ret_secret, struct err *err)
{
	struct dp_cookie_secret secret = {0};
	char line[LINE_BYTES], *text;
	unsigned int number = 0, keys = 0;

	while (fgets(line, sizeof(line), file)) {
		number++;
		text = trimmed(line);
		if (!*text || *text == '#')
			continue;
		if (keys == SLUICE_COOKIE_KEYS)
			return err_set(err, -EINVAL,
				"%s:%u: a third secret: at most two are allowed", path, number);
		if (!read_key(text, secret.keys[keys]))
			return err_set(err, -EINVAL,
				"%s:%u: not 32 hexadecimal digits that are not all 0 (make one "
				"with: openssl rand -hex 16)",
				path, number);
		keys++;
	}
	explicit_bzero(line, sizeof(line));
	if (ferror(file))
		return err_set(err, -EIO, "%s: cannot be read", path);
	if (!keys)
		return err_set(err, -EINVAL,
			"%s: has no secret (make one with: openssl rand -hex 16)", path);
	*ret_secret = secret;
	explicit_bzero(&secret, sizeof(secret));
	return 0;
}

int secrets_read(const char *path, struct dp_cookie_secret *ret_secret, struct err *err)
{
	FILE *file = fopen(path, "re");
	struct stat facts;
	int r;

	if (!file)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (fstat(fileno(file), &facts) == 0 && facts.st_mode & (S_IWGRP | S_IRWXO))
		r = err_set(err, -EPERM, "%s: others may read or change it: chmod 600", path);
	else
		r = read_lines(file, path, ret_secret, err);
	fclose(file);
	return r;
}
