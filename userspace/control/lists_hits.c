/* Hits per prefix of the deny list: see lists.h. Read on the loader thread, as lists are changed. */
#include "control/lists_parts.h"

/* Keeps the rows sorted, most hits first, as long as there is room. */
static void hits_take(void *arg, const struct dp_deny_hits *row)
{
	struct lists_hits *hits = arg;
	size_t place;

	if (hits->count == hits->max && (!hits->max || hits->rows[hits->max - 1].hits >= row->hits))
		return;
	hits->count += hits->count < hits->max;
	for (place = hits->count - 1; place && hits->rows[place - 1].hits < row->hits; place--)
		hits->rows[place] = hits->rows[place - 1];
	hits->rows[place] = *row;
}

static void hits_run(struct job *job)
{
	struct lists_hits *hits = container_of(job, struct lists_hits, job);

	hits->count = 0;
	hits->code = dp_deny_hits_read(hits->lists->dp, hits_take, hits, &hits->err);
}

static void hits_done(struct job *job)
{
	struct lists_hits *hits = container_of(job, struct lists_hits, job);

	hits->done(hits, hits->code, hits->code ? hits->err.text : "");
}

void lists_hits_read(struct lists *lists, struct lists_hits *hits)
{
	hits->lists = lists;
	hits->job = (struct job){.run = hits_run, .done = hits_done};
	loader_submit(lists->loader, &hits->job);
}
