/* Files of logs that a configuration names: see build.h. They are opened by logfile.c, later. */
#include "control/build_access.h"
#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SETTING_BYTES = 128 };

/* Nothing is made of a configuration that may yet be refused. 0 or -errno. */
static int may_write(const char *path)
{
	char *copy;
	int r = 0;

	if (access(path, W_OK) == 0)
		return 0;
	if (errno != ENOENT)
		return -errno;
	copy = mem_strdup(path);
	if (access(dirname(copy), W_OK | X_OK) < 0)
		r = -errno;
	free(copy);
	return r;
}

static void check_connections(struct building *building)
{
	const struct config_log *log = &building->build->config->log;
	int r;

	if (!log->connections_path)
		return;
	r = may_write(log->connections_path);
	if (r < 0)
		config_errors_add(building->errors,
			config_mark(building->build->config, &log->connections_path, log->mark),
			"log.connections", "cannot write %s: %s", log->connections_path,
			strerror(-r));
}

/* --- access logs */

/* Another listener before it with the same file and another format, or NULL. */
static const struct config_listener *other_format(
	const struct config *config, const struct config_listener *wanted)
{
	const struct config_listener *other;

	for (other = config->listeners; other < wanted; other++)
		if (build_text_eq(other->access_log.path, wanted->access_log.path) &&
			other->access_log.format != wanted->access_log.format)
			return other;
	return NULL;
}

static void check_access_log(struct building *building, const struct config_listener *wanted)
{
	const struct config *config = building->build->config;
	const struct config_access_log *log = &wanted->access_log;
	const struct config_listener *other = other_format(config, wanted);
	struct config_mark mark = config_mark(config, &log->path, log->mark);
	char setting[SETTING_BYTES];
	int r = may_write(log->path);

	snprintf(setting, sizeof(setting), "listeners[%s].access_log.path", wanted->name);
	if (r < 0)
		config_errors_add(building->errors, mark, setting, "cannot write %s: %s", log->path,
			strerror(-r));
	else if (build_text_eq(log->path, config->log.connections_path))
		config_errors_add(building->errors, mark, setting,
			"%s is the file of log.connections: name another one", log->path);
	else if (other)
		config_errors_add(building->errors, mark, setting,
			"listener %s has this file, too, in another format: name another file, or "
			"set the same access_log.format",
			other->name);
}

static struct access_file *find(const struct build *build, const char *path)
{
	uint32_t i;

	for (i = 0; build && i < build->n_access_files; i++)
		if (strcmp(build->access_files[i]->path, path) == 0)
			return build->access_files[i];
	return NULL;
}

static void add_access_file(struct building *building, const char *path)
{
	struct access_file *file = find(building->before, path);
	struct build *build = building->build;

	if (file)
		shared_get(&file->output.shared);
	else
		file = access_file_new(path, building->env->n_workers);
	build->access_files[build->n_access_files++] = file;
}

void build_access_files(struct building *building)
{
	struct build *build = building->build;
	uint32_t i, n = build->config->listeners_count;

	build->access_files = mem_zalloc((n + 1) * sizeof(struct access_file *));
	for (i = 0; i < n; i++) {
		const char *path = build->config->listeners[i].access_log.path;

		if (path && !find(build, path))
			add_access_file(building, path);
	}
}

struct access_file *build_access_file(
	const struct build *build, const struct config_listener *wanted)
{
	return wanted->access_log.path ? find(build, wanted->access_log.path) : NULL;
}

void build_access_files_free(struct build *build)
{
	uint32_t i;

	for (i = 0; i < build->n_access_files; i++)
		shared_put(&build->access_files[i]->output.shared);
	free(build->access_files);
}

void build_log(struct building *building)
{
	const struct config *config = building->build->config;
	uint32_t i;

	check_connections(building);
	for (i = 0; i < config->listeners_count; i++)
		if (config->listeners[i].access_log.path)
			check_access_log(building, &config->listeners[i]);
	build_access_files(building);
}
