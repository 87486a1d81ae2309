/* Files of access logs of a generation. Made by build_log.c; see build.h. */
#ifndef SLUICE_CONTROL_BUILD_ACCESS_H
#define SLUICE_CONTROL_BUILD_ACCESS_H

#include "control/access_file.h"
#include "control/build_parts.h"

/* One for each path, those of the generation before where it has them. */
void build_access_files(struct building *building);
/* NULL: it has none. Not counted. */
struct access_file *build_access_file(
	const struct build *build, const struct config_listener *wanted);
void build_access_files_free(struct build *build);

#endif
