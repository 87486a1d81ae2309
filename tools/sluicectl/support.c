/*
 * An archive for whoever is to find a fault: what the daemon says of itself, without secrets, and without
 * addresses of clients (connections, sources and the deny list are not in it). The format is POSIX ustar.
 */
#include "client.h"
#include "sluicectl.h"

#include "core/mem.h"
#include "core/version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { SUPPORT_TIMEOUT_S = 30, TAR_BLOCK = 512 };

static const struct {
	const char *file, *target;
} parts[] = {
	{"status.json", "/v1/status"},
	{"listeners.json", "/v1/listeners"},
	{"targets.json", "/v1/targets"},
	{"target-groups.json", "/v1/target-groups"},
	{"rules.json", "/v1/rules"},
	{"certificates.json", "/v1/certificates"},
	{"trust.json", "/v1/trust"},
	{"policies.json", "/v1/policies"},
	{"drops.json", "/v1/drops"},
	{"desync.json", "/v1/desync"},
	{"counters.json", "/v1/counters"},
	{"history.json", "/v1/history"},
	{"objects.json", "/v1/objects"},
	{"configuration.json", "/v1/export?redact=1"},
	{"metrics.txt", "/v1/metrics"},
};

/* One file of the archive as it comes. */
struct part {
	char *bytes;
	size_t len;
};

static void take(void *arg, const char *bytes, size_t len)
{
	struct part *part = arg;

	part->bytes = mem_realloc(part->bytes, part->len + len + 1);
	memcpy(part->bytes + part->len, bytes, len);
	part->len += len;
}

/* --- what conditions ask for may be a secret, and what is behind the path of a redirect */

static void redact_action(yyjson_mut_val *action)
{
	const char *text = yyjson_mut_get_str(action);

	if (text)
		yyjson_mut_set_strn(action, text, strcspn(text, "?"));
}

static void redact(yyjson_mut_val *value)
{
	yyjson_mut_val *key, *item;
	size_t i, n;

	if (yyjson_mut_is_obj(value)) {
		yyjson_mut_obj_remove_key(value, "conditions");
		redact_action(yyjson_mut_obj_get(value, "action"));
		yyjson_mut_obj_foreach(value, i, n, key, item) redact(item);
	} else if (yyjson_mut_is_arr(value)) {
		yyjson_mut_arr_foreach(value, i, n, item) redact(item);
	}
}

static void redact_part(struct part *part)
{
	yyjson_doc *read = part->bytes ? yyjson_read(part->bytes, part->len, 0) : NULL;
	yyjson_mut_doc *doc = read ? yyjson_doc_mut_copy(read, NULL) : NULL;

	yyjson_doc_free(read);
	if (!doc)
		return; /* the metrics */
	redact(yyjson_mut_doc_get_root(doc));
	free(part->bytes);
	part->bytes = yyjson_mut_write(
		doc, YYJSON_WRITE_PRETTY_TWO_SPACES | YYJSON_WRITE_NEWLINE_AT_END, &part->len);
	if (!part->bytes)
		part->len = 0;
	yyjson_mut_doc_free(doc);
}

/* --- tar */

static void write_block(const void *bytes, size_t len, FILE *out)
{
	static const char zeros[TAR_BLOCK];

	if (len)
		fwrite(bytes, 1, len, out);
	if (len % TAR_BLOCK)
		fwrite(zeros, 1, TAR_BLOCK - len % TAR_BLOCK, out);
}

/* POSIX.1-1988, "ustar Interchange Format". */
static void write_file(const char *folder, const char *name, const struct part *part, FILE *out)
{
	static const char magic[8] = {'u', 's', 't', 'a', 'r', '\0', '0', '0'};
	char head[TAR_BLOCK] = "";
	unsigned int sum = 0;

	snprintf(head, 100, "%s/%s", folder, name);
	snprintf(head + 100, 24, "0000600%c0000000%c0000000", 0, 0);
	snprintf(head + 124, 12, "%011zo", part->len);
	snprintf(head + 136, 12, "%011llo", (unsigned long long)time(NULL));
	memset(head + 148, ' ', 8);
	head[156] = '0';
	memcpy(head + 257, magic, sizeof(magic));
	for (size_t i = 0; i < sizeof(head); i++)
		sum += (unsigned char)head[i];
	snprintf(head + 148, 8, "%06o", sum);
	write_block(head, sizeof(head), out);
	write_block(part->bytes, part->len, out);
}

static void write_end(FILE *out)
{
	static const char zeros[2 * TAR_BLOCK];

	fwrite(zeros, 1, sizeof(zeros), out);
}

/* --- parts */

static void write_host(const char *folder, FILE *out)
{
	struct part part = {0};
	struct utsname host;
	FILE *text = open_memstream(&part.bytes, &part.len);

	if (!text)
		return;
	fprintf(text, "sluicectl %s\n", SLUICE_VERSION);
	if (uname(&host) == 0)
		fprintf(text, "%s %s %s %s\n", host.sysname, host.release, host.version,
			host.machine);
	fprintf(text, "%ld CPUs, %ld MiB of memory\n", sysconf(_SC_NPROCESSORS_ONLN),
		sysconf(_SC_PHYS_PAGES) / 256 * (sysconf(_SC_PAGESIZE) / 4096));
	fclose(text);
	write_file(folder, "host.txt", &part, out);
	free(part.bytes);
}

/* What the daemon refuses (a role that does not suffice) is in the archive as its refusal. */
static int write_part(const struct invocation *invocation, size_t at, const char *folder, FILE *out)
{
	struct client_request request = {
		.where = &invocation->where,
		.method = "GET",
		.target = parts[at].target,
		.timeout_s = SUPPORT_TIMEOUT_S,
	};
	struct part part = {0};
	struct answer answer = {0};
	struct err err;

	if (client_stream(&request, take, &part, &answer, &err)) {
		fprintf(stderr, "sluicectl: %s\n", err.text);
		free(part.bytes);
		return EXIT_UNREACHABLE;
	}
	if (answer.status >= 300) {
		take(&part, answer.text, answer.len);
		client_answer_free(&answer);
	}
	redact_part(&part);
	write_file(folder, parts[at].file, &part, out);
	free(part.bytes);
	return EXIT_OK;
}

static int write_all(const struct invocation *invocation, const char *folder, FILE *out)
{
	int code = EXIT_OK;

	write_host(folder, out);
	for (size_t i = 0; i < array_len(parts) && code == EXIT_OK; i++)
		code = write_part(invocation, i, folder, out);
	write_end(out);
	return code;
}

static int write_to(const struct invocation *invocation, const char *folder, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), code;
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
	bool failed;

	if (!out) {
		fprintf(stderr, "sluicectl: %s: %s\n", path, strerror(errno));
		return EXIT_REFUSED;
	}
	code = write_all(invocation, folder, out);
	failed = ferror(out);
	if (fclose(out) == EOF || failed) {
		fprintf(stderr, "sluicectl: %s: %s\n", path, strerror(errno));
		code = EXIT_REFUSED;
	}
	if (code)
		unlink(path);
	else
		printf("%s\n", path);
	return code;
}

int run_support_dump(const struct invocation *invocation)
{
	char folder[64] = "sluice-support", path[80];
	time_t now = time(NULL);
	struct tm utc;

	if (gmtime_r(&now, &utc))
		strftime(folder, sizeof(folder), "sluice-support-%Y%m%dT%H%M%SZ", &utc);
	if (invocation->n_arguments > 0 && strcmp(invocation->arguments[0], "-") == 0)
		return write_all(invocation, folder, stdout);
	if (invocation->n_arguments > 0)
		return write_to(invocation, folder, invocation->arguments[0]);
	snprintf(path, sizeof(path), "%s.tar", folder);
	return write_to(invocation, folder, path);
}
