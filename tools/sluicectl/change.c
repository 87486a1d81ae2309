/* Requests that change objects: see change.h. */
#include "change.h"

#include "client.h"
#include "core/base64.h"
#include "core/mem.h"
#include "request_target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHANGE_TIMEOUT_S = 300, FILE_BYTES_MAX = 100 * 1024 * 1024 };

/* The next part of a path. */
static char *add_part(char *path, const char *part)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	char *encoded = mem_alloc(3 * strlen(part) + 1), *to = encoded, *longer;

	for (; *part; part++) {
		if (strchr(plain, *part))
			*to++ = *part;
		else
			to += sprintf(to, "%%%02X", (unsigned char)*part);
	}
	*to = '\0';
	longer = mem_printf("%s/%s", path, encoded);
	free(encoded);
	free(path);
	return longer;
}

char *change_target(const char *path, const char *first, const char *second)
{
	char *target = add_part(mem_strdup(path), first);

	return second ? add_part(target, second) : target;
}

yyjson_mut_doc *change_doc(void)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);

	yyjson_mut_doc_set_root(doc, yyjson_mut_obj(doc));
	return doc;
}

int change_send(
	const struct invocation *invocation, const char *method, char *target, yyjson_mut_doc *doc)
{
	struct client_request request = {
		.where = &invocation->where,
		.method = method,
		.timeout_s = CHANGE_TIMEOUT_S,
	};
	char *body = doc ? yyjson_mut_write(doc, 0, &request.body_len) : NULL;
	int code;

	if (invocation->dry_run)
		target = target_add(target, "dry_run", "1");
	if (invocation->existing)
		target = target_add(target, "existing", invocation->existing);
	request.target = target;
	request.body = body;
	if (doc && !body)
		code = usage("a name, or a file, is not UTF-8", "");
	else
		code = run_request(invocation, &request, render_change);
	if (body)
		explicit_bzero(body, request.body_len);
	free(body);
	free(target);
	yyjson_mut_doc_free(doc);
	return code;
}

char *change_read_file(const char *path, size_t *ret_len)
{
	int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	size_t room = 64 * 1024, len = 0;
	char *text;
	ssize_t n;

	if (fd < 0) {
		fprintf(stderr, "sluicectl: %s: %s\n", path, strerror(errno));
		return NULL;
	}
	text = mem_alloc(room);
	while ((n = read(fd, text + len, room - len)) > 0) {
		len += (size_t)n;
		if (len == room && room < FILE_BYTES_MAX)
			text = mem_realloc(text, room *= 2);
	}
	if (n < 0 || len >= FILE_BYTES_MAX) {
		fprintf(stderr, "sluicectl: %s: %s\n", path,
			n < 0 ? strerror(errno) : "larger than 100 MiB");
		explicit_bzero(text, len); /* may be a key */
		free(text);
		text = NULL;
	}
	if (fd > STDIN_FILENO)
		close(fd);
	*ret_len = len;
	return text;
}

bool change_add_file(
	yyjson_mut_doc *doc, yyjson_mut_val *object, const char *member, const char *path)
{
	size_t len;
	char *text = change_read_file(path, &len);

	if (!text)
		return false;
	yyjson_mut_obj_add_strncpy(doc, object, member, text, len);
	explicit_bzero(text, len);
	free(text);
	return true;
}

bool change_add_base64(
	yyjson_mut_doc *doc, yyjson_mut_val *object, const char *member, const char *path)
{
	size_t len;
	char *bytes = change_read_file(path, &len), *text;

	if (!bytes)
		return false;
	text = mem_alloc(base64_encoded_size(len));
	base64_encode((const uint8_t *)bytes, len, text);
	yyjson_mut_obj_add_strcpy(doc, object, member, text);
	explicit_bzero(text, strlen(text));
	explicit_bzero(bytes, len);
	free(text);
	free(bytes);
	return true;
}

bool change_add_content(
	yyjson_mut_doc *doc, yyjson_mut_val *object, const char *member, const char *path)
{
	return change_add_file(doc, yyjson_mut_obj_add_obj(doc, object, member), "content", path);
}
