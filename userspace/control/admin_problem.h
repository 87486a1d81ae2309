/* Errors of the admin API as problem details (RFC 9457). Pure; any thread. */
#ifndef SLUICE_CONTROL_ADMIN_PROBLEM_H
#define SLUICE_CONTROL_ADMIN_PROBLEM_H

#include <stdbool.h>
#include <yyjson.h>

#define ADMIN_PROBLEM_TYPE "application/problem+json"

/* An answer {"error": {"code", "message", "errors"}} gets the members of a problem beside it: type,
 * title, status, detail, code, and of each line of errors the object, place and setting apart. False: it
 * is no such answer. */
bool admin_problem_complete(yyjson_mut_doc *doc, unsigned int http_status);

#endif
