/*
 * Reloads and transactions: the loader thread reads, checks and builds; the control thread puts the
 * result in force, all or nothing. See apply.h and transaction.h. One at a time: a SIGHUP during one
 * starts another after it; what the API asks for waits in the order it came.
 */
#define LOG_MODULE "reload"
#include "control/cert_upkeep.h"
#include "control/confinement.h"
#include "control/reload_parts.h"
#include "control/renewal.h"
#include "control/resolver.h"
#include "control/service.h"
#include "control/stapling.h"
#include "control/upgrade.h"
#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WAITING_MAX = 64, WAITING_BYTES_MAX = 256 * 1024 * 1024 };

/* --- the loader thread */

/* Both over each other; the file's text is the one in force, or (a reload) has been read again. */
static void make_build(struct reload *reload)
{
	struct build_how how = reload->how.build;
	struct daemon *daemon = reload->daemon;
	struct object_store *store = &daemon->objects;
	const struct build *before = daemon->build;
	struct config_overlay overlay = object_store_overlay(
		store, reload->request ? &reload->transaction.set : &store->set);
	struct config *config;

	if (config_compose(reload->request ? &store->text : &reload->text, &overlay, &config,
		    &reload->rows, &reload->errors) < 0)
		return;
	if (config_is_restart_needed(before->config, config, &reload->errors) ||
		confinement_forbids(config, &reload->errors)) {
		config_free(config);
		return;
	}
	how.is_dry_run = reload->how.dry_run;
	if (build_new(&daemon->env, before, config, &how, &reload->build, &reload->errors) < 0)
		reload->build = NULL;
	else if (!reload->how.dry_run)
		stapling_ready(daemon->stapling, reload->build);
}

static void read_and_build(struct job *job)
{
	struct reload *reload = container_of(job, struct reload, job);

	if (config_text_read(&reload->text, reload->daemon->config_path, &reload->errors) == 0)
		make_build(reload);
}

static void catch_up(struct reload *reload)
{
	struct versions *versions = reload->daemon->objects.versions;

	if (versions_catch_up(versions, &reload->commit_err) == 0)
		reload->commit_err.text[0] = '\0';
}

/* What was written for it goes unless it may still be put in force. */
static void change_and_build(struct job *job)
{
	struct reload *reload = container_of(job, struct reload, job);
	struct transaction *transaction = &reload->transaction;
	bool goes_on;

	if (!change_request_read(reload->request, &transaction->refusal))
		return;
	transaction->request = reload->request;
	transaction->store = &reload->daemon->objects;
	transaction->before = reload->daemon->build;
	goes_on = transaction_make(transaction);
	if (goes_on && (!transaction->is_unchanged || reload->how.dry_run))
		make_build(reload);
	if (reload->build)
		goes_on = transaction_keep(transaction, reload->build);
	if (!reload->build || !goes_on || reload->how.dry_run)
		transaction_abandon(transaction);
	/* Whoever asks again after "not_kept" is told whether it is kept now. */
	if (goes_on && transaction->is_unchanged && !reload->how.dry_run)
		catch_up(reload);
}

static void commit(struct job *job)
{
	struct reload *reload = container_of(job, struct reload, commit_job);
	struct versions *versions = reload->daemon->objects.versions;

	if (versions_commit(versions, &reload->commit_err) == 0)
		reload->commit_err.text[0] = '\0';
	versions_prune(versions, reload->daemon->build->config->history);
}

/* --- the end of one, and what waits for it */

static void discard(struct reload *reload)
{
	build_release_ids(reload->build, reload->daemon->build, &reload->daemon->env, true);
	build_free(reload->build);
	reload->build = NULL;
}

static void reload_free(struct reload *reload)
{
	reload->daemon->waiting_bytes -= reload->bytes;
	config_errors_fini(&reload->errors);
	transaction_fini(&reload->transaction);
	change_request_free(reload->request);
	config_text_fini(&reload->text);
	object_rows_fini(&reload->rows);
	free(reload->lists_text);
	free(reload);
}

static struct reload *reload_new(
	struct daemon *daemon, struct admin_reply *reply, struct change_request *request)
{
	struct reload *reload = mem_zalloc(sizeof(*reload));

	reload->daemon = daemon;
	reload->reply = reply;
	reload->request = request;
	reload->bytes = request ? change_request_bytes(request) : 0;
	daemon->waiting_bytes += reload->bytes;
	config_errors_init(&reload->errors);
	return reload;
}

static void finish(struct job *job);

static void begin(struct reload *reload)
{
	struct daemon *daemon = reload->daemon;

	reload->job.run = reload->request ? change_and_build : read_and_build;
	reload->job.done = finish;
	daemon->reload = reload;
	service_reloading();
	if (!renewal_is_running(daemon))
		loader_submit(daemon->loader, &reload->job);
}

static struct reload *next_waiting(struct daemon *daemon)
{
	struct reload *next;

	if (list_is_empty(&daemon->waiting_reloads))
		return NULL;
	next = container_of(daemon->waiting_reloads.next, struct reload, link);
	list_del(&next->link);
	daemon->n_waiting_reloads--;
	return next;
}

static void end(struct reload *reload)
{
	struct daemon *daemon = reload->daemon;
	bool again = reload->again;
	struct list *link, *after;
	struct reload *next;

	reload_free(reload);
	daemon->reload = NULL;
	/* Names that were looked up for nothing are forgotten. */
	resolver_apply(daemon->resolver, daemon->build->config);
	service_reloaded();
	if (!daemon->stopping) {
		next = again ? NULL : next_waiting(daemon);
		if (again)
			reload_start(daemon, NULL, NULL);
		else if (next)
			begin(next);
		return;
	}
	list_for_each_safe(link, after, &daemon->waiting_reloads) {
		next = container_of(link, struct reload, link);
		reload_tell_stopping(next);
		reload_free(next);
	}
	list_init(&daemon->waiting_reloads);
	daemon->n_waiting_reloads = 0;
}

static void tell_and_end(struct reload *reload)
{
	reload_tell_done(reload);
	end(reload);
}

static void committed(struct job *job)
{
	struct reload *reload = container_of(job, struct reload, commit_job);

	object_store_refresh(&reload->daemon->objects);
	tell_and_end(reload);
}

/* What the objects and the file are from now on. */
static void take_over(struct reload *reload)
{
	struct object_store *store = &reload->daemon->objects;
	struct config_text text = store->text;
	struct object_rows rows = store->rows;
	struct object_set set = store->set;

	store->rows = reload->rows;
	reload->rows = rows;
	if (reload->request) {
		store->set = reload->transaction.set;
		reload->transaction.set = set;
	} else {
		store->text = reload->text;
		reload->text = text;
	}
}

/* Deny and allow lists are the last that is put in force. */
static void lists_done(struct lists_request *request, int code, const char *text)
{
	struct reload *reload = container_of(request, struct reload, lists_done);

	take_over(reload);
	reload->lists_code = code;
	reload->lists_text = mem_strdup(text ? text : "");
	if (reload->daemon->stopping) {
		/* The loader thread may have ended; it has nothing to do with versions now. */
		if (reload->request)
			commit(&reload->commit_job);
		if (code == -ECANCELED)
			reload_tell_stopping(reload);
		else
			reload_tell_done(reload);
		end(reload);
	} else if (reload->request) {
		reload->commit_job = (struct job){.run = commit, .done = committed};
		loader_submit(reload->daemon->loader, &reload->commit_job);
	} else {
		tell_and_end(reload);
	}
}

static void refuse(struct reload *reload)
{
	reload_tell_refused(reload);
	end(reload);
}

static void put_in_force(struct reload *reload)
{
	struct daemon *daemon = reload->daemon;
	struct err err;

	reload->lists_done.done = lists_done;
	if (apply_build(daemon, reload->build, &reload->lists_done, &err) == 0) {
		/* A reload may be over already, and gone: but then so is its turn. */
		cert_upkeep_look(daemon->cert_upkeep, daemon->build, daemon->build->has_other_dirs);
		renewal_retry(daemon);
		if (resolver_version(daemon->resolver) != daemon->build->names_version)
			renewal_look(daemon);
		return; /* lists_done() goes on */
	}
	discard(reload);
	if (reload->request)
		transaction_abandon(&reload->transaction);
	config_errors_add(&reload->errors, (struct config_mark){0}, NULL, "%s", err.text);
	refuse(reload);
}

/* The daemon began to stop meanwhile: the workers have no snapshot any more and get none. */
static void give_up(struct reload *reload)
{
	if (reload->build && reload->request)
		transaction_abandon(&reload->transaction);
	if (reload->build)
		discard(reload);
	reload_tell_stopping(reload);
	end(reload);
}

static void finish(struct job *job)
{
	struct reload *reload = container_of(job, struct reload, job);
	bool is_refused = reload->transaction.refusal.http_status || !reload->build;

	if (reload->daemon->stopping) {
		give_up(reload);
	} else if (reload->request && reload->transaction.is_unchanged && !reload->how.dry_run) {
		tell_and_end(reload);
	} else if (is_refused) {
		if (reload->build)
			discard(reload);
		refuse(reload);
	} else if (reload->how.dry_run) {
		discard(reload);
		tell_and_end(reload);
	} else {
		put_in_force(reload);
	}
}

/* --- asking for one */

/* Those that may wait, in number and, so that one alone always may, in bytes. */
static bool may_wait(const struct daemon *daemon, const struct change_request *request)
{
	size_t bytes = request ? change_request_bytes(request) : 0;

	if (daemon->n_waiting_reloads == WAITING_MAX)
		return false;
	return daemon->waiting_bytes == 0 || daemon->waiting_bytes + bytes <= WAITING_BYTES_MAX;
}

/* False: it cannot be done; the reply is finished. */
static bool is_welcome(
	struct daemon *daemon, struct admin_reply *reply, const struct change_request *request)
{
	if (daemon->stopping)
		admin_reply_error(reply, 503, "stopping", "the daemon is stopping");
	else if (upgrade_is_on(daemon))
		admin_reply_error(reply, 503, "upgrading", "another process is taking over");
	else if (!may_wait(daemon, request))
		admin_reply_error(reply, 503, "busy",
			"%u changes with %zu MiB wait already: try again when they are done",
			daemon->n_waiting_reloads, daemon->waiting_bytes >> 20);
	else
		return true;
	return false;
}

static void begin_or_wait(struct reload *reload)
{
	struct daemon *daemon = reload->daemon;

	if (!daemon->reload) {
		begin(reload);
		return;
	}
	list_add_tail(&daemon->waiting_reloads, &reload->link);
	daemon->n_waiting_reloads++;
}

/* A signal while one is under way: once more after it. */
void reload_start(struct daemon *daemon, struct admin_reply *reply, const struct reload_how *how)
{
	struct reload *reload;

	if (!reply && (upgrade_keep_reload(daemon) || daemon->stopping))
		return;
	if (!reply && daemon->reload) {
		daemon->reload->again = true;
		return;
	}
	if (reply && !is_welcome(daemon, reply, NULL))
		return;
	reload = reload_new(daemon, reply, NULL);
	if (how)
		reload->how = *how;
	begin_or_wait(reload);
}

void reload_change(struct daemon *daemon, struct admin_reply *reply, struct change_request *request)
{
	struct reload *reload;

	if (!is_welcome(daemon, reply, request)) {
		change_request_free(request);
		return;
	}
	reload = reload_new(daemon, reply, request);
	reload->how = request->how;
	begin_or_wait(reload);
}

void reload_continue(struct daemon *daemon)
{
	if (daemon->reload && daemon->stopping)
		finish(&daemon->reload->job);
	else if (daemon->reload)
		loader_submit(daemon->loader, &daemon->reload->job);
}
