/* What the files of certdir share; nobody else includes it. See certdir.h. */
#ifndef SLUICE_CONTROL_CERTDIR_PARTS_H
#define SLUICE_CONTROL_CERTDIR_PARTS_H

#include "control/certdir.h"

#include "tls/certmap.h"
#include <stdatomic.h>
#include <sys/types.h>

struct fault {
	atomic_uint refs;
	uint64_t identity, key_identity; /* of the files that are bad */
	char *text;
	char file[]; /* the certificate's */
};

struct certdir {
	atomic_uint refs;
	struct cert_source *source;
	struct certmap *pairs;  /* struct cert, by certificate file */
	struct certmap *faults; /* struct fault, likewise */
	dev_t root_device; /* which folder it was */
	ino_t root_inode;
};

extern const struct certmap_ops certdir_pair_ops, certdir_fault_ops;

void certdir_fault_put(struct fault *fault);
/* NULL: it has none of that certificate file; `dir` may be NULL. */
struct cert *certdir_find(const struct certdir *dir, struct slice file);
struct fault *certdir_find_fault(const struct certdir *dir, struct slice file);
void *certdir_next_value(const struct certmap *map, struct certdir_cursor *cursor);

#endif
