/* Files of the log that a configuration names: see build.h. They are opened by logfile.c, later. */
#include "control/build_parts.h"
#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

void build_log(struct building *building)
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
