/* The admin API: accepting clients, the table of commands, answers. See admin.h, admin_conn.h. */
#include "control/admin.h"
#include "control/admin_conn.h"

#include "core/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOG_MODULE "admin"
#include "core/log.h"

enum { MESSAGE_BYTES = 1024, ACCEPT_PAUSE_MS = 1000 };

static const char json_type[] = "application/json";

struct command {
	const char *path;
	enum admin_method method;
	const char *parameters; /* separated by spaces */
	/* One of the two. */
	int (*view)(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
	void (*call)(void *arg, const struct admin_call *call, struct admin_reply *reply);
};

enum command_id {
#define VIEW(path, name, help)                               COMMAND_##name,
#define CALL(method, path, name, parameters, body_max, help) COMMAND_##name,
#include "control/api.def"
#undef VIEW
#undef CALL
	N_COMMANDS
};

static const char *const command_paths[] = {
#define VIEW(path, name, help)                               path,
#define CALL(method, path, name, parameters, body_max, help) path,
#include "control/api.def"
#undef VIEW
#undef CALL
};

static struct command command_get(const struct admin_source *source, enum command_id id)
{
	switch (id) {
#define VIEW(path, name, help)                                                                     \
	case COMMAND_##name:                                                                       \
		return (struct command){path, ADMIN_GET, "", source->name, NULL};
#define CALL(method, path, name, parameters, body_max, help)                                       \
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

void admin_dispatch(
	struct admin *admin, const struct admin_request *request, struct admin_reply *reply)
{
	enum admin_method method = request->method == ADMIN_HEAD ? ADMIN_GET : request->method;
	struct admin_call call = {
		request->query, request->body, request->if_match, request->if_none_match, {""}};
	int id;

	for (id = 0; id < N_COMMANDS; id++) {
		struct command command = command_get(admin->source, (enum command_id)id);

		if (!path_fits(request->path, command.path, call.arguments))
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

size_t admin_command_body_limit(struct slice path)
{
	static const size_t limits[] = {
#define VIEW(path, name, help)                               0,
#define CALL(method, path, name, parameters, body_max, help) body_max,
#include "control/api.def"
#undef VIEW
#undef CALL
	};

	for (int id = 0; id < N_COMMANDS; id++)
		if (limits[id] > 0 && path_fits(path, command_paths[id], NULL))
			return limits[id];
	return 0;
}

void admin_reply_set_etag(struct admin_reply *reply, const char *etag)
{
	snprintf(reply->etag, sizeof(reply->etag), "%s", etag);
}

yyjson_mut_doc *admin_doc_new(void)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = doc ? yyjson_mut_obj(doc) : NULL;

	if (!root) {
		fputs("sluice: out of memory\n", stderr);
		abort();
	}
	yyjson_mut_doc_set_root(doc, root);
	return doc;
}

/* Names from certificates may be any bytes: what is not UTF-8 becomes U+FFFD instead of spoiling
 * the whole answer. */
static char *doc_write(const yyjson_mut_doc *doc, size_t *ret_len)
{
	yyjson_write_flag flags = YYJSON_WRITE_PRETTY_TWO_SPACES | YYJSON_WRITE_NEWLINE_AT_END;
	yyjson_write_err fault;
	char *text = yyjson_mut_write_opts(doc, flags, NULL, ret_len, &fault);

	if (text || fault.code != YYJSON_WRITE_ERROR_INVALID_STRING)
		return text;
	flags |= YYJSON_WRITE_ALLOW_INVALID_UNICODE | YYJSON_WRITE_ESCAPE_UNICODE;
	return yyjson_mut_write_opts(doc, flags, NULL, ret_len, &fault);
}

void admin_reply_finish(struct admin_reply *reply, unsigned int http_status, yyjson_mut_doc *doc)
{
	static const char unwritable[] = "{\"error\": {\"code\": \"internal\", \"message\": "
					 "\"the answer cannot be written as JSON\"}}\n";
	struct admin_conn *conn = reply->conn;
	size_t len = 0;
	char *text;

	if (conn) {
		text = doc_write(doc, &len);
		if (text)
			admin_conn_answer(conn, reply, http_status, json_type, text, len);
		else
			admin_conn_answer(
				conn, reply, 500, json_type, unwritable, sizeof(unwritable) - 1);
		free(text);
		admin_conn_run(conn);
	}
	yyjson_mut_doc_free(doc);
	free(reply);
}

void admin_reply_text(
	struct admin_reply *reply, const char *content_type, const char *text, size_t len)
{
	struct admin_conn *conn = reply->conn;

	if (conn) {
		admin_conn_answer(conn, reply, 200, content_type, text, len);
		admin_conn_run(conn);
	}
	free(reply);
}

static yyjson_mut_val *add_error(yyjson_mut_doc *doc, const char *code, const char *message)
{
	yyjson_mut_val *error = yyjson_mut_obj_add_obj(doc, yyjson_mut_doc_get_root(doc), "error");

	yyjson_mut_obj_add_strcpy(doc, error, "code", code);
	yyjson_mut_obj_add_strcpy(doc, error, "message", message);
	return error;
}

void admin_reply_error(struct admin_reply *reply, unsigned int http_status, const char *code,
	const char *format, ...)
{
	yyjson_mut_doc *doc = admin_doc_new();
	char message[MESSAGE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	add_error(doc, code, message);
	admin_reply_finish(reply, http_status, doc);
}

void admin_reply_reloaded(struct admin_reply *reply, bool dry_run, uint64_t generation)
{
	yyjson_mut_doc *doc = admin_doc_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);

	yyjson_mut_obj_add_str(doc, root, "result", dry_run ? "valid" : "applied");
	yyjson_mut_obj_add_uint(doc, root, "generation", generation);
	admin_reply_finish(reply, 200, doc);
}

void admin_reply_refused(struct admin_reply *reply, const char *lines)
{
	yyjson_mut_doc *doc = admin_doc_new();
	yyjson_mut_val *error = add_error(
		doc, "config_invalid", "the configuration has errors; nothing was changed");
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, error, "errors");

	while (*lines) {
		size_t len = strcspn(lines, "\n");

		if (len > 0)
			yyjson_mut_arr_add_strncpy(doc, list, lines, len);
		lines += len + (lines[len] == '\n');
	}
	admin_reply_finish(reply, 422, doc);
}

/* Above the limit a client is told so; above twice the limit there is no memory even for that. */
static void welcome(struct admin *admin, int fd)
{
	static const struct admin_refusal full = {503, "too_many_connections",
		"too many clients are connected to the admin socket: close one and try again"};
	bool is_full = admin->n_conns - admin->n_lingering >= ADMIN_CONNECTIONS_MAX;
	struct admin_conn *conn;
	int rc;

	if (admin->n_conns >= 2 * ADMIN_CONNECTIONS_MAX) {
		close(fd);
		return;
	}
	rc = admin_conn_new(admin, fd, &conn);
	if (rc)
		log_warn("%s: a client cannot be served: %s", admin->socket.path, strerror(-rc));
	else if (is_full)
		admin_conn_refuse(conn, &full);
}

static void accept_ready(struct watch *watch, uint32_t events);

static int listen_start(struct admin *admin)
{
	admin->listener = (struct watch){.fd = admin->socket.fd, .ready = accept_ready};
	return loop_add_level(admin->loop, &admin->listener);
}

static void accept_again(struct timer *timer)
{
	struct admin *admin = container_of(timer, struct admin, accept_again);

	if (listen_start(admin))
		timer_set(admin->loop, timer, ACCEPT_PAUSE_MS);
}

/* The socket is level triggered: an error that stays (no descriptors left) pauses it. */
static void accept_ready(struct watch *watch, uint32_t events)
{
	struct admin *admin = container_of(watch, struct admin, listener);
	int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		welcome(admin, fd);
	} else if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
		log_warn("%s: cannot accept clients for a second: %s", admin->socket.path,
			strerror(errno));
		loop_del(admin->loop, &admin->listener);
		timer_set(admin->loop, &admin->accept_again, ACCEPT_PAUSE_MS);
	}
}

int admin_new(
	struct loop *loop, const struct admin_spec *spec, struct admin **ret_admin, struct err *err)
{
	struct admin *admin = mem_zalloc(sizeof(*admin));
	int rc;

	list_init(&admin->conns);
	admin->loop = loop;
	admin->source = spec->source;
	admin->arg = spec->arg;
	admin->idle_ms = spec->idle_ms ? spec->idle_ms : ADMIN_IDLE_MS;
	rc = admin_socket_open(&admin->socket, spec->socket_path, err);
	if (rc)
		goto fail;
	admin->accept_again.fire = accept_again;
	rc = listen_start(admin);
	if (rc) {
		err_set(err, rc, "admin socket %s: %s", spec->socket_path, strerror(-rc));
		goto fail_socket;
	}
	*ret_admin = admin;
	return 0;

fail_socket:
	admin_socket_close(&admin->socket);
fail:
	free(admin);
	return rc;
}

static void free_admin(struct task *task)
{
	free(container_of(task, struct admin, free_task));
}

void admin_free(struct admin *admin)
{
	struct admin_conn *conn;

	if (!admin)
		return;
	while (!list_is_empty(&admin->conns)) {
		conn = container_of(admin->conns.next, struct admin_conn, link);
		admin_stream_finish_now(conn);
		admin_conn_close(conn);
	}
	loop_del(admin->loop, &admin->listener);
	timer_clear(&admin->accept_again);
	admin_socket_close(&admin->socket);
	admin->free_task.run = free_admin;
	loop_defer(admin->loop, &admin->free_task);
}
