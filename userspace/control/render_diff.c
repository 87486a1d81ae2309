/* What is different between two versions, as lines of the objects' settings: see render.h. */
#include "control/render.h"
#include "control/render_table.h"
#include "control/render_value.h"
#include "core/mem.h"
#include "core/slice.h"

#include <stdlib.h>
#include <string.h>

enum {
	CONTEXT_LINES = 3,
	CELLS_MAX =
		4 << 20, /* texts of which more would have to be compared are shown as a whole */
};

struct lines {
	char *text;
	struct slice *line;
	size_t n;
};

/* What became of the lines of both: '-', '+', or ' ' of a line that both have. */
struct step {
	char sign;
	struct slice line;
};

struct script {
	struct step *step;
	size_t n;
};

/* An object that is not there has no lines. */
static struct lines split(yyjson_val *settings)
{
	struct lines lines = {
		.text = yyjson_is_obj(settings)
				? yyjson_val_write(settings, YYJSON_WRITE_PRETTY_TWO_SPACES, NULL)
				: NULL};
	const char *at = lines.text;
	size_t room = 1, len;

	for (const char *c = at; c && *c; c++)
		room += *c == '\n';
	lines.line = mem_alloc(room * sizeof(lines.line[0]));
	while (at && *at) {
		len = strcspn(at, "\n");
		lines.line[lines.n++] = (struct slice){at, len};
		at += len + (at[len] == '\n');
	}
	return lines;
}

static void lines_fini(struct lines *lines)
{
	free(lines->text);
	free(lines->line);
}

static void add(struct script *script, char sign, struct slice line)
{
	script->step[script->n++] = (struct step){sign, line};
}

/* Lengths of the longest common subsequence of what is behind each pair of lines; NULL: too much. */
static uint32_t *common_lengths(
	const struct slice *a, size_t n_a, const struct slice *b, size_t n_b)
{
	size_t width = n_b + 1;
	uint32_t *table;

	if ((n_a + 1) > CELLS_MAX / width)
		return NULL;
	table = mem_zalloc((n_a + 1) * width * sizeof(*table));
	for (size_t i = n_a; i-- > 0;)
		for (size_t j = n_b; j-- > 0;) {
			uint32_t down = table[(i + 1) * width + j],
				 right = table[i * width + j + 1];

			table[i * width + j] = slice_eq(a[i], b[j])
						       ? table[(i + 1) * width + j + 1] + 1
					       : down > right ? down
							      : right;
		}
	return table;
}

static void compare_middle(
	struct script *script, const struct slice *a, size_t n_a, const struct slice *b, size_t n_b)
{
	uint32_t *table = common_lengths(a, n_a, b, n_b);
	size_t width = n_b + 1, i = 0, j = 0;

	while (i < n_a || j < n_b) {
		if (table && i < n_a && j < n_b && slice_eq(a[i], b[j])) {
			add(script, ' ', a[i++]);
			j++;
		} else if (i < n_a &&
			   (j == n_b || !table ||
				   table[(i + 1) * width + j] >= table[i * width + j + 1])) {
			add(script, '-', a[i++]);
		} else {
			add(script, '+', b[j++]);
		}
	}
	free(table);
}

static struct script compare(const struct lines *old, const struct lines *new)
{
	struct script script = {mem_alloc((old->n + new->n + 1) * sizeof(struct step)), 0};
	size_t least = old->n < new->n ? old->n : new->n, begin = 0, end = 0;

	while (begin < least && slice_eq(old->line[begin], new->line[begin]))
		add(&script, ' ', old->line[begin++]);
	while (end < least - begin &&
		slice_eq(old->line[old->n - 1 - end], new->line[new->n - 1 - end]))
		end++;
	compare_middle(&script, old->line + begin, old->n - begin - end, new->line + begin,
		new->n - begin - end);
	for (size_t i = old->n - end; i < old->n; i++)
		add(&script, ' ', old->line[i]);
	return script;
}

static bool is_near_a_change(const struct script *script, size_t at)
{
	size_t from = at > CONTEXT_LINES ? at - CONTEXT_LINES : 0;

	for (size_t i = from; i < script->n && i <= at + CONTEXT_LINES; i++)
		if (script->step[i].sign != ' ')
			return true;
	return false;
}

static void print_script(const struct script *script, FILE *out)
{
	bool is_gap = false;

	for (size_t i = 0; i < script->n; i++) {
		const struct step *step = &script->step[i];
		char *line;

		if (!is_near_a_change(script, i)) {
			if (!is_gap)
				fputs(" ...\n", out);
			is_gap = true;
			continue;
		}
		is_gap = false;
		line = mem_strndup(step->line.ptr, step->line.len);
		putc(step->sign, out);
		render_text(line, out);
		putc('\n', out);
		free(line);
	}
}

static void print_change(yyjson_val *row, FILE *out)
{
	struct lines old = split(yyjson_obj_get(row, "before"));
	struct lines new = split(yyjson_obj_get(row, "after"));
	struct render_value op, kind, name;
	struct script script = compare(&old, &new);

	fprintf(out, "%s ", render_get(row, "op", &op));
	render_text(render_get(row, "kind", &kind), out);
	putc('/', out);
	render_text(render_get(row, "name", &name), out);
	putc('\n', out);
	print_script(&script, out);
	free(script.step);
	lines_fini(&old);
	lines_fini(&new);
}

void render_diff(yyjson_val *root, const struct render_look *look, FILE *out)
{
	yyjson_val *list = yyjson_obj_get(root, "changes"), *row;
	struct render_value from, to;
	size_t i, n;

	fprintf(out, "from version %s to version %s%s\n", render_get(root, "from", &from),
		render_get(root, "to", &to), yyjson_arr_size(list) ? ":" : ": no difference");
	yyjson_arr_foreach(list, i, n, row) print_change(row, out);
}
