/* What the files of the host check share; nobody else includes it. See hostcheck.h. */
#ifndef SLUICE_CONTROL_HOSTCHECK_PARTS_H
#define SLUICE_CONTROL_HOSTCHECK_PARTS_H

#include "control/hostcheck.h"
#include "control/render_table.h"

struct hostcheck {
	const struct config *config; /* may be NULL */
	struct render_table table;
	bool lacks_required;
};

void hostcheck_row(struct hostcheck *check, const char *name, bool ok, const char *format, ...)
	printf_like(4, 5);
/* Something without which there is no sluiced. */
void hostcheck_required(struct hostcheck *check, const char *name, bool ok, const char *format, ...)
	printf_like(4, 5);

/* hostcheck_gate.c: SYN cookies, the TUN device, and what lies between it and accept(). */
void hostcheck_gate(struct hostcheck *check);

/* hostcheck_sockets.c: what is tried on the loopback interface, and its settings in /proc/sys. */
void hostcheck_sockets(struct hostcheck *check);

/* Two connected TCP sockets on loopback, and a pipe. */
struct hostcheck_probe {
	int listener, client, server, pipe[2];
};

/* 0 or -errno; it can be closed in any case. */
int hostcheck_probe_open(struct hostcheck_probe *ret_probe) must_check;
void hostcheck_probe_close(struct hostcheck_probe *probe);

/* hostcheck_ktls.c: where loopback works. */
void hostcheck_ktls(struct hostcheck *check);

#endif
