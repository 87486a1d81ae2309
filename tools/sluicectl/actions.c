/* Commands that change something: reload, purge. */
#include "answer.h"
#include "client.h"
#include "sluicectl.h"

#include "control/admin_socket.h"
#include "dataplane/dataplane.h"

#include <errno.h>
#include <string.h>

enum { RELOAD_TIMEOUT_S = 300 }; /* 100,000 certificates on a slow disk */

int run_reload(const struct invocation *invocation)
{
	const char *target = invocation->dry_run ? "/v1/reload?dry_run=1" : "/v1/reload";
	struct render_look look = {0};
	struct answer answer;
	struct err err;
	int code;

	if (client_ask(invocation->socket_path, "POST", target, RELOAD_TIMEOUT_S, &answer, &err)) {
		fprintf(stderr, "sluicectl: %s\n", err.text);
		return EXIT_UNREACHABLE;
	}
	code = answer_print(&answer, invocation, render_reload, &look, stdout);
	client_answer_free(&answer);
	return code;
}

/* A daemon that is alive keeps what it has: also one that is stopped or hangs. */
static int refuse_while_alive(const struct invocation *invocation)
{
	pid_t pid = 0;
	int rc = admin_socket_owner(invocation->socket_path, &pid);

	if (rc > 0)
		fprintf(stderr,
			"sluicectl: purge: a daemon (pid %d) is alive on %s: stop it first; an "
			"orderly stop leaves nothing to purge\n",
			(int)pid, invocation->socket_path);
	else if (rc < 0)
		fprintf(stderr, "sluicectl: purge: cannot tell whether a daemon lives on %s: %s\n",
			invocation->socket_path, strerror(-rc));
	return rc ? EXIT_REFUSED : EXIT_OK;
}

int run_purge(const struct invocation *invocation)
{
	struct err err = {""};
	int pins, code = refuse_while_alive(invocation);
	int sockets;

	if (code != EXIT_OK)
		return code;
	pins = dataplane_purge(invocation->pin_dir, &err);
	if (pins < 0) {
		fprintf(stderr, "sluicectl: purge: %s\n", *err.text ? err.text : strerror(-pins));
		return EXIT_REFUSED;
	}
	sockets = admin_socket_purge(invocation->socket_path, &err);
	if (sockets < 0) {
		fprintf(stderr, "sluicectl: purge: %s\n", err.text);
		return EXIT_REFUSED;
	}
	if (pins + sockets == 0)
		puts("nothing was left to remove");
	else
		printf("removed: %d pins in the kernel, %d stale sockets\n", pins, sockets);
	return EXIT_OK;
}
