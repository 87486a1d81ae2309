/*
 * What the files of the views share; nobody else includes it. A struct view is one JSON object
 * under construction; every text is copied into the document, so nothing need outlive the call.
 * Running out of memory is fatal, as everywhere on the control side. Control thread.
 */
#ifndef SLUICE_CONTROL_VIEWS_PARTS_H
#define SLUICE_CONTROL_VIEWS_PARTS_H

#include "control/config_settings.h"
#include "control/daemon.h"
#include "control/lists.h"
#include "control/views.h"
#include "control/views_counts.h"
#include "tls/certcache.h"

struct view {
	yyjson_mut_doc *doc;
	yyjson_mut_val *object;
};

/* `name` is static. */
void view_text(const struct view *view, const char *name, const char *text); /* NULL: null */
void view_slice(const struct view *view, const char *name, struct slice text);
void view_number(const struct view *view, const char *name, uint64_t number);
void view_signed(const struct view *view, const char *name, int64_t number);
void view_real(const struct view *view, const char *name, double number); /* one decimal */
void view_time(const struct view *view, const char *name, int64_t unix_s); /* 0: null, never */
void view_bool(const struct view *view, const char *name, bool value);
void view_null(const struct view *view, const char *name);
struct view view_object(const struct view *view, const char *name);

struct view_list {
	yyjson_mut_doc *doc;
	yyjson_mut_val *list;
};

struct view_list view_list(const struct view *view, const char *name);
struct view view_list_object(const struct view_list *list);
void view_list_text(const struct view_list *list, const char *text);

/* "rx" and "tx": how many connections had their records where. */
void view_places(
	const struct view *view, const uint64_t places[static TLS_DIRECTIONS][KTLS_PLACES]);

/* The word of an enumerated setting, as one writes it in the configuration. */
struct slice view_word(enum setting_section section, const char *setting, uint32_t value);

/* The parameter `existing` of a change. 0 (also when it is not there), or -EINVAL. */
int view_existing(struct slice query, struct build_how *ret_how) must_check;
/* views_trust.c: whose certificates a listener wants, and whom it turned away. */
void view_client_auth(const struct config_listener *config, const struct listener_counts *sum,
	const struct view *row);
/* views_desync.c: what was wrong with its requests, by class. */
void view_listener_desync(const struct config_listener *config, const struct listener_counts *sum,
	const struct view *row);
/* views_capabilities.c */
void view_capabilities(const struct daemon *daemon, const struct dataplane_report *report,
	const struct view *root);
/* views_drops.c: TCP connections that found a full accept queue, whole network namespace, since
 * it exists; 0 if the kernel does not tell. */
uint64_t view_listen_overflows(void);
/* Samples everything that is counted, for the rates. */
void view_drops_tick(struct daemon *daemon);

/* views_lists.c: they tell the client if not. */
bool view_list_kind(struct slice query, struct admin_reply *reply, enum list_kind *ret_kind);
bool view_lists_there(const struct daemon *daemon, struct admin_reply *reply);

/* The members of views_source. */
int view_status(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
int view_listeners(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
int view_targets(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
int view_target_groups(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
int view_desync(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
int view_drops(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
int view_counters(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
void view_certificates(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_certificate_choice(void *arg, const struct admin_call *call, struct admin_reply *reply);
/* views_watch.c: a list "sources" of who connects, or is dropped, most. */
void view_top_sources(const struct daemon *daemon, uint32_t max, const struct view *root);
/* Of all workers' caches of certificates. */
struct certcache_counts view_cached_certs(const struct daemon *daemon);
void view_certificate_put(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_certificate_delete(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_listener_certificates(
	void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_object_list(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_objects_change(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_object_get(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_object_put(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_object_patch(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_object_delete(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_object_child(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_object_child_put(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_object_child_patch(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_object_child_delete(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_rule_move(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_history(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_rollback(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_openapi(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_export(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_diff(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_trust(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_page(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_page_style(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_page_script(void *arg, const struct admin_call *call, struct admin_reply *reply);
int view_overview(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);
void view_events(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_metrics(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_rules(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_rules_test(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_policies(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_connections(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_top(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_watch_drops(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_lists_show(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_lists_export(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_lists_change(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_lists_import(void *arg, const struct admin_call *call, struct admin_reply *reply);
void view_lists_hits(void *arg, const struct admin_call *call, struct admin_reply *reply);

#endif
