/* Log files of the daemon: see logs.h. */
#include "control/logs.h"

#include "control/daemon.h"
#include "control/logfile.h"
#include "control/views_parts.h"
#include "core/mem.h"

#include <stdlib.h>

struct logs {
	struct daemon *daemon;
	struct logfile *connections;
	struct timer timer; /* set while there is a file */
	struct job job;
	bool is_draining; /* the job is under way */
};

static void drain(struct job *job)
{
	logfile_drain(container_of(job, struct logs, job)->connections);
}

static void drained(struct job *job)
{
	container_of(job, struct logs, job)->is_draining = false;
}

static void start_drain(struct logs *logs)
{
	if (logs->is_draining || !logfile_has_work(logs->connections))
		return;
	logs->is_draining = true;
	loader_submit(logs->daemon->log_writer, &logs->job);
}

static void rest(struct timer *timer)
{
	struct logs *logs = container_of(timer, struct logs, timer);
	bool is_on = logfile_ring(logs->connections, 0) != NULL;

	start_drain(logs);
	if (is_on || logs->is_draining || logfile_has_work(logs->connections))
		timer_set(logs->daemon->io.loop, &logs->timer, LOGFILE_REST_MS);
}

struct logs *logs_new(struct daemon *daemon)
{
	struct logs *logs = mem_zalloc(sizeof(*logs));

	logs->daemon = daemon;
	logs->connections = logfile_new("connection log", daemon->env.n_workers);
	logs->timer.fire = rest;
	logs->job.run = drain;
	logs->job.done = drained;
	return logs;
}

void logs_stop(struct logs *logs)
{
	if (logs)
		timer_clear(&logs->timer);
}

void logs_free(struct logs *logs)
{
	if (!logs)
		return;
	logs_stop(logs);
	logfile_free(logs->connections);
	free(logs);
}

void logs_apply(struct logs *logs, const struct config_log *config)
{
	struct daemon *daemon = logs->daemon;
	uint32_t i;

	logfile_set_path(logs->connections, config->connections_path);
	for (i = 0; i < daemon->env.n_workers; i++)
		atomic_store_explicit(&daemon->workers[i].proxy.connlog,
			logfile_ring(logs->connections, i), memory_order_release);
	start_drain(logs);
	if (!timer_is_set(&logs->timer) && logs->is_draining)
		timer_set(daemon->io.loop, &logs->timer, LOGFILE_REST_MS);
}

struct logfile *logs_connections(struct logs *logs)
{
	return logs->connections;
}

/* --- opening again */
struct reopening {
	struct job job;
	struct logs *logs;
	struct admin_reply *reply;
};

static void reopen(struct job *job)
{
	logfile_drain(container_of(job, struct reopening, job)->logs->connections);
}

static void reopened(struct job *job)
{
	struct reopening *reopening = container_of(job, struct reopening, job);
	struct logfile_counts counts;
	yyjson_mut_doc *doc;
	struct view view;

	logfile_counts(reopening->logs->connections, &counts);
	if (!reopening->reply) {
		/* a signal asked: the log says what went wrong */
	} else if (counts.error[0]) {
		admin_reply_error(
			reopening->reply, 500, "not_opened", "connection log: %s", counts.error);
	} else {
		doc = admin_doc_new();
		view = (struct view){doc, yyjson_mut_doc_get_root(doc)};
		view_text(&view, "result", "reopened");
		admin_reply_finish(reopening->reply, 200, doc);
	}
	free(reopening);
}

void logs_reopen(struct logs *logs, struct admin_reply *reply)
{
	struct reopening *reopening;

	if (!logfile_ring(logs->connections, 0)) {
		if (reply)
			admin_reply_error(reply, 409, "no_file",
				"no log is written to a file: log.connections names none");
		return;
	}
	logfile_reopen(logs->connections);
	reopening = mem_zalloc(sizeof(*reopening));
	reopening->logs = logs;
	reopening->reply = reply;
	reopening->job.run = reopen;
	reopening->job.done = reopened;
	loader_submit(logs->daemon->log_writer, &reopening->job);
}
