/* Parameters of a query ("a=1&b=2", WHATWG URL section 5.1), as they were sent. Pure. */
#ifndef SLUICE_HTTP_QUERY_H
#define SLUICE_HTTP_QUERY_H

#include "core/slice.h"

/* Cuts the next parameter off `rest`; without '=' its value is empty. Percent codes stay as they
 * are. False: there are no more. */
bool http_query_next(struct slice *rest, struct slice *ret_name, struct slice *ret_value);
/* The value of the first parameter of that name (case counts); .ptr NULL: there is none. */
struct slice http_query_find(struct slice query, struct slice name);

#endif
