/* The admin API: the table of commands, and who may use which. See admin.h, admin_conn.h. */
#include "control/admin_conn.h"

#include "http/syntax.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "admin"
#include "core/log.h"

struct command {
	const char *path;
	enum admin_method method;
	const char *parameters; /* separated by spaces */
	/* One of the two. */
	int (*view)(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
	void (*call)(void *arg, const struct admin_call *call, struct admin_reply *reply);
};

enum command_id {
#define VIEW(path, name, help)                                     COMMAND_##name,
#define CALL(method, path, name, role, parameters, body_max, help) COMMAND_##name,
#include "control/api.def"
#undef VIEW
#undef CALL
	N_COMMANDS
};

/* What is asked of every request, before the command is begun. */
struct command_terms {
	const char *path;
	enum admin_method method;
	enum admin_role role;
	size_t body_max;
};

static const struct command_terms all_terms[] = {
#define VIEW(path, name, help) {path, ADMIN_GET, ADMIN_ROLE_READ, 0},
#define CALL(method, path, name, role, parameters, body_max, help)                                 \
	{path, ADMIN_##method, ADMIN_ROLE_##role, body_max},
#include "control/api.def"
#undef VIEW
#undef CALL
};

static const struct slice metrics_path = {"/metrics", 8}; /* where Prometheus looks */

static struct command command_get(const struct admin_source *source, enum command_id id)
{
	switch (id) {
#define VIEW(path, name, help)                                                                     \
	case COMMAND_##name:                                                                       \
		return (struct command){path, ADMIN_GET, "", source->name, NULL};
#define CALL(method, path, name, role, parameters, body_max, help)                                 \
	case COMMAND_##name:                                                                       \
		return (struct command){path, ADMIN_##method, parameters, NULL, source->name};
#include "control/api.def"
#undef VIEW
#undef CALL
	case N_COMMANDS:
		break;
	}
	return (struct command){0};
}

static struct slice real_path(struct slice path)
{
	return slice_eq(path, metrics_path) ? slice_of(all_terms[COMMAND_metrics].path) : path;
}

static void run_view(struct admin *admin, const struct command *command, struct admin_reply *reply)
{
	yyjson_mut_doc *doc = admin_doc_new();
	int rc = command->view(admin->arg, doc, yyjson_mut_doc_get_root(doc));

	if (rc == 0) {
		admin_reply_finish(reply, 200, doc);
		return;
	}
	yyjson_mut_doc_free(doc);
	log_warn("%s: cannot be answered: %s", command->path, strerror(-rc));
	admin_reply_error(
		reply, 500, "internal", "%s cannot be answered: %s", command->path, strerror(-rc));
}

static void refuse_parameter(
	const struct command *command, struct slice name, struct admin_reply *reply)
{
	int len = (int)(name.len < 64 ? name.len : 64);

	if (*command->parameters)
		admin_reply_error(reply, 400, "bad_request",
			"%s has no parameter \"%.*s\"; there is: %s", command->path, len, name.ptr,
			command->parameters);
	else
		admin_reply_error(reply, 400, "bad_request",
			"%s takes no parameters, and \"%.*s\" was given", command->path, len,
			name.ptr);
}

static void run_command(struct admin *admin, const struct command *command,
	const struct admin_call *call, struct admin_reply *reply)
{
	struct slice stranger = admin_query_stranger(call->query, command->parameters);

	if (!command->view && !command->call)
		admin_reply_error(reply, 501, "not_implemented", "this daemon does not offer %s",
			command->path);
	else if (stranger.len > 0)
		refuse_parameter(command, stranger, reply);
	else if (command->call)
		command->call(admin->arg, call, reply);
	else
		run_view(admin, command, reply);
}

/* "GET, HEAD, PUT": what a path is good for. */
static void add_allowed(enum admin_method method, char ret_allow[static 48])
{
	static const char *const words[] = {[ADMIN_GET] = "GET, HEAD",
		[ADMIN_POST] = "POST",
		[ADMIN_PUT] = "PUT",
		[ADMIN_PATCH] = "PATCH",
		[ADMIN_DELETE] = "DELETE"};
	size_t used = strlen(ret_allow);

	snprintf(ret_allow + used, 48 - used, "%s%s", used ? ", " : "", words[method]);
}

/* Part by part; what stands where the pattern has {} goes to `ret_arguments` (NULL: nowhere). */
static bool path_fits(
	struct slice path, const char *pattern, char (*ret_arguments)[ADMIN_ARGUMENT_BYTES])
{
	size_t n = 0, i = 0;

	for (; *pattern; pattern++) {
		size_t begin = i;

		if (*pattern != '{') {
			if (i == path.len || path.ptr[i] != *pattern)
				return false;
			i++;
			continue;
		}
		while (i < path.len && path.ptr[i] != '/')
			i++;
		if (i == begin ||
			(ret_arguments && !admin_decode((struct slice){path.ptr + begin, i - begin},
						  ret_arguments[n], ADMIN_ARGUMENT_BYTES)))
			return false;
		n++;
		pattern++; /* '}' */
	}
	return i == path.len;
}

/* They are for who may change them. */
static bool may_not_see_secrets(const struct admin *admin, const struct admin_conn *conn)
{
	return admin->kind != ADMIN_LOCAL && conn->known.role < ADMIN_ROLE_ADMIN;
}

void admin_dispatch(
	struct admin *admin, const struct admin_request *request, struct admin_reply *reply)
{
	enum admin_method method = request->method == ADMIN_HEAD ? ADMIN_GET : request->method;
	struct slice path = real_path(request->path);
	struct admin_call call = {.query = request->query,
		.body = request->body,
		.redact = may_not_see_secrets(admin, reply->conn),
		.if_match = request->if_match,
		.if_none_match = request->if_none_match};
	int id;

	for (id = 0; id < N_COMMANDS; id++) {
		struct command command = command_get(admin->source, (enum command_id)id);

		if (!path_fits(path, command.path, call.arguments))
			continue;
		if (command.method == method) {
			reply->allow[0] = '\0';
			run_command(admin, &command, &call, reply);
			return;
		}
		add_allowed(command.method, reply->allow);
	}
	if (*reply->allow)
		admin_reply_error(reply, 405, "method_not_allowed", "%.*s: the method is %s",
			(int)request->path.len, request->path.ptr, reply->allow);
	else
		admin_reply_error(reply, 404, "not_found",
			"no such path: %.*s (docs/api.md lists them)",
			(int)(request->path.len < 256 ? request->path.len : 256),
			request->path.ptr);
}

/* --- who may ask for what */

static struct slice header(const struct http_request *http, struct slice name)
{
	const struct http_header *found = http_headers_find_name(&http->headers, name);

	return found ? found->value : SLICE("");
}

/* A page of another site that has a browser send its requests here may resolve a name of its own to
 * this machine: a name that is in no public DNS, or an address, is not such a one. */
static bool is_foreign_name(struct slice host)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr address;

	if (host.len == 0 || host.ptr[0] == '[' || !memchr(host.ptr, '.', host.len))
		return false;
	if (host.len >= sizeof(text))
		return true;
	memcpy(text, host.ptr, host.len);
	text[host.len] = '\0';
	return inet_pton(AF_INET, text, &address) != 1;
}

/* "https://HOST": the page that asks is from here. */
static bool is_own_origin(struct slice origin, struct slice authority)
{
	static const char marks[] = "://";
	const char *at = memmem(origin.ptr, origin.len, marks, sizeof(marks) - 1);
	size_t skip = at ? (size_t)(at - origin.ptr) + sizeof(marks) - 1 : 0;

	return at &&
	       slice_eq_nocase((struct slice){origin.ptr + skip, origin.len - skip}, authority);
}

/* A browser adds certificate and password to whatever any page has it send. */
static bool is_cross_site(const struct http_request *http)
{
	struct slice site = header(http, SLICE("sec-fetch-site"));
	struct slice origin = header(http, SLICE("origin"));

	if (site.len > 0 && !slice_eq(site, SLICE("same-origin")) && !slice_eq(site, SLICE("none")))
		return true;
	return origin.len > 0 && !is_own_origin(origin, http->authority);
}

static const struct command_terms *terms_of(struct slice path, enum admin_method method)
{
	int id;

	for (id = 0; id < N_COMMANDS; id++)
		if (all_terms[id].method == method && path_fits(path, all_terms[id].path, NULL))
			return &all_terms[id];
	return NULL;
}

static size_t body_limit(struct slice path)
{
	int id;

	for (id = 0; id < N_COMMANDS; id++)
		if (all_terms[id].body_max > 0 && path_fits(path, all_terms[id].path, NULL))
			return all_terms[id].body_max;
	return 0;
}

static bool refuse(struct admin_refusal *ret_refusal, struct admin_refusal refusal)
{
	*ret_refusal = refusal;
	return false;
}

/* Whatever the path: only who may read learns which there are. */
static bool judge_role(struct admin_conn *conn, const struct http_request *http,
	enum admin_role needed, struct admin_refusal *ret_refusal)
{
	static const char *const needs[] = {
		[ADMIN_ROLE_READ] = "this needs the role read",
		[ADMIN_ROLE_OPERATE] = "this needs the role operate",
		[ADMIN_ROLE_ADMIN] = "this needs the role admin",
	};
	struct slice authorization = header(http, SLICE("authorization"));

	conn->known = conn->by_cert;
	if (authorization.len > 0)
		admin_access_judge_header(conn->admin->access, authorization, &conn->known);
	if (conn->known.role == ADMIN_ROLE_NONE)
		return refuse(ret_refusal,
			(struct admin_refusal){401, "unauthenticated",
				"who are you? A client certificate that has a role is needed, or a token",
				true});
	if (conn->known.role < needed)
		return refuse(ret_refusal,
			(struct admin_refusal){403, "forbidden", needs[needed], false});
	conn->is_known = true;
	return true;
}

static void note_change(const struct admin_conn *conn, const struct http_request *http)
{
	if (conn->parser.whole_bytes == 0) /* else it was said when the head came */
		log_info("%s: %s from %s: %.*s %.*s", conn->admin->name, conn->known.name,
			conn->address, (int)http->method_text.len, http->method_text.ptr,
			(int)(http->path.len < 256 ? http->path.len : 256), http->path.ptr);
}

bool admin_judge_head(void *arg, const struct http_request *http, size_t *ret_body_limit,
	struct admin_refusal *ret_refusal)
{
	struct admin_conn *conn = arg;
	enum admin_kind kind = conn->admin->kind;
	struct slice path = real_path(http->path);
	enum admin_method asked = admin_method_of(http->method);
	enum admin_method method = asked == ADMIN_HEAD ? ADMIN_GET : asked;
	const struct command_terms *terms = terms_of(path, method);

	if (kind == ADMIN_METRICS && (!terms || terms != &all_terms[COMMAND_metrics]))
		return refuse(ret_refusal, (struct admin_refusal){404, "not_found",
						   "only GET /metrics is here", false});
	if (kind == ADMIN_LOCAL && is_foreign_name(http->host))
		return refuse(ret_refusal,
			(struct admin_refusal){403, "foreign_host",
				"a host with a domain is none of this socket's: call it localhost",
				false});
	if (kind == ADMIN_REMOTE &&
		!judge_role(conn, http, terms ? terms->role : ADMIN_ROLE_READ, ret_refusal))
		return false;
	if (method != ADMIN_GET && is_cross_site(http))
		return refuse(
			ret_refusal, (struct admin_refusal){403, "cross_site",
					     "a page of another site has asked for this", false});
	if (kind == ADMIN_REMOTE && method != ADMIN_GET)
		note_change(conn, http);
	*ret_body_limit = body_limit(path);
	return true;
}
