/* Settings of an object, as a person writes them: YAML as in the configuration file, or JSON. One thread. */
#ifndef SLUICECTL_SETTINGS_FILE_H
#define SLUICECTL_SETTINGS_FILE_H

#include <yyjson.h>

/* "-" is standard input. The caller frees it; NULL: it has been said what is wrong, and where. */
yyjson_mut_doc *settings_file_read(const char *path);

#endif
