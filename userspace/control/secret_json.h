/* Memory for JSON that has keys in it: yyjson gives it back through here, and it is wiped. Any thread. */
#ifndef SLUICE_CONTROL_SECRET_JSON_H
#define SLUICE_CONTROL_SECRET_JSON_H

#include <yyjson.h>

extern const yyjson_alc secret_json_memory;

#endif
