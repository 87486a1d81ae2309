/* What can run out, and the node's level: see overload.h. */
#define LOG_MODULE "overload"
#include "control/overload.h"
#include "control/daemon.h"
#include "core/log.h"

#include <dirent.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	LOOK_MS = 100,
	/* At rest: so long, and each time a cheap look whether it is. What the CPUs spend meanwhile is
	 * no more than waking up takes; each page that is filled costs some. */
	REST_MS = 1000,
	REST_LOOK_MS = 250,
	REST_US = 1000,
	REST_WORKER_US = 400, /* beside that, of each */
	/* Kept from workers, for health checks, admin clients and files. */
	RESERVE_SHARE = 16,
	RESERVE_MIN = 16,
	RESERVE_MAX = 1024,
	TARGETS_SHARE = 8, /* of the workers', for connections to targets */
	PAUSED_FILES = 90,
	/* Each time takes the lock of one part of the heap after the other, from workers, too. */
	TRIM_MS = 5000,
	TRIM_GIVEN_UP_MS = 60000,
	TRIM_AFTER_MS = 500, /* for the others to end, too; well below FEW_MS of the gauge */
};

static const uint8_t marks_of[OVERLOAD_RESOURCES][OVERLOAD_LEVELS] = {
	/* A request that waits for a descriptor gets one when another ends: it is not refused. */
	[OVERLOAD_FILES] = {0, 80, PAUSED_FILES, 0},
	[OVERLOAD_MEMORY] = {0, 85, 92, 96},
	[OVERLOAD_OWN_MEMORY] = {0, 85, 92, 96},
	/* Beyond it whoever comes is refused. */
	[OVERLOAD_CONNECTIONS] = {0, 90, 0, 0},
};

const char *overload_resource_name(enum overload_resource resource)
{
	static const char *const names[] = {
		[OVERLOAD_FILES] = "files",
		[OVERLOAD_MEMORY] = "cgroup_memory",
		[OVERLOAD_OWN_MEMORY] = "memory",
		[OVERLOAD_CONNECTIONS] = "connections",
	};

	return names[resource];
}

const char *overload_level_name(enum overload_level level)
{
	static const char *const names[] = {
		"none", "keep_alive_short", "accept_paused", "shedding"};

	return names[level];
}

/* Before Linux 6.2 the size says nothing. */
static uint64_t count_files(void)
{
	uint64_t n = 0;
	DIR *dir = opendir("/proc/self/fd");

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n > 3 ? n - 3 : 0; /* ".", "..", its own */
}

static uint64_t files_in_use(void)
{
	struct stat about;

	if (stat("/proc/self/fd", &about) == 0 && about.st_size > 0)
		return (uint64_t)about.st_size;
	return count_files();
}

/* Workers' descriptors are below; 0: there is no limit. */
static uint32_t files_max(void)
{
	struct rlimit limit;
	rlim_t reserve;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
		limit.rlim_cur > INT32_MAX)
		return 0;
	reserve = limit.rlim_cur / RESERVE_SHARE;
	if (reserve < RESERVE_MIN)
		reserve = RESERVE_MIN;
	if (reserve > RESERVE_MAX)
		reserve = RESERVE_MAX;
	return limit.rlim_cur > reserve ? (uint32_t)(limit.rlim_cur - reserve) : 1;
}

/* What nobody could take back: resident and of no file. */
static uint64_t own_memory(void)
{
	unsigned long long size_pages, rss_pages, shared_pages;
	FILE *statm = fopen("/proc/self/statm", "re");
	uint64_t pages = 0;

	if (statm && fscanf(statm, "%llu %llu %llu", &size_pages, &rss_pages, &shared_pages) == 3 &&
		rss_pages > shared_pages)
		pages = rss_pages - shared_pages;
	if (statm)
		fclose(statm);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* For people: bytes in MiB. */
static void write_use(
	const struct overload *overload, enum overload_resource resource, char *text, size_t size)
{
	const struct overload_gauge *gauge = &overload->gauges[resource];
	bool is_bytes = resource == OVERLOAD_MEMORY || resource == OVERLOAD_OWN_MEMORY;
	uint64_t unit = is_bytes ? 1024 * 1024 : 1;

	if (!gauge->limit) {
		snprintf(text, size, "%s: there is no limit any more",
			overload_resource_name(resource));
		return;
	}
	snprintf(text, size, "%s: %" PRIu64 " of %" PRIu64 "%s in use",
		overload_resource_name(resource), gauge->used / unit, gauge->limit / unit,
		is_bytes ? " MiB" : "");
}

static void tell_change(
	const struct overload *overload, enum overload_resource resource, enum overload_level level)
{
	static const char *const done[] = {
		"no load is shed any more",
		"clients that wait for a second between requests are sent away",
		"nobody is accepted for now, and no connection is kept alive",
		"requests are answered 503",
	};
	char text[128];

	write_use(overload, resource, text, sizeof(text));
	if (level == OVERLOAD_SHORT && overload->gauges[resource].has_given_up)
		log_error("%s, and ending connections does not lower it: accepting goes on", text);
	else if (level == OVERLOAD_NONE)
		log_info("%s: %s", text, done[level]);
	else
		log_warn("%s: %s", text, done[level]);
}

/* The node's level is that of the resource that is shortest. */
static void go_by(struct daemon *daemon, enum overload_resource last)
{
	struct overload *overload = &daemon->overload;
	enum overload_resource resource, shortest = last;
	uint32_t i;

	for (resource = 0; resource < OVERLOAD_RESOURCES; resource++)
		if (overload->gauges[resource].level > overload->gauges[shortest].level)
			shortest = resource;
	if (overload->gauges[shortest].level == overload->level)
		return;
	overload->level = overload->gauges[shortest].level;
	overload->n_changes++;
	atomic_store_explicit(&daemon->node.overload, overload->level, memory_order_relaxed);
	for (i = 0; i < daemon->env.n_workers; i++)
		worker_wake(&daemon->workers[i]);
	tell_change(overload, shortest, overload->level);
}

static uint32_t open_connections(const struct daemon *daemon)
{
	return atomic_load_explicit(&daemon->node.open, memory_order_relaxed);
}

static void tell_gauge(
	struct daemon *daemon, enum overload_resource resource, uint64_t used, uint64_t limit)
{
	uint64_t now_ms = loop_now_ms(daemon->io.loop);

	if (overload_gauge_tell(&daemon->overload.gauges[resource], used, limit,
		    open_connections(daemon), now_ms))
		go_by(daemon, resource);
}

static void look_at_files(struct daemon *daemon)
{
	uint32_t max = files_max();
	uint64_t used = files_in_use();

	/* It came to that between two looks. */
	if (atomic_exchange_explicit(
		    &daemon->node.is_short_of_files, false, memory_order_relaxed) &&
		used * 100 < (uint64_t)max * PAUSED_FILES)
		used = (uint64_t)max * PAUSED_FILES / 100 + 1;
	atomic_store_explicit(&daemon->node.files_max, max, memory_order_relaxed);
	atomic_store_explicit(
		&daemon->node.accept_max, max - max / TARGETS_SHARE, memory_order_relaxed);
	tell_gauge(daemon, OVERLOAD_FILES, used, max);
}

static void look_at_memory(struct daemon *daemon)
{
	uint64_t used, limit, own = daemon->build ? daemon->build->config->limits.memory_bytes : 0;

	if (cgroup_memory_read(&daemon->overload.group, &used, &limit))
		tell_gauge(daemon, OVERLOAD_MEMORY, used, limit);
	else
		tell_gauge(daemon, OVERLOAD_MEMORY, 0, 0);
	tell_gauge(daemon, OVERLOAD_OWN_MEMORY, own ? own_memory() : 0, own);
}

static void trim(struct job *job)
{
	malloc_trim(0);
}

static void has_trimmed(struct job *job)
{
	container_of(job, struct overload, trim)->is_trimming = false;
}

/* Most connections have ended, and are not judged by it before what they had is given back. */
static bool is_due(
	const struct overload *overload, const struct overload_gauge *gauge, uint64_t now_ms)
{
	uint64_t due_ms = gauge->few_since_ms + TRIM_AFTER_MS;

	return gauge->is_ending && gauge->few_since_ms && overload->trimmed_ms < due_ms &&
	       now_ms >= due_ms;
}

/* What connections had that have ended may still be the process's. */
static void trim_memory(struct daemon *daemon)
{
	struct overload *overload = &daemon->overload;
	const struct overload_gauge *group = &overload->gauges[OVERLOAD_MEMORY];
	const struct overload_gauge *own = &overload->gauges[OVERLOAD_OWN_MEMORY];
	uint64_t now_ms = loop_now_ms(daemon->io.loop), every_ms;

	if (is_due(overload, group, now_ms) || is_due(overload, own, now_ms))
		every_ms = 0;
	else if (group->level >= OVERLOAD_PAUSED || own->level >= OVERLOAD_PAUSED)
		every_ms = TRIM_MS;
	else if (group->has_given_up || own->has_given_up)
		every_ms = TRIM_GIVEN_UP_MS;
	else
		return;
	if (overload->is_trimming || !daemon->loader ||
		(overload->trimmed_ms && now_ms - overload->trimmed_ms < every_ms))
		return;
	overload->trimmed_ms = now_ms;
	overload->is_trimming = true;
	loader_submit(daemon->loader, &overload->trim);
}

/* Of all threads. */
static uint64_t cpu_us(void)
{
	struct timespec used = {0};

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
}

static bool is_half_used(const struct overload_gauge *gauge)
{
	return gauge->limit && gauge->used > gauge->limit / 2;
}

/* Nothing can have become short since the look before. */
static bool is_at_rest(struct daemon *daemon)
{
	struct overload *overload = &daemon->overload;
	const struct overload_gauge *gauges = overload->gauges;
	uint64_t before_us = overload->cpu_us;

	overload->cpu_us = cpu_us();
	return overload->cpu_us - before_us <=
		       REST_US + (uint64_t)REST_WORKER_US * daemon->env.n_workers &&
	       overload->level == OVERLOAD_NONE &&
	       loop_now_ms(daemon->io.loop) - overload->looked_ms < REST_MS &&
	       gauges[OVERLOAD_CONNECTIONS].used == open_connections(daemon) &&
	       !is_half_used(&gauges[OVERLOAD_FILES]) && !is_half_used(&gauges[OVERLOAD_MEMORY]) &&
	       !is_half_used(&gauges[OVERLOAD_OWN_MEMORY]) &&
	       !atomic_load_explicit(&daemon->node.is_short_of_files, memory_order_relaxed);
}

static void look_at_all(struct daemon *daemon)
{
	daemon->overload.looked_ms = loop_now_ms(daemon->io.loop);
	look_at_files(daemon);
	look_at_memory(daemon);
	trim_memory(daemon);
	tell_gauge(daemon, OVERLOAD_CONNECTIONS, open_connections(daemon),
		atomic_load_explicit(&daemon->node.max_connections, memory_order_relaxed));
}

static void look(struct timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, overload.timer);

	bool rests = is_at_rest(daemon);

	if (!rests)
		look_at_all(daemon);
	timer_set(daemon->io.loop, timer, rests ? REST_LOOK_MS : LOOK_MS);
}

void overload_start(struct daemon *daemon)
{
	struct overload *overload = &daemon->overload;
	enum overload_resource resource;
	int level;

	for (resource = 0; resource < OVERLOAD_RESOURCES; resource++)
		for (level = 0; level < OVERLOAD_LEVELS; level++)
			overload->gauges[resource].marks[level] = marks_of[resource][level];
	cgroup_memory_init(&overload->group, "/proc/self/cgroup", "/sys/fs/cgroup");
	overload->gauges[OVERLOAD_FILES].is_exact = true;
	overload->trim = (struct job){.run = trim, .done = has_trimmed};
	overload->timer.fire = look;
	look_at_all(daemon);
	timer_set(daemon->io.loop, &overload->timer, LOOK_MS);
}

void overload_stop(struct daemon *daemon)
{
	timer_clear(&daemon->overload.timer);
}
