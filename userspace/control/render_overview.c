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

/* Of a table: so many lines, and how many there are more. */
static void put_block(const char *title, char *text, size_t lines, FILE *out)
{
	size_t shown = 0, more = 0;

	fprintf(out, "\n%s\n", title);
	for (char *line = text; *line; line += strcspn(line, "\n") + 1, shown++) {
		if (shown < lines)
			fprintf(out, "%.*s\n", (int)strcspn(line, "\n"), line);
		else
			more++;
		if (!strchr(line, '\n'))
			break;
	}
	if (more)
		fprintf(out, "... %zu more\n", more);
	free(text);
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

void render_overview(yyjson_val *root, const struct render_look *look, FILE *out)
{
	put_head(yyjson_obj_get(root, "status"), look, out);
	put_block("LISTENERS", rendered(render_listeners, root, look), 9, out);
	put_block("TARGETS", rendered(render_targets, root, look), 13, out);
	put_block("DROPS", rendered(render_drops, root, look), 9, out);
	put_block("SOURCES", rendered(render_top, yyjson_obj_get(root, "sources"), look), 9, out);
}
