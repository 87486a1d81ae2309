/*
 * Deny and allow lists at run time: see lists.h. Changes gather in `ops`; one job at a time takes
 * them all to the loader thread, and when it comes back they are in force, or refused. A second
 * job then frees what was replaced, which has to wait for packets on their way.
 */
#define LOG_MODULE "lists"
#include "control/lists_parts.h"
#include "control/lists_state.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LISTS_PACE_MS = 1000,        /* between the beginnings of two changes */
	LISTS_EXPIRY_S_MAX = 60,     /* wall clocks are set: looked at again after this */
	LISTS_RETRY_MS = 10000,      /* what no request waits for has failed */
};

/* One change of everything, from merging to in force. */
struct change {
	struct job job;
	struct lists *lists;
	struct lists_ops ops;
	struct lists_config *config; /* to build with; counted */
	const struct lists_view *before; /* in force meanwhile */
	struct lists_request *wanted_by; /* whose reload it is; NULL: nobody's */
	bool hits;
	struct lists_view *view; /* what it came to */
	struct dp_lists *built;
	uint64_t took_ms;
	int code;
	struct err err;
};

static struct dp_prefix *flatten(
	const struct lists_view *view, enum list_kind kind, size_t *ret_count)
{
	size_t count = lists_view_count(view, kind);
	struct dp_prefix *prefixes = mem_alloc((count + 1) * sizeof(*prefixes));

	for (size_t i = 0; i < count; i++)
		prefixes[i] = lists_view_entry(view, kind, i).prefix;
	*ret_count = count;
	return prefixes;
}

static int change_build(struct change *change)
{
	struct dp_lists_spec spec = {.hits = change->hits};
	struct dp_prefix *deny = flatten(change->view, LIST_DENY, &spec.deny_count);
	struct dp_prefix *allow = flatten(change->view, LIST_ALLOW, &spec.allow_count);
	int code;

	spec.deny = deny;
	spec.allow = allow;
	code = dp_lists_build(change->lists->dp, &spec, &change->built, &change->err);
	free(deny);
	free(allow);
	return code;
}

static bool api_changed(const struct change *change)
{
	const struct lists_entries *now = change->view->api;

	if (!change->before)
		return now[LIST_DENY].count || now[LIST_ALLOW].count;
	return change->ops.count || now[LIST_DENY].count != change->before->api[LIST_DENY].count ||
	       now[LIST_ALLOW].count != change->before->api[LIST_ALLOW].count;
}

static int change_merge(struct change *change, const struct lists_entries before[LIST_KINDS])
{
	struct lists_entries after[LIST_KINDS] = {};
	int code = 0;

	for (int kind = 0; kind < LIST_KINDS && !code; kind++)
		code = lists_merge(&before[kind], &change->ops, (enum list_kind)kind,
			clock_unix_s(), &after[kind], &change->err);
	if (code) {
		lists_entries_free(&after[LIST_DENY]);
		lists_entries_free(&after[LIST_ALLOW]);
		return code;
	}
	change->view = lists_view_new(lists_config_get(change->config), after);
	return 0;
}

/* The maps come first: the state file is only written for what can be put in force. */
static void change_run(struct job *job)
{
	struct change *change = container_of(job, struct change, job);
	uint64_t begun_ms = clock_mono_ms();

	change->code = change_merge(change, change->before->api);
	if (!change->code)
		change->code = change_build(change);
	if (!change->code && change->lists->state_path && api_changed(change))
		change->code = lists_state_save(
			change->lists->state_path, change->view->api, &change->err);
	change->took_ms = clock_mono_ms() - begun_ms;
}

static void change_free(struct change *change)
{
	lists_ops_free(&change->ops);
	lists_config_free(change->config);
	lists_view_put(change->view);
	free(change);
}

static void free_run(struct job *job)
{
	struct change *change = container_of(job, struct change, job);

	dp_lists_free(change->lists->dp, change->built);
	change->built = NULL;
	lists_view_put(change->view); /* the one that was replaced */
	change->view = NULL;
}

static void free_done(struct job *job)
{
	struct change *change = container_of(job, struct change, job);
	struct lists *lists = change->lists;

	change_free(change);
	lists->change = NULL;
	lists_poke(lists);
}

static void ops_tell(struct lists_ops *ops, int code, const struct err *err)
{
	for (size_t i = 0; i < ops->count; i++) {
		struct lists_op *op = &ops->rows[i];

		if (!op->request)
			continue;
		if (code)
			op->request->done(op->request, code, err->text);
		else
			op->request->done(op->request, op->code, op->code ? op->err.text : "");
		op->request = NULL;
	}
}

static void reload_tell(struct lists_request **request, int code, const char *text)
{
	struct lists_request *told = *request;

	*request = NULL;
	if (told)
		told->done(told, code, text);
}

static void expiry_set(struct lists *lists)
{
	int64_t left_s = lists->view->first_expiry_unix_s - clock_unix_s();

	if (lists->view->first_expiry_unix_s == INT64_MAX) {
		timer_clear(&lists->expiry);
		return;
	}
	if (left_s < 0)
		left_s = 0;
	timer_set(lists->loop, &lists->expiry,
		left_s < LISTS_EXPIRY_S_MAX ? (uint32_t)left_s * 1000 + 10
					    : LISTS_EXPIRY_S_MAX * 1000);
}

static void report_success(struct lists *lists, const struct change *change)
{
	struct lists_report *report = &lists->report;
	const struct lists_view *view = lists->view;

	for (int kind = 0; kind < LIST_KINDS; kind++) {
		report->counts[kind][LIST_FROM_CONFIG] = view->config->config[kind].count;
		report->counts[kind][LIST_FROM_FILE] = view->config->file[kind].count;
		report->counts[kind][LIST_FROM_API] = view->api[kind].count;
	}
	report->map_bytes = dp_lists_bytes(change->built);
	report->build_ms = change->took_ms;
	report->changed_unix_s = clock_unix_s();
	report->hits = change->hits;
	report->error[0] = '\0';
	if (!lists_view_count(view, LIST_DENY) && !lists_view_count(view, LIST_ALLOW) &&
		!change->view)
		return; /* at start, as most nodes do */
	log_info("deny list: %zu prefixes, allow list: %zu, in %llu ms",
		lists_view_count(view, LIST_DENY), lists_view_count(view, LIST_ALLOW),
		(unsigned long long)change->took_ms);
}

/* In force from here on; what it replaced is left in the change, to be freed. */
static void change_install(struct lists *lists, struct change *change)
{
	struct lists_view *replaced = lists->view;

	dp_lists_install(lists->dp, change->built);
	lists->view = change->view;
	change->view = replaced;
	lists->ops_going = NULL;
	report_success(lists, change);
	expiry_set(lists);
	ops_tell(&change->ops, 0, NULL);
	reload_tell(&change->wanted_by, 0, "");
}

/* What requests wanted is dropped with them; a reload and what time brings are tried again. */
static void change_refuse(struct lists *lists, struct change *change)
{
	lists->ops_going = NULL;
	log_error("lists have not changed: %s", change->err.text);
	snprintf(lists->report.error, sizeof(lists->report.error), "%s", change->err.text);
	if (!lists->wanted && change->config != lists->view->config)
		lists->wanted = lists_config_get(change->config);
	if (lists->wanted || !change->ops.count) {
		lists->is_retry = true;
		timer_set(lists->loop, &lists->expiry, LISTS_RETRY_MS);
	}
	ops_tell(&change->ops, change->code, &change->err);
	reload_tell(&change->wanted_by, change->code, change->err.text);
}

static void change_done(struct job *job)
{
	struct change *change = container_of(job, struct change, job);
	struct lists *lists = change->lists;

	if (change->code)
		change_refuse(lists, change);
	else
		change_install(lists, change);
	change->job = (struct job){.run = free_run, .done = free_done};
	loader_submit(lists->loader, &change->job);
}

/* Takes all that waits along. */
static struct change *change_new(struct lists *lists)
{
	struct change *change = mem_zalloc(sizeof(*change));

	change->lists = lists;
	change->job = (struct job){.run = change_run, .done = change_done};
	change->before = lists->view;
	change->ops = lists->ops;
	lists->ops = (struct lists_ops){};
	change->config = lists->wanted ? lists->wanted : lists_config_get(lists->view->config);
	lists->wanted = NULL;
	change->wanted_by = lists->wanted_by;
	lists->wanted_by = NULL;
	change->hits = lists->hits_wanted || change->config->hits;
	lists->is_due = lists->is_retry = false;
	return change;
}

void lists_poke(struct lists *lists)
{
	uint64_t now_ms = clock_mono_ms(), next_ms = lists->begun_mono_ms + LISTS_PACE_MS;

	if (!lists->is_due || lists->change)
		return;
	if (now_ms < next_ms) {
		timer_set(lists->loop, &lists->pace, (uint32_t)(next_ms - now_ms));
		return;
	}
	lists->begun_mono_ms = now_ms;
	lists->change = change_new(lists);
	lists->ops_going = &lists->change->ops;
	loader_submit(lists->loader, &lists->change->job);
}

static void pace_fire(struct timer *timer)
{
	lists_poke(container_of(timer, struct lists, pace));
}

static void expiry_fire(struct timer *timer)
{
	struct lists *lists = container_of(timer, struct lists, expiry);

	if (!lists->is_retry && lists->view->first_expiry_unix_s > clock_unix_s()) {
		expiry_set(lists);
		return;
	}
	lists->is_due = true;
	lists_poke(lists);
}

/* The first change, on this thread. Its `before` holds the state file's entries. */
static int lists_begin(struct lists *lists, struct lists_config *config,
	struct lists_entries kept[LIST_KINDS], struct err *err)
{
	struct change *change = mem_zalloc(sizeof(*change));
	int code;

	change->lists = lists;
	change->config = config;
	change->hits = config->hits;
	code = change_merge(change, kept);
	if (!code)
		code = change_build(change);
	if (code) {
		err_set(err, code, "%s", change->err.text);
	} else {
		change_install(lists, change);
		dp_lists_free(lists->dp, change->built);
	}
	change_free(change);
	return code;
}

int lists_new(const struct lists_spec *spec, struct lists_config *config, struct lists **ret_lists,
	struct err *err)
{
	struct lists *lists = mem_zalloc(sizeof(*lists));
	struct lists_entries kept[LIST_KINDS] = {};
	int code = 0;

	lists->loop = spec->loop;
	lists->loader = spec->loader;
	lists->dp = spec->dp;
	lists->pace.fire = pace_fire;
	lists->expiry.fire = expiry_fire;
	if (spec->state_path) {
		lists->state_path = mem_strdup(spec->state_path);
		code = lists_state_load(spec->state_path, kept, err);
	}
	if (code == -EBADMSG) {
		log_error("%s", err->text);
		code = 0;
	}
	if (code)
		lists_config_free(config);
	else
		code = lists_begin(lists, config, kept, err);
	lists_entries_free(&kept[LIST_DENY]);
	lists_entries_free(&kept[LIST_ALLOW]);
	if (code) {
		lists_free(lists);
		return code;
	}
	*ret_lists = lists;
	return 0;
}

void lists_free(struct lists *lists)
{
	static const struct err stopped = {"the daemon is stopping"};

	if (!lists)
		return;
	timer_clear(&lists->pace);
	timer_clear(&lists->expiry);
	if (lists->change) {
		/* the loader ended between the two jobs of a change */
		dp_lists_free(lists->dp, lists->change->built);
		reload_tell(&lists->change->wanted_by, -ECANCELED, stopped.text);
		change_free(lists->change);
	}
	reload_tell(&lists->wanted_by, -ECANCELED, stopped.text);
	ops_tell(&lists->ops, -ECANCELED, &stopped);
	lists_ops_free(&lists->ops);
	lists_config_free(lists->wanted);
	lists_view_put(lists->view);
	free(lists->state_path);
	free(lists);
}

void lists_config_set(
	struct lists *lists, struct lists_config *config, struct lists_request *request)
{
	if (!lists->change && !lists->wanted && lists_config_eq(config, lists->view->config)) {
		lists_config_free(config);
		reload_tell(&request, 0, "");
		return;
	}
	lists_config_free(lists->wanted);
	lists->wanted = config;
	lists->wanted_by = request;
	lists->is_due = true;
	lists->begun_mono_ms = 0; /* somebody waits: no pause since the change before */
	lists_poke(lists);
}

struct lists_view *lists_view_get(struct lists *lists)
{
	atomic_fetch_add(&lists->view->refs, 1);
	return lists->view;
}

void lists_report(const struct lists *lists, struct lists_report *ret_report)
{
	*ret_report = lists->report;
	ret_report->is_changing = lists->is_due || lists->ops_going;
}

void lists_hits_set(struct lists *lists, bool on)
{
	lists->hits_wanted = on;
	lists->is_due = true;
	lists_poke(lists);
}
