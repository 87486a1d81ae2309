/* Log files of the daemon: see logs.h. */
#include "control/logs.h"

#include "control/access_file.h"
#include "control/build.h"
#include "control/daemon.h"
#include "control/logfile.h"
#include "control/views_parts.h"
#include "core/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { ERROR_BYTES = 4096 + 256 };

struct logs {
	struct daemon *daemon;
	struct logfile *connections;
	struct list access; /* struct access_file */
	struct timer timer; /* set while there is a file */
	struct watch full;  /* an eventfd: a worker has filled much of its ring */
	struct writing *draining; /* under way, or NULL */
	bool is_full; /* a ring has filled since it began */
};

/* A job: the files there are when it is handed in. */
struct writing {
	struct job job;
	struct logs *logs;
	struct admin_reply *reply; /* who asked to open the files again; NULL: nobody waits */
	uint32_t n;
	struct logfile *files[];
};

static uint32_t count_access(const struct logs *logs)
{
	const struct list *link;
	uint32_t n = 0;

	list_for_each(link, &logs->access)
		n++;
	return n;
}

static void write_all(struct job *job)
{
	struct writing *writing = container_of(job, struct writing, job);
	uint32_t i;

	for (i = 0; i < writing->n; i++)
		logfile_drain(writing->files[i]);
}

static struct writing *writing_new(struct logs *logs, void (*done)(struct job *job))
{
	uint32_t n = count_access(logs) + 1;
	struct writing *writing = mem_zalloc(sizeof(*writing) + n * sizeof(writing->files[0]));
	struct list *link;

	writing->logs = logs;
	writing->job.run = write_all;
	writing->job.done = done;
	writing->files[writing->n++] = logs->connections;
	list_for_each(link, &logs->access)
		writing->files[writing->n++] = container_of(link, struct access_file, link)->file;
	return writing;
}

/* --- files that nobody uses any more: jobs are done in their order, so those before may write them */
struct closing {
	struct job job;
	struct access_file *file;
};

static void close_file(struct job *job)
{
	access_file_free(container_of(job, struct closing, job)->file);
}

static void closed(struct job *job)
{
	free(container_of(job, struct closing, job));
}

static void close_unused(struct logs *logs)
{
	struct list *link = logs->access.next;
	struct closing *closing;
	struct access_file *file;

	while (link != &logs->access) {
		file = container_of(link, struct access_file, link);
		link = link->next;
		if (!atomic_load(&file->is_unused))
			continue;
		list_del(&file->link);
		closing = mem_zalloc(sizeof(*closing));
		closing->file = file;
		closing->job.run = close_file;
		closing->job.done = closed;
		loader_submit(logs->daemon->log_writer, &closing->job);
	}
}

/* --- writing */
static bool has_work(const struct logs *logs)
{
	struct list *link;

	list_for_each(link, &logs->access)
		if (logfile_has_work(container_of(link, struct access_file, link)->file))
			return true;
	return logfile_has_work(logs->connections);
}

static void drained(struct job *job);

static void start_drain(struct logs *logs)
{
	if (logs->draining || !has_work(logs))
		return;
	logs->is_full = false;
	logs->draining = writing_new(logs, drained);
	loader_submit(logs->daemon->log_writer, &logs->draining->job);
}

static void drained(struct job *job)
{
	struct writing *writing = container_of(job, struct writing, job);
	struct logs *logs = writing->logs;

	logs->draining = NULL;
	free(writing);
	if (logs->is_full && timer_is_set(&logs->timer))
		start_drain(logs);
}

static void rest(struct timer *timer)
{
	struct logs *logs = container_of(timer, struct logs, timer);
	bool is_on = logfile_ring(logs->connections, 0) || !list_is_empty(&logs->access);

	close_unused(logs);
	start_drain(logs);
	if (is_on || logs->draining || has_work(logs))
		timer_set(logs->daemon->io.loop, &logs->timer, LOGFILE_REST_MS);
}

static void see_full(struct watch *watch, uint32_t events)
{
	struct logs *logs = container_of(watch, struct logs, full);
	eventfd_t count;

	eventfd_read(watch->fd, &count);
	logs->is_full = true;
	if (timer_is_set(&logs->timer)) /* else it has stopped */
		start_drain(logs);
}

/* Without it, lines are written when it is time. */
static void watch_full(struct logs *logs)
{
	logs->full = (struct watch){
		.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
		.ready = see_full,
	};
	if (logs->full.fd < 0 || loop_add_level(logs->daemon->io.loop, &logs->full) == 0)
		return;
	close(logs->full.fd);
	logs->full.fd = -1;
}

struct logs *logs_new(struct daemon *daemon)
{
	struct logs *logs = mem_zalloc(sizeof(*logs));

	logs->daemon = daemon;
	watch_full(logs);
	logs->connections = logfile_new("connection log", daemon->env.n_workers);
	logfile_wake_by(logs->connections, logs->full.fd);
	list_init(&logs->access);
	logs->timer.fire = rest;
	return logs;
}

void logs_stop(struct logs *logs)
{
	if (logs)
		timer_clear(&logs->timer);
}

/* Those that are still held are freed by whoever lets go of them last. */
static void give_back(struct access_file *file)
{
	list_del(&file->link);
	logfile_drain(file->file);
	file->is_taken = false;
	if (atomic_load(&file->is_unused))
		access_file_free(file);
}

void logs_free(struct logs *logs)
{
	if (!logs)
		return;
	logs_stop(logs);
	while (!list_is_empty(&logs->access))
		give_back(container_of(logs->access.next, struct access_file, link));
	logfile_free(logs->connections);
	if (logs->full.fd >= 0)
		loop_close(logs->daemon->io.loop, &logs->full);
	free(logs);
}

static void take_access_files(struct logs *logs, const struct build *build)
{
	struct access_file *file;
	uint32_t i;

	for (i = 0; i < build->n_access_files; i++) {
		file = build->access_files[i];
		if (file->is_taken)
			continue;
		file->is_taken = true;
		logfile_wake_by(file->file, logs->full.fd);
		list_add_tail(&logs->access, &file->link);
	}
}

void logs_apply(struct logs *logs, const struct build *build)
{
	struct daemon *daemon = logs->daemon;
	uint32_t i;

	logfile_set_path(logs->connections, build->config->log.connections_path);
	for (i = 0; i < daemon->env.n_workers; i++)
		atomic_store_explicit(&daemon->workers[i].proxy.connlog,
			logfile_ring(logs->connections, i), memory_order_release);
	take_access_files(logs, build);
	start_drain(logs);
	if (!timer_is_set(&logs->timer) && logs->draining)
		timer_set(daemon->io.loop, &logs->timer, LOGFILE_REST_MS);
}

void logs_connections(struct logs *logs, struct logfile_counts *ret_counts)
{
	logfile_counts(logs->connections, ret_counts);
}

bool logs_next_access(
	struct logs *logs, void **cursor, const char **ret_path, struct logfile_counts *ret_counts)
{
	struct list *link = *cursor ? ((struct list *)*cursor)->next : logs->access.next;

	if (link == &logs->access)
		return false;
	*cursor = link;
	*ret_path = container_of(link, struct access_file, link)->path;
	logfile_counts(container_of(link, struct access_file, link)->file, ret_counts);
	return true;
}

/* --- opening again */

/* The first error, as it is for people; false: there is none. */
static bool find_error(struct logs *logs, char *ret_text, size_t size)
{
	struct logfile_counts counts;
	void *cursor = NULL;
	const char *path;

	logfile_counts(logs->connections, &counts);
	if (counts.error[0]) {
		snprintf(ret_text, size, "connection log: %s", counts.error);
		return true;
	}
	while (logs_next_access(logs, &cursor, &path, &counts))
		if (counts.error[0]) {
			snprintf(ret_text, size, "access log %s: %s", path, counts.error);
			return true;
		}
	return false;
}

static void answer(struct logs *logs, struct admin_reply *reply)
{
	char error[ERROR_BYTES];
	yyjson_mut_doc *doc;
	struct view view;

	if (find_error(logs, error, sizeof(error))) {
		admin_reply_error(reply, 500, "not_opened", "%s", error);
		return;
	}
	doc = admin_doc_new();
	view = (struct view){doc, yyjson_mut_doc_get_root(doc)};
	view_text(&view, "result", "reopened");
	admin_reply_finish(reply, 200, doc);
}

static void reopened(struct job *job)
{
	struct writing *writing = container_of(job, struct writing, job);

	if (writing->reply) /* else a signal asked: the log says what went wrong */
		answer(writing->logs, writing->reply);
	free(writing);
}

void logs_reopen(struct logs *logs, struct admin_reply *reply)
{
	struct writing *writing;
	uint32_t i;

	if (!logfile_ring(logs->connections, 0) && list_is_empty(&logs->access)) {
		if (reply)
			admin_reply_error(reply, 409, "no_file",
				"no log is written to a file: neither log.connections nor an "
				"access_log.path of a listener names one");
		return;
	}
	writing = writing_new(logs, reopened);
	writing->reply = reply;
	for (i = 0; i < writing->n; i++)
		logfile_reopen(writing->files[i]);
	loader_submit(logs->daemon->log_writer, &writing->job);
}
