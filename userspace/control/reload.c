/*
 * Reloading: the loader thread reads, checks and builds; the control thread puts the result in
 * force, all or nothing. See apply.h. One at a time; a SIGHUP during one starts another after it.
 */
#define LOG_MODULE "reload"
#include "control/apply.h"
#include "control/cert_upkeep.h"
#include "control/renewal.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reload {
	struct job job;
	struct daemon *daemon;
	struct admin_reply *reply; /* NULL: a signal asked */
	struct reload_how how;
	bool again; /* asked for once more meanwhile */
	struct config_errors errors;
	struct build *build; /* NULL: refused */
	struct lists_request lists_done;
};

static void read_and_build(struct job *job)
{
	struct reload *reload = container_of(job, struct reload, job);
	struct daemon *daemon = reload->daemon;
	const struct build *before = daemon->build;
	struct config *config;

	if (config_load_file(daemon->config_path, &config, &reload->errors) < 0)
		return;
	if (config_is_restart_needed(before->config, config, &reload->errors)) {
		config_free(config);
		return;
	}
	if (build_new(&daemon->env, before, config, &reload->how.build, &reload->build,
		    &reload->errors) < 0)
		reload->build = NULL;
}

static char *error_lines(struct config_errors *errors)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return mem_strdup("out of memory");
	config_errors_print(errors, out);
	fclose(out);
	return text;
}

static void log_lines(const char *lines)
{
	const char *end;

	for (; *lines; lines = *end ? end + 1 : end) {
		end = strchrnul(lines, '\n');
		log_error("%.*s", (int)(end - lines), lines);
	}
}

static void note_result(struct daemon *daemon, const char *lines)
{
	struct last_reload *last = &daemon->last_reload;

	last->at_unix_s = clock_unix_s();
	last->refused = lines != NULL;
	snprintf(last->error, sizeof(last->error), "%.*s",
		lines ? (int)(strchrnul(lines, '\n') - lines) : 0, lines ? lines : "");
}

static void refuse(struct reload *reload)
{
	char *lines = error_lines(&reload->errors);

	if (!reload->how.dry_run) {
		log_error("refused, nothing has changed: %u error(s) in %s",
			config_errors_total(&reload->errors), reload->daemon->config_path);
		log_lines(lines);
		note_result(reload->daemon, lines);
	}
	if (reload->reply)
		admin_reply_refused(reload->reply, lines);
	free(lines);
}

static void discard(struct reload *reload)
{
	build_release_ids(reload->build, reload->daemon->build, &reload->daemon->env, true);
	build_free(reload->build);
	reload->build = NULL;
}

static void end(struct reload *reload)
{
	struct daemon *daemon = reload->daemon;
	bool again = reload->again;

	config_errors_fini(&reload->errors);
	free(reload);
	daemon->reload = NULL;
	if (again && !daemon->stopping)
		reload_start(daemon, NULL, NULL);
}

/* The last part of it: the reload is over. */
static void lists_done(struct lists_request *request, int code, const char *text)
{
	struct reload *reload = container_of(request, struct reload, lists_done);
	struct daemon *daemon = reload->daemon;

	if (code == -ECANCELED) {
		if (reload->reply)
			admin_reply_error(reload->reply, 503, "stopping", "the daemon is stopping");
	} else if (code < 0) {
		config_errors_add(&reload->errors, (struct config_mark){0}, NULL,
			"everything is in force but the deny and allow lists: %s", text);
		refuse(reload);
	} else {
		note_result(daemon, NULL);
		log_info("generation %llu is in force",
			(unsigned long long)daemon->build->generation);
		if (reload->reply)
			admin_reply_reloaded(reload->reply, false, daemon->build->generation);
	}
	end(reload);
}

static void put_in_force(struct reload *reload)
{
	struct daemon *daemon = reload->daemon;
	struct err err;

	if (reload->how.dry_run) {
		discard(reload);
		if (reload->reply)
			admin_reply_reloaded(reload->reply, true, daemon->build->generation);
		end(reload);
		return;
	}
	reload->lists_done.done = lists_done;
	if (apply_build(daemon, reload->build, &reload->lists_done, &err) == 0) {
		/* The reload may be over already, and gone. */
		cert_upkeep_look(daemon->cert_upkeep, daemon->build, daemon->build->has_other_dirs);
		renewal_retry(daemon);
		return; /* lists_done() goes on */
	}
	discard(reload);
	config_errors_add(&reload->errors, (struct config_mark){0}, NULL, "%s", err.text);
	refuse(reload);
	end(reload);
}

/* The daemon began to stop meanwhile: the workers have no snapshot any more and get none. */
static void give_up(struct reload *reload)
{
	if (reload->build)
		discard(reload);
	if (reload->reply)
		admin_reply_error(reload->reply, 503, "stopping", "the daemon is stopping");
}

static void finish(struct job *job)
{
	struct reload *reload = container_of(job, struct reload, job);

	if (reload->build && !reload->daemon->stopping) {
		put_in_force(reload);
		return;
	}
	if (reload->daemon->stopping)
		give_up(reload);
	else
		refuse(reload);
	end(reload);
}

void reload_start(struct daemon *daemon, struct admin_reply *reply, const struct reload_how *how)
{
	struct reload *reload;

	if (daemon->stopping) {
		if (reply)
			admin_reply_error(reply, 503, "stopping", "the daemon is stopping");
		return;
	}
	if (daemon->reload) {
		if (reply)
			admin_reply_error(reply, 409, "reload_running",
				"a reload is being done already: try again when it is over");
		else
			daemon->reload->again = true;
		return;
	}
	reload = mem_zalloc(sizeof(*reload));
	reload->daemon = daemon;
	reload->reply = reply;
	if (how)
		reload->how = *how;
	reload->job.run = read_and_build;
	reload->job.done = finish;
	config_errors_init(&reload->errors);
	daemon->reload = reload;
	if (!renewal_is_running(daemon))
		loader_submit(daemon->loader, &reload->job);
}

void reload_continue(struct daemon *daemon)
{
	if (daemon->reload && daemon->stopping)
		finish(&daemon->reload->job);
	else if (daemon->reload)
		loader_submit(daemon->loader, &daemon->reload->job);
}
