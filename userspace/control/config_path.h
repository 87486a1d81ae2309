/* The path of the setting that is being looked at ("listeners[web].timeouts.idle"), kept in one
 * buffer while walking down and up. Too long a path is cut: it only serves messages. */
#ifndef SLUICE_CONTROL_CONFIG_PATH_H
#define SLUICE_CONTROL_CONFIG_PATH_H

#include "control/config_settings.h"
#include <stdarg.h>

struct config_path {
	char text[384];
	size_t len;
};

static inline void config_path_append(struct config_path *path, const char *format, ...)
	printf_like(2, 3);

static inline void config_path_append(struct config_path *path, const char *format, ...)
{
	size_t room = sizeof(path->text) - path->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(path->text + path->len, room, format, args);
	va_end(args);
	if (n > 0)
		path->len += (size_t)n < room ? (size_t)n : room - 1;
}

/* Both return what config_path_cut() needs to come back. */
static inline size_t config_path_enter(struct config_path *path, const char *name)
{
	size_t before = path->len;

	config_path_append(path, "%s%s", before ? "." : "", name);
	return before;
}

/* `name` NULL: by number, from 0. */
static inline size_t config_path_item(struct config_path *path, const char *name, uint32_t number)
{
	size_t before = path->len;

	if (name)
		config_path_append(path, "[%s]", name);
	else
		config_path_append(path, "[%u]", number);
	return before;
}

static inline void config_path_cut(struct config_path *path, size_t before)
{
	path->len = before;
	path->text[before] = '\0';
}

#endif
