/*
 * The secret of the SYN cookies from a file that several nodes share. Any thread.
 */
#ifndef SLUICE_CONTROL_SECRETS_H
#define SLUICE_CONTROL_SECRETS_H

#include "core/err.h"
#include "dataplane/dp_gate.h"

/* One or two lines of 32 hexadecimal digits; the first signs, the second is believed too. Empty
 * lines and lines that begin with # do not count. -errno of the file, -EINVAL with the line. */
int secrets_read(const char *path, struct dp_cookie_secret *ret_secret, struct err *err) must_check;

#endif
