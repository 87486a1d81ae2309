/* The source of the admin API: see views.h. The views themselves are in views_*.c. */
#include "control/admin_request.h"
#include "control/apply.h"
#include "control/leaving.h"
#include "control/logs.h"
#include "control/upgrade.h"
#include "control/views_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXISTING_BYTES = 16 };

static void must(bool done)
{
	if (done)
		return;
	fputs("sluice: out of memory\n", stderr);
	abort();
}

void view_text(const struct view *view, const char *name, const char *text)
{
	if (text)
		must(yyjson_mut_obj_add_strcpy(view->doc, view->object, name, text));
	else
		view_null(view, name);
}

void view_slice(const struct view *view, const char *name, struct slice text)
{
	must(yyjson_mut_obj_add_strncpy(view->doc, view->object, name, text.ptr, text.len));
}

void view_number(const struct view *view, const char *name, uint64_t number)
{
	must(yyjson_mut_obj_add_uint(view->doc, view->object, name, number));
}

void view_signed(const struct view *view, const char *name, int64_t number)
{
	must(yyjson_mut_obj_add_sint(view->doc, view->object, name, number));
}

/* As many digits as a person reads. */
void view_real(const struct view *view, const char *name, double number)
{
	double tenths = (double)(int64_t)(number * 10 + (number < 0 ? -0.5 : 0.5));

	must(yyjson_mut_obj_add_real(view->doc, view->object, name, tenths / 10));
}

void view_time(const struct view *view, const char *name, int64_t unix_s)
{
	if (unix_s)
		view_signed(view, name, unix_s);
	else
		view_null(view, name);
}

void view_bool(const struct view *view, const char *name, bool value)
{
	must(yyjson_mut_obj_add_bool(view->doc, view->object, name, value));
}

void view_null(const struct view *view, const char *name)
{
	must(yyjson_mut_obj_add_null(view->doc, view->object, name));
}

struct view view_object(const struct view *view, const char *name)
{
	struct view object = {view->doc, yyjson_mut_obj(view->doc)};

	must(object.object && yyjson_mut_obj_add_val(view->doc, view->object, name, object.object));
	return object;
}

struct view_list view_list(const struct view *view, const char *name)
{
	struct view_list list = {view->doc, yyjson_mut_arr(view->doc)};

	must(list.list && yyjson_mut_obj_add_val(view->doc, view->object, name, list.list));
	return list;
}

struct view view_list_object(const struct view_list *list)
{
	struct view object = {list->doc, yyjson_mut_obj(list->doc)};

	must(object.object && yyjson_mut_arr_append(list->list, object.object));
	return object;
}

void view_list_text(const struct view_list *list, const char *text)
{
	must(yyjson_mut_arr_add_strcpy(list->doc, list->list, text));
}

static void put_places(
	const struct view *view, const char *direction, const uint64_t places[static KTLS_PLACES])
{
	struct view object = view_object(view, direction);
	int place;

	for (place = 0; place < KTLS_PLACES; place++)
		if (place != KTLS_none)
			view_number(
				&object, ktls_place_name((enum ktls_place)place), places[place]);
}

void view_places(const struct view *view, const uint64_t places[static TLS_DIRECTIONS][KTLS_PLACES])
{
	put_places(view, "rx", places[TLS_RX]);
	put_places(view, "tx", places[TLS_TX]);
}

struct slice view_word(enum setting_section section, const char *setting, uint32_t value)
{
	const struct setting *row = config_setting_find(section, slice_of(setting));
	const char *words = row ? row->words : NULL;
	struct slice word = slice_of("");
	uint32_t i;

	for (i = 0; words && i <= value; i++)
		if (!config_word_next(&words, &word))
			return slice_of("");
	return word;
}

static void view_config(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	const struct build *build = ((struct daemon *)arg)->build;
	struct view view = {.doc = admin_doc_new()};
	char *yaml = NULL;
	size_t len;
	FILE *out = open_memstream(&yaml, &len);

	if (!out)
		abort(); /* out of memory */
	view.object = yyjson_mut_doc_get_root(view.doc);
	config_show(build->config, call->redact, out);
	must(fclose(out) == 0);
	view_text(&view, "path", ((struct daemon *)arg)->config_path);
	view_number(&view, "generation", build->generation);
	view_time(&view, "loaded_at", build->loaded_unix_s);
	view_text(&view, "yaml", yaml);
	free(yaml);
	admin_reply_finish(reply, 200, view.doc);
}

int view_existing(struct slice query, struct build_how *ret_how)
{
	char word[EXISTING_BYTES];
	int rc = admin_query_text(query, "existing", word, sizeof(word));
	enum config_existing existing;

	for (existing = 0; rc > 0 && existing <= CONFIG_EXISTING_CLOSE; existing++)
		if (slice_eq(slice_of(word),
			    view_word(SECTION_config_listener_tls, "existing", existing))) {
			*ret_how = (struct build_how){true, existing};
			return 0;
		}
	return rc == 0 ? 0 : -EINVAL;
}

static void reload(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct reload_how how = {0};

	if (admin_query_flag(call->query, "dry_run", &how.dry_run) < 0)
		admin_reply_error(reply, 400, "bad_request", "dry_run is 0 or 1");
	else if (view_existing(call->query, &how.build) < 0)
		admin_reply_error(reply, 400, "bad_request", "existing is keep, drain or close");
	else
		reload_start(arg, reply, &how);
}

/* A secret from a file is the operator's, and other nodes have it too. */
static void rotate_cookies(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct daemon *daemon = arg;
	struct dp_handover_report report;
	yyjson_mut_doc *doc;
	struct view view;

	dp_handover_report(daemon->dataplane, &report);
	if (daemon->build->has_cookie_secret) {
		admin_reply_error(reply, 409, "secret_from_file",
			"the secret is from %s: change that file on every node that shares it, and "
			"reload",
			daemon->build->config->xdp.cookie_secret_path);
	} else if (report.reached != HANDOVER_OWN_COOKIES) {
		admin_reply_error(reply, 409, "no_cookies", "the packet plane answers no SYNs: %s",
			report.why);
	} else {
		daemon_rotate_cookies(daemon);
		doc = admin_doc_new();
		view = (struct view){doc, yyjson_mut_doc_get_root(doc)};
		view_text(&view, "result", "rotated");
		admin_reply_finish(reply, 200, doc);
	}
}

static void log_reopen(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	upgrade_reopen_logs(arg);
	logs_reopen(((struct daemon *)arg)->logs, reply);
}

static void put_state(const struct daemon *daemon, const struct view *root)
{
	view_text(root, "state", leaving_word(daemon));
	view_number(root, "left_ms", leaving_left_ms(daemon));
	view_number(root, "connections_open", atomic_load(&daemon->node.open));
}

static void ready(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct daemon *daemon = arg;
	yyjson_mut_doc *doc;
	struct view view;

	if (daemon->leaving.state != LEAVING_NOT) {
		admin_reply_error(
			reply, 503, leaving_word(daemon), "the daemon is %s", leaving_word(daemon));
		return;
	}
	doc = admin_doc_new();
	view = (struct view){doc, yyjson_mut_doc_get_root(doc)};
	put_state(daemon, &view);
	admin_reply_finish(reply, 200, doc);
}

static void drain(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct daemon *daemon = arg;
	yyjson_mut_doc *doc = admin_doc_new();
	struct view view = {doc, yyjson_mut_doc_get_root(doc)};

	leaving_ask(daemon);
	put_state(daemon, &view);
	admin_reply_finish(reply, 202, doc);
}

/* Who may connect to the unix socket may start programs as our user; who has a token may not. */
static void upgrade(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	char program[UPGRADE_PATH_BYTES];
	int r = admin_query_text(call->query, "program", program, sizeof(program));

	if (r < 0 || (r && program[0] != '/'))
		admin_reply_error(reply, 400, "bad_request", "program is an absolute path");
	else if (r && admin_reply_peer(reply).uid == UINT32_MAX)
		admin_reply_error(reply, 403, "forbidden", "program: by the unix socket only");
	else
		upgrade_start(arg, r ? program : NULL, reply);
}

const struct admin_source views_source = {
	.status = view_status,
	.listeners = view_listeners,
	.targets = view_targets,
	.target_groups = view_target_groups,
	.drops = view_drops,
	.desync = view_desync,
	.counters = view_counters,
	.config = view_config,
	.certificates = view_certificates,
	.certificate_choice = view_certificate_choice,
	.certificate_put = view_certificate_put,
	.certificate_delete = view_certificate_delete,
	.listener_certificates = view_listener_certificates,
	.objects = view_object_list,
	.objects_change = view_objects_change,
	.object = view_object_get,
	.object_put = view_object_put,
	.object_patch = view_object_patch,
	.object_delete = view_object_delete,
	.object_child = view_object_child,
	.object_child_put = view_object_child_put,
	.object_child_patch = view_object_child_patch,
	.object_child_delete = view_object_child_delete,
	.rule_move = view_rule_move,
	.history = view_history,
	.rollback = view_rollback,
	.export = view_export,
	.openapi = view_openapi,
	.diff = view_diff,
	.trust = view_trust,
	.rules = view_rules,
	.rules_test = view_rules_test,
	.policies = view_policies,
	.metrics = view_metrics,
	.overview = view_overview,
	.events = view_events,
	.page = view_page,
	.page_style = view_page_style,
	.page_script = view_page_script,
	.connections = view_connections,
	.top = view_top,
	.watch_drops = view_watch_drops,
	.lists_show = view_lists_show,
	.lists_export = view_lists_export,
	.lists_change = view_lists_change,
	.lists_import = view_lists_import,
	.lists_hits = view_lists_hits,
	.rotate_cookies = rotate_cookies,
	.log_reopen = log_reopen,
	.ready = ready,
	.drain = drain,
	.upgrade = upgrade,
	.reload = reload,
};
