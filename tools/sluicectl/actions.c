/* Commands that change something: reload, cookies, purge. */
#include "answer.h"
#include "client.h"
#include "request_target.h"
#include "sluicectl.h"

#include "control/admin_socket.h"
#include "dataplane/dataplane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	RELOAD_TIMEOUT_S = 300, /* 100,000 certificates on a slow disk */
	SHORT_TIMEOUT_S = 10,
};

int run_request(const struct invocation *invocation, const struct client_request *request,
	render_function *render)
{
	struct render_look look = look_now(invocation);
	struct answer answer;
	struct err err;
	int code;

	if (client_ask(request, &answer, &err)) {
		fprintf(stderr, "sluicectl: %s\n", err.text);
		return EXIT_UNREACHABLE;
	}
	code = answer_print(&answer, invocation, render, &look, stdout);
	client_answer_free(&answer);
	return code;
}

int run_reload(const struct invocation *invocation)
{
	char *target = target_new("/v1/reload");
	struct client_request request = {
		.where = &invocation->where,
		.method = "POST",
		.timeout_s = RELOAD_TIMEOUT_S,
	};
	int code;

	if (invocation->dry_run)
		target = target_add(target, "dry_run", "1");
	if (invocation->existing)
		target = target_add(target, "existing", invocation->existing);
	request.target = target;
	code = run_request(invocation, &request, render_reload);
	free(target);
	return code;
}

static int ask(const struct invocation *invocation, const char *method, const char *target,
	render_function *render)
{
	struct client_request request = {
		.where = &invocation->where,
		.method = method,
		.target = target,
		.timeout_s = SHORT_TIMEOUT_S,
	};

	return run_request(invocation, &request, render);
}

/* Of a command that there is one thing to do with. */
static bool is_it(const struct invocation *invocation, const char *what)
{
	return invocation->n_arguments && strcmp(invocation->arguments[0], what) == 0;
}

int run_cookies(const struct invocation *invocation)
{
	if (!is_it(invocation, "rotate"))
		return usage("cookies: there is one thing to do:", "cookies rotate");
	return ask(invocation, "POST", "/v1/cookies/rotate", render_rotated);
}

int run_ready(const struct invocation *invocation)
{
	return ask(invocation, "GET", "/v1/ready", render_state);
}

int run_drain(const struct invocation *invocation)
{
	return ask(invocation, "POST", "/v1/drain", render_state);
}

int run_upgrade(const struct invocation *invocation)
{
	char *target = target_new("/v1/upgrade");
	struct client_request request = {
		.where = &invocation->where,
		.method = "POST",
		.timeout_s = RELOAD_TIMEOUT_S,
	};
	int code;

	if (invocation->n_arguments)
		target = target_add(target, "program", invocation->arguments[0]);
	request.target = target;
	code = run_request(invocation, &request, render_upgrade);
	free(target);
	return code;
}

int run_log(const struct invocation *invocation)
{
	if (!is_it(invocation, "reopen"))
		return usage("log: there is one thing to do:", "log reopen");
	return ask(invocation, "POST", "/v1/log/reopen", render_reopened);
}

/* A daemon that is alive keeps what it has: also one that is stopped or hangs. */
static int refuse_while_alive(const struct invocation *invocation)
{
	pid_t pid = 0;
	int rc = admin_socket_owner(invocation->where.socket_path, &pid);

	if (rc > 0)
		fprintf(stderr,
			"sluicectl: purge: a daemon (pid %d) is alive on %s: stop it first; an "
			"orderly stop leaves nothing to purge\n",
			(int)pid, invocation->where.socket_path);
	else if (rc < 0)
		fprintf(stderr, "sluicectl: purge: cannot tell whether a daemon lives on %s: %s\n",
			invocation->where.socket_path, strerror(-rc));
	return rc ? EXIT_REFUSED : EXIT_OK;
}

int run_purge(const struct invocation *invocation)
{
	struct err err = {""};
	int pins, code = refuse_while_alive(invocation);
	int sockets;

	if (invocation->where.address)
		return usage("--address is not for", "purge");
	if (code != EXIT_OK)
		return code;
	pins = dataplane_purge(invocation->pin_dir, &err);
	if (pins < 0) {
		fprintf(stderr, "sluicectl: purge: %s\n", *err.text ? err.text : strerror(-pins));
		return EXIT_REFUSED;
	}
	sockets = admin_socket_purge(invocation->where.socket_path, &err);
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
