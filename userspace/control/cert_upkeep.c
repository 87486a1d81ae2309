/* Checking in the background, and the index: see cert_upkeep.h. */
#define LOG_MODULE "certificates"
#include "control/cert_upkeep.h"

#include "control/build.h"
#include "control/certdir.h"
#include "control/loader.h"
#include "control/token_upkeep.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/mem.h"
#include "tls/certindex.h"
#include "tls/certstore.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	BAD_TOLD_MAX = 100, /* one line each, then how many more */
	CHECKS_AT_ONCE = 64, /* some 4 ms of the loader thread */
	SKIPS_AT_ONCE = 8192, /* that were checked before: about as long */
	WRITTEN_AT_ONCE = 4096, /* some 4 MiB */
	INDEX_AFTER_MS = 10 * 60 * 1000, /* after a change: one of many is soon read again */
};

/* Directories of a generation; the loader thread works on a list of its own. */
struct dirs {
	struct {
		struct certdir *dir; /* counted */
		char *path;
	} *list;
	uint32_t n;
};

struct cert_upkeep {
	struct loop *loop;
	struct loader *loader;
	bool is_stopped;
	struct token_upkeep *tokens;
	struct dirs dirs; /* of the generation in force */

	struct job tidy;
	bool is_tidying;

	struct job check;
	bool is_checking, is_check_wanted; /* `wanted`: from the beginning */
	struct dirs checked; /* the loader's while is_checking */
	uint32_t check_at;
	struct certdir_cursor cursor;
	bool is_check_over;
	uint32_t n_bad; /* found since the last beginning */

	struct job write;
	struct timer write_timer;
	bool is_writing, is_index_old, is_written_once;
	char *index_path; /* NULL: none */
	struct dirs written; /* from here to `has_failed`: the loader's while is_writing */
	struct certindex_writer *writer; /* NULL: nothing is written yet */
	uint32_t write_at;
	struct certdir_cursor write_cursor;
	bool has_failed;
	struct certindex *index;
};

/* --- lists of directories */
static void dirs_fini(struct dirs *dirs)
{
	uint32_t i;

	for (i = 0; i < dirs->n; i++) {
		certdir_put(dirs->list[i].dir);
		free(dirs->list[i].path);
	}
	free(dirs->list);
	*dirs = (struct dirs){0};
}

static void dirs_add(struct dirs *dirs, struct certdir *dir, const char *path)
{
	dirs->list = mem_realloc(dirs->list, (dirs->n + 1) * sizeof(*dirs->list));
	dirs->list[dirs->n].dir = certdir_get(dir);
	dirs->list[dirs->n++].path = mem_strdup(path);
}

static void dirs_of_build(struct dirs *dirs, const struct build *build)
{
	const struct config *config = build->config;
	uint32_t i;

	for (i = 0; i < config->certificates_count; i++)
		if (build->certs[i].dir)
			dirs_add(dirs, build->certs[i].dir, config->certificates[i].directory_path);
}

static void dirs_copy(struct dirs *copy, const struct dirs *dirs)
{
	uint32_t i;

	for (i = 0; i < dirs->n; i++)
		dirs_add(copy, dirs->list[i].dir, dirs->list[i].path);
}

/* --- checking */
static void check(struct cert_upkeep *upkeep, struct cert *cert)
{
	char name[CERT_NAME_BYTES];
	struct err err;

	if (cert_check(cert, &err) == 0 || !cert_is_news(cert))
		return;
	if (upkeep->n_bad++ < BAD_TOLD_MAX)
		log_error(
			"certificate %s is served to nobody: %s", cert_name(cert, name), err.text);
}

/* Loader thread. */
static void run_check(struct job *job)
{
	struct cert_upkeep *upkeep = container_of(job, struct cert_upkeep, check);
	struct cert *cert;
	uint32_t done = 0, skipped = 0;

	for (; upkeep->check_at < upkeep->checked.n; upkeep->check_at++) {
		while ((cert = certdir_next(
				upkeep->checked.list[upkeep->check_at].dir, &upkeep->cursor))) {
			if (cert_state(cert) != CERT_UNCHECKED) {
				if (++skipped == SKIPS_AT_ONCE)
					return;
				continue;
			}
			check(upkeep, cert);
			if (++done == CHECKS_AT_ONCE)
				return;
		}
		upkeep->cursor = (struct certdir_cursor){0};
	}
	upkeep->is_check_over = true;
	if (upkeep->n_bad > BAD_TOLD_MAX)
		log_error("%u more certificates are served to nobody (%u in all)",
			upkeep->n_bad - BAD_TOLD_MAX, upkeep->n_bad);
}

static void start(struct cert_upkeep *upkeep);

static void check_done(struct job *job)
{
	struct cert_upkeep *upkeep = container_of(job, struct cert_upkeep, check);

	upkeep->is_checking = false;
	start(upkeep);
}

/* --- the index */
static int write_index(const char *path, const struct dirs *dirs, struct err *err)
{
	struct certindex_writer *writer;
	struct certdir_cursor cursor;
	const struct cert *cert;
	uint32_t i;
	int r;

	r = certindex_writer_new(path, &writer, err);
	if (r < 0)
		return r;
	for (i = 0; i < dirs->n; i++) {
		cursor = (struct certdir_cursor){0};
		certindex_writer_directory(writer, dirs->list[i].path);
		while ((cert = certdir_next(dirs->list[i].dir, &cursor)))
			certindex_writer_add(writer, cert);
	}
	return certindex_writer_end(writer, err);
}

/* What it has is not in force any more, keys among it. */
static void remove_index(const char *path)
{
	if (unlink(path) < 0 && errno != ENOENT)
		log_warn("cannot remove the index %s, which is out of date: %s", path,
			strerror(errno));
}

/* A piece of it: who waits for the loader thread does not wait for the whole. */
static int write_some(struct cert_upkeep *upkeep, struct err *err)
{
	const struct cert *cert;
	uint32_t n = 0;
	int r;

	if (!upkeep->writer) {
		upkeep->write_at = 0;
		upkeep->write_cursor = (struct certdir_cursor){0};
		r = certindex_writer_new(upkeep->index_path, &upkeep->writer, err);
		if (r < 0)
			return r;
	}
	for (; upkeep->write_at < upkeep->written.n; upkeep->write_at++) {
		if (!upkeep->write_cursor.segment && !upkeep->write_cursor.at)
			certindex_writer_directory(
				upkeep->writer, upkeep->written.list[upkeep->write_at].path);
		while ((cert = certdir_next(upkeep->written.list[upkeep->write_at].dir,
				&upkeep->write_cursor))) {
			certindex_writer_add(upkeep->writer, cert);
			if (++n == WRITTEN_AT_ONCE)
				return certindex_writer_sync(upkeep->writer, err);
		}
		upkeep->write_cursor = (struct certdir_cursor){0};
	}
	r = certindex_writer_end(upkeep->writer, err);
	upkeep->writer = NULL;
	return r;
}

/* Loader thread; `index_path` stays while a job is under way. */
static void run_write(struct job *job)
{
	struct cert_upkeep *upkeep = container_of(job, struct cert_upkeep, write);
	struct err err;

	if (write_some(upkeep, &err) == 0)
		return;
	upkeep->has_failed = true;
	remove_index(upkeep->index_path);
	log_warn("without an index starts take longer: %s", err.text);
}

static void write_done(struct job *job)
{
	struct cert_upkeep *upkeep = container_of(job, struct cert_upkeep, write);

	if (upkeep->writer && !upkeep->has_failed && !upkeep->is_stopped) {
		loader_submit(upkeep->loader, &upkeep->write);
		return;
	}
	upkeep->is_writing = false;
	certindex_writer_abort(upkeep->writer);
	upkeep->is_index_old |= upkeep->writer != NULL;
	upkeep->writer = NULL;
	dirs_fini(&upkeep->written);
	if (upkeep->has_failed) { /* said once */
		free(upkeep->index_path);
		upkeep->index_path = NULL;
	}
	start(upkeep);
}

static void write_time(struct timer *timer)
{
	start(container_of(timer, struct cert_upkeep, write_timer));
}

/* --- what comes next */
static void start_check(struct cert_upkeep *upkeep)
{
	if (upkeep->is_check_wanted) {
		upkeep->is_check_wanted = upkeep->is_check_over = false;
		dirs_fini(&upkeep->checked);
		dirs_copy(&upkeep->checked, &upkeep->dirs);
		upkeep->check_at = upkeep->n_bad = 0;
		upkeep->cursor = (struct certdir_cursor){0};
	}
	if (upkeep->is_check_over) {
		dirs_fini(&upkeep->checked);
		return;
	}
	upkeep->is_checking = true;
	loader_submit(upkeep->loader, &upkeep->check);
}

/* The first index tells what was found good: after the checks. */
static void start_write(struct cert_upkeep *upkeep)
{
	upkeep->is_index_old = false;
	upkeep->is_written_once = upkeep->is_writing = true;
	dirs_copy(&upkeep->written, &upkeep->dirs);
	timer_set(upkeep->loop, &upkeep->write_timer, INDEX_AFTER_MS);
	loader_submit(upkeep->loader, &upkeep->write);
}

static void start(struct cert_upkeep *upkeep)
{
	if (upkeep->is_stopped || upkeep->is_checking || upkeep->is_writing)
		return;
	start_check(upkeep);
	if (!upkeep->is_checking && upkeep->is_index_old && upkeep->index_path &&
		(!upkeep->is_written_once || !timer_is_set(&upkeep->write_timer)))
		start_write(upkeep);
}

void cert_upkeep_look(struct cert_upkeep *upkeep, const struct build *build, bool is_changed)
{
	token_upkeep_look(upkeep->tokens, build);
	certindex_free(upkeep->index);
	upkeep->index = NULL;
	if (!is_changed && upkeep->dirs.n)
		return;
	dirs_fini(&upkeep->dirs);
	dirs_of_build(&upkeep->dirs, build);
	if (is_changed && !upkeep->dirs.n && upkeep->index_path)
		remove_index(upkeep->index_path);
	upkeep->is_index_old |= is_changed && upkeep->dirs.n;
	upkeep->is_check_wanted = true;
	start(upkeep);
}

static void run_tidy(struct job *job)
{
	certstore_free_aside();
}

static void tidy_done(struct job *job)
{
	container_of(job, struct cert_upkeep, tidy)->is_tidying = false;
}

bool cert_upkeep_tick(struct cert_upkeep *upkeep)
{
	if (upkeep->is_stopped)
		return false;
	if (!upkeep->is_tidying && certstore_has_aside()) {
		upkeep->is_tidying = true;
		loader_submit(upkeep->loader, &upkeep->tidy);
	}
	return token_upkeep_tick(upkeep->tokens, loop_now_ms(upkeep->loop));
}

struct cert_upkeep *cert_upkeep_new(
	struct loop *loop, struct loader *loader, const char *index_path)
{
	struct cert_upkeep *upkeep = mem_zalloc(sizeof(*upkeep));
	struct err err;
	int r;

	upkeep->loop = loop;
	upkeep->loader = loader;
	upkeep->tokens = token_upkeep_new();
	upkeep->is_check_over = true;
	upkeep->tidy = (struct job){.run = run_tidy, .done = tidy_done};
	certstore_lay_aside(true);
	upkeep->check = (struct job){.run = run_check, .done = check_done};
	upkeep->write = (struct job){.run = run_write, .done = write_done};
	upkeep->write_timer.fire = write_time;
	if (!index_path)
		return upkeep;
	upkeep->index_path = mem_strdup(index_path);
	r = certindex_open(index_path, &upkeep->index, &err);
	if (r < 0 && r != -ENOENT)
		log_warn("the index %s is not used, and made anew: %s", index_path, err.text);
	return upkeep;
}

void cert_upkeep_stop(struct cert_upkeep *upkeep)
{
	if (!upkeep)
		return;
	upkeep->is_stopped = true;
	timer_clear(&upkeep->write_timer);
}

void cert_upkeep_free(struct cert_upkeep *upkeep)
{
	struct err err;

	if (!upkeep)
		return;
	if (upkeep->is_index_old && upkeep->index_path &&
		write_index(upkeep->index_path, &upkeep->dirs, &err) < 0) {
		log_warn("the next start takes longer: %s", err.text);
		remove_index(upkeep->index_path);
	}
	token_upkeep_free(upkeep->tokens);
	dirs_fini(&upkeep->dirs);
	dirs_fini(&upkeep->checked);
	dirs_fini(&upkeep->written);
	certstore_lay_aside(false);
	certstore_free_aside();
	certindex_free(upkeep->index);
	free(upkeep->index_path);
	free(upkeep);
}

const struct certindex *cert_upkeep_index(const struct cert_upkeep *upkeep)
{
	return upkeep->index;
}
