/* The target of a request with its parameters, %XX encoded. */
#ifndef SLUICECTL_REQUEST_TARGET_H
#define SLUICECTL_REQUEST_TARGET_H

#include "core/attr.h"

char *target_new(const char *path) must_check;
/* Frees `target`, returns the longer one. */
char *target_add(char *target, const char *name, const char *value) must_check;

#endif
