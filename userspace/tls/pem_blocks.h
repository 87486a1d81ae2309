/* The blocks of a PEM text one by one, with their lines for messages. Pure; any thread. */
#ifndef SLUICE_TLS_PEM_BLOCKS_H
#define SLUICE_TLS_PEM_BLOCKS_H

#include "core/attr.h"
#include "core/err.h"
#include "core/slice.h"
#include <stdint.h>

struct pem_text {
	struct slice rest;
	uint32_t line; /* of the beginning of `rest`, from 1 */
};

struct pem_block {
	struct slice label; /* "CERTIFICATE" */
	struct slice text;  /* from its first dash to its last */
	uint32_t line;
};

/* 1: a block; 0: there are no more; -EINVAL: one does not end (the text names the line). */
int pem_block_next(struct pem_text *text, struct pem_block *ret_block, struct err *err) must_check;

#endif
