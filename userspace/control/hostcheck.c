/* What this host allows: see hostcheck.h. Sockets and their settings are in hostcheck_sockets.c, the
 * gate is in hostcheck_gate.c. */
#include "control/hostcheck_parts.h"

#include "core/confine.h"
#include "core/shared.h"
#include "core/slice.h"
#include "dataplane/dp_hostcheck.h"
#include "tls/library.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
	FILES_PER_CONNECTION = 2, /* the client's and the target's */
	OTHER_FILES = 256, /* besides those of connections */
	TEXT_BYTES = 512,
};

static void row_add(struct hostcheck *check, const char *name, const char *verdict,
	const char *format, va_list args)
{
	char text[TEXT_BYTES];

	vsnprintf(text, sizeof(text), format, args);
	render_table_cell(&check->table, "%s", name);
	render_table_cell(&check->table, "%s", verdict);
	render_table_cell(&check->table, "%s", text);
}

void hostcheck_row(struct hostcheck *check, const char *name, bool ok, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	row_add(check, name, ok ? "ok" : "no", format, args);
	va_end(args);
}

void hostcheck_required(struct hostcheck *check, const char *name, bool ok, const char *format, ...)
{
	va_list args;

	check->lacks_required |= !ok;
	va_start(args, format);
	row_add(check, name, ok ? "ok" : "REQUIRED", format, args);
	va_end(args);
}

static bool is_about_interface(const struct dp_hostcheck_row *row)
{
	return strcmp(row->name, "xdp_native") == 0 || strcmp(row->name, "xdp_generic") == 0 ||
	       strcmp(row->name, "af_xdp") == 0 || strcmp(row->name, "rx_vlan_offload") == 0;
}

/* Everything with the first interface; for the others what is theirs alone. */
static void check_dataplane(struct hostcheck *check)
{
	const struct config_xdp *xdp = check->config ? &check->config->xdp : NULL;
	uint32_t n = xdp && xdp->mode != CONFIG_XDP_OFF ? xdp->interfaces_count : 0, i;
	struct dp_hostcheck_row rows[DP_HOSTCHECK_MAX];
	size_t at, count;

	for (i = 0; i == 0 || i < n; i++) {
		count = dp_hostcheck(n ? xdp->interfaces[i] : NULL, rows);
		for (at = 0; at < count; at++)
			if (i == 0 || is_about_interface(&rows[at]))
				hostcheck_row(
					check, rows[at].name, rows[at].ok, "%s", rows[at].text);
	}
}

static void check_cpus(struct hostcheck *check)
{
	uint32_t workers = check->config ? check->config->workers : 0, n_cpus;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0) {
		hostcheck_row(check, "cpus", false, "%s: one worker", strerror(errno));
		return;
	}
	n_cpus = (uint32_t)CPU_COUNT(&set);
	if (!workers && n_cpus > SHARED_WORKERS_MAX)
		workers = SHARED_WORKERS_MAX;
	if (!workers || workers == n_cpus)
		hostcheck_row(
			check, "cpus", true, "%u: as many workers, each pinned to its CPU", n_cpus);
	else
		hostcheck_row(check, "cpus", false,
			"%u workers on %u CPUs: the kernel moves them about", workers, n_cpus);
}

static void check_files(struct hostcheck *check)
{
	uint64_t wanted = check->config ? check->config->limits.connections : 0, room;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
		hostcheck_row(check, "open_files", false, "%s", strerror(errno));
		return;
	}
	/* The daemon raises the soft limit to the hard one. */
	room = limit.rlim_max > OTHER_FILES ? (limit.rlim_max - OTHER_FILES) / FILES_PER_CONNECTION
					    : 0;
	if (limit.rlim_max == RLIM_INFINITY)
		hostcheck_row(check, "open_files", true, "no limit");
	else if (room == 0)
		hostcheck_required(check, "open_files", false,
			"%llu: not enough for a single connection (LimitNOFILE, ulimit -Hn)",
			(unsigned long long)limit.rlim_max);
	else if (room < wanted)
		hostcheck_row(check, "open_files", false,
			"%llu: about %llu connections, limits.connections is %llu (LimitNOFILE, "
			"ulimit -Hn)",
			(unsigned long long)limit.rlim_max, (unsigned long long)room,
			(unsigned long long)wanted);
	else
		hostcheck_row(check, "open_files", true, "%llu: about %llu connections",
			(unsigned long long)limit.rlim_max, (unsigned long long)room);
}

/* The first line of /proc/cpuinfo that lists features ("flags", on ARM "Features"), with a space
 * at its end; allocated, NULL if there is none. */
static char *cpu_flags(void)
{
	FILE *cpuinfo = fopen("/proc/cpuinfo", "re");
	char *line = NULL;
	size_t size = 0;
	bool found = false;

	while (cpuinfo && !found && getline(&line, &size, cpuinfo) > 0)
		found = strncmp(line, "flags", 5) == 0 || strncmp(line, "Features", 8) == 0;
	if (cpuinfo)
		fclose(cpuinfo);
	if (!found) {
		free(line);
		return NULL;
	}
	line[strcspn(line, "\n")] = ' ';
	return line;
}

static bool has_flag(const char *flags, const char *flag)
{
	size_t len = strlen(flag);
	const char *at;

	for (at = strstr(flags, flag); at; at = strstr(at + 1, flag))
		if (at > flags && at[-1] == ' ' && at[len] == ' ')
			return true;
	return false;
}

static void check_crypto(struct hostcheck *check)
{
	static const char *const useful[] = {"aes", "pclmulqdq", "pmull", "vaes", "vpclmulqdq",
		"sha_ni", "sha2", "adx", "bmi2", "avx2", "avx512ifma"};
	char *flags = cpu_flags(), found[TEXT_BYTES] = "";
	size_t len = 0, i;

	for (i = 0; flags && i < array_len(useful); i++)
		if (has_flag(flags, useful[i]))
			len += (size_t)snprintf(found + len, sizeof(found) - len, "%s%s",
				len ? " " : "", useful[i]);
	if (flags && has_flag(flags, "aes"))
		hostcheck_row(check, "cpu_crypto", true, "%s", found);
	else
		hostcheck_row(check, "cpu_crypto", false,
			"no AES instructions found (%s): AES records cost several times as much",
			len ? found : "none of use");
	free(flags);
}

/* What works without one of them is seen in the other rows. */
static void check_rights(struct hostcheck *check)
{
	char missing[CONFINE_TEXT_BYTES];
	const char *why;

	if (strcmp(confine_missing(missing), "none") == 0)
		hostcheck_row(check, "capabilities", true, "all that sluiced has a use for");
	else
		hostcheck_row(check, "capabilities", false,
			"missing: %s (AmbientCapabilities, securityContext.capabilities)", missing);
	if (confine_can_filter(&why))
		hostcheck_row(check, "seccomp", true, "calls of the kernel can be filtered");
	else
		hostcheck_row(check, "seccomp", false, "calls are not filtered: %s", why);
}

int hostcheck_print(FILE *out, const struct config *config)
{
	static const struct render_column columns[] = {
		{"CHECK", RENDER_TEXT}, {"", RENDER_TEXT}, {"WHAT", RENDER_TEXT}};
	struct hostcheck check = {.config = config};

	render_table_init(&check.table, columns, array_len(columns));
	check_rights(&check);
	check_dataplane(&check);
	hostcheck_gate(&check);
	hostcheck_sockets(&check);
	check_cpus(&check);
	check_files(&check);
	check_crypto(&check);
	hostcheck_row(&check, "tls_library", true, "%s", tls_library_version());
	render_table_print(&check.table, 0, out);
	render_table_fini(&check.table);
	if (check.lacks_required)
		fputs("sluiced cannot run here.\n", out);
	return check.lacks_required ? -ENOTSUP : 0;
}
