/* Everything that moves on one screen: see render.h. The document is that of several views together. */
#include "control/render.h"
#include "control/render_table.h"
#include "control/render_value.h"
#include "core/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* How fast a member of "status" rises; negative: not known yet. */
static double rate(
	yyjson_val *status, const struct render_look *look, const char *object, const char *member)
{
	yyjson_val *before = yyjson_obj_get(look->previous, "status");
	uint64_t now, then;

	if (!before || look->elapsed_s <= 0)
		return -1;
	if (object) {
		status = yyjson_obj_get(status, object);
		before = yyjson_obj_get(before, object);
	}
	now = yyjson_get_uint(yyjson_obj_get(status, member));
	then = yyjson_get_uint(yyjson_obj_get(before, member));
	return now < then ? 0 : (double)(now - then) / look->elapsed_s;
}

static void put_rate(FILE *out, const char *what, double per_second)
{
	if (per_second < 0)
		fprintf(out, "  %s -", what);
	else
		fprintf(out, "  %s %.*f/s", what, per_second < 10 ? 1 : 0, per_second);
}

static void put_head(yyjson_val *status, const struct render_look *look, FILE *out)
{
	struct render_value version, state, open, up;
	yyjson_val *worker;
	size_t i, n;

	fprintf(out, "sluiced %s, %s, up %s, %s connections\n",
		render_get(status, "version", &version), render_get(status, "state", &state),
		render_duration(yyjson_get_sint(yyjson_obj_get(status, "uptime_s")), &up),
		render_get(status, "connections_open", &open));
	put_rate(out, "accepted", rate(status, look, NULL, "accepted_total"));
	put_rate(out, "requests", rate(status, look, NULL, "requests_total"));
	put_rate(out, "handshakes full", rate(status, look, "handshakes", "full"));
	put_rate(out, "resumed", rate(status, look, "handshakes", "resumed"));
	put_rate(out, "failed", rate(status, look, "handshakes", "failed"));
	fputs("\n  workers busy", out);
	yyjson_arr_foreach(yyjson_obj_get(status, "workers"), i, n, worker)
		fprintf(out, " %s%%", render_get(worker, "busy_percent", &version));
	putc('\n', out);
}

static char *rendered(void (*render)(yyjson_val *root, const struct render_look *look, FILE *out),
	yyjson_val *root, const struct render_look *look)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return mem_strdup("");
	render(root, look, out);
	fclose(out);
	return text;
}

/* A table of the screen. */
struct block {
	const char *title;
	char *text; /* with the titles of its columns */
	size_t n, shown, most; /* lines */
};

enum { BLOCKS = 4, HEAD_ROWS = 3, SPACED_ROWS = 40, SHOWN_MIN = 2 };

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n' || !text[1];
	return n;
}

/* Its title, and how many lines there are more. */
static size_t rows_of(const struct block *block, size_t shown)
{
	return 1 + (shown < block->n ? shown + 1 : block->n);
}

/* Each has some lines, and what is left goes to them in turn. */
static void share_rows(struct block blocks[static BLOCKS], size_t rows)
{
	size_t used = 0, i;
	bool more = true;

	for (i = 0; i < BLOCKS; i++) {
		blocks[i].shown = rows ? SHOWN_MIN : blocks[i].most;
		used += rows_of(&blocks[i], blocks[i].shown);
	}
	while (rows && more) {
		more = false;
		for (i = 0; i < BLOCKS; i++) {
			size_t before = rows_of(&blocks[i], blocks[i].shown);
			size_t after = rows_of(&blocks[i], blocks[i].shown + 1);

			if (blocks[i].shown >= blocks[i].n || blocks[i].shown == blocks[i].most ||
				used - before + after > rows)
				continue;
			blocks[i].shown++;
			used += after - before;
			more = true;
		}
	}
}

static void put_block(const struct block *block, bool is_spaced, FILE *out)
{
	const char *line = block->text;
	size_t i;

	fprintf(out, "%s%s\n", is_spaced ? "\n" : "", block->title);
	for (i = 0; i < block->n && i < block->shown; i++) {
		size_t len = strcspn(line, "\n");

		fprintf(out, "%.*s\n", (int)len, line);
		line += len + (line[len] == '\n');
	}
	if (i < block->n)
		fprintf(out, "... %zu more\n", block->n - i);
}

void render_overview(yyjson_val *root, const struct render_look *look, FILE *out)
{
	struct block blocks[BLOCKS] = {
		{"LISTENERS", rendered(render_listeners, root, look), .most = 9},
		{"TARGETS", rendered(render_targets, root, look), .most = 13},
		{"DROPS", rendered(render_drops, root, look), .most = 9},
		{"SOURCES", rendered(render_top, yyjson_obj_get(root, "sources"), look), .most = 9},
	};
	bool is_spaced = !look->rows || look->rows >= SPACED_ROWS;
	size_t head = HEAD_ROWS + (is_spaced ? BLOCKS : 0), i;

	for (i = 0; i < BLOCKS; i++)
		blocks[i].n = count_lines(blocks[i].text);
	share_rows(blocks, !look->rows ? 0 : look->rows > head ? look->rows - head : 1);
	put_head(yyjson_obj_get(root, "status"), look, out);
	for (i = 0; i < BLOCKS; i++) {
		put_block(&blocks[i], is_spaced, out);
		free(blocks[i].text);
	}
}
