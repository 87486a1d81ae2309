/* One connection as JSON, in the shape of docs/api.md. Pure; any thread. */
#ifndef SLUICE_CONTROL_CONNECTIONS_ROW_H
#define SLUICE_CONTROL_CONNECTIONS_ROW_H

#include "control/connections_page.h"

/* An object in one line, without its end; malloc'd. */
char *connections_row_json(const struct connections_row *row, size_t *ret_len);

#endif
