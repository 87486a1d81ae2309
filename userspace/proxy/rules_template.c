/* Texts that are filled in from a request: see rules_template.h. */
#include "proxy/rules_template.h"

#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct slice names[RULES_VARS] = {
	[RULES_VAR_PROTOCOL] = {"protocol", 8},
	[RULES_VAR_HOST] = {"host", 4},
	[RULES_VAR_PORT] = {"port", 4},
	[RULES_VAR_PATH] = {"path", 4},
	[RULES_VAR_QUERY] = {"query", 5},
};

/* "host.2": the digit and the dot are taken off. 0: there is none. */
static uint32_t take_capture(struct slice *name)
{
	uint32_t number;

	if (name->len < 3 || name->ptr[name->len - 2] != '.' || name->ptr[name->len - 1] < '1' ||
		name->ptr[name->len - 1] > '9')
		return 0;
	number = (uint32_t)(name->ptr[name->len - 1] - '0');
	name->len -= 2;
	return number;
}

static int read_variable(struct slice name, struct rules_piece *ret_piece, struct err *err)
{
	struct slice word = name;
	uint32_t capture = take_capture(&word);
	int variable;

	for (variable = RULES_VAR_PROTOCOL; variable < RULES_VARS; variable++) {
		if (!slice_eq(word, names[variable]) ||
			(capture && variable != RULES_VAR_HOST && variable != RULES_VAR_PATH))
			continue;
		*ret_piece = (struct rules_piece){
			.variable = (enum rules_variable)variable, .capture = capture};
		return 0;
	}
	return err_set(err, -EINVAL,
		"#{%.*s} is not known: there is #{protocol}, #{host}, #{port}, #{path}, #{query}, and "
		"#{host.1} to #{host.9}, #{path.1} to #{path.9}",
		(int)(name.len < 40 ? name.len : 40), name.ptr);
}

static int next_piece(const char **at, struct rules_piece *ret_piece, struct err *err)
{
	const char *begin = *at, *end;
	int r;

	if (begin[0] != '#' || begin[1] != '{') {
		end = strstr(begin, "#{") ?: begin + strlen(begin);
		*ret_piece = (struct rules_piece){.text = {begin, (size_t)(end - begin)}};
		*at = end;
		return 0;
	}
	end = strchr(begin, '}');
	if (!end)
		return err_set(err, -EINVAL, "has a #{ without a }");
	r = read_variable((struct slice){begin + 2, (size_t)(end - begin) - 2}, ret_piece, err);
	*at = end + 1;
	return r;
}

int rules_template_init(struct rules_template *template, const char *source, struct err *err)
{
	const char *at;
	int r = 0;

	*template = (struct rules_template){.source = NULL};
	if (!source)
		return 0;
	template->source = mem_strdup(source);
	template->pieces = mem_alloc((strlen(source) + 1) * sizeof(*template->pieces));
	for (at = template->source; *at && r == 0;)
		r = next_piece(&at, &template->pieces[template->n++], err);
	if (r < 0)
		rules_template_fini(template);
	return r;
}

void rules_template_fini(struct rules_template *template)
{
	free(template->source);
	free(template->pieces);
	*template = (struct rules_template){.source = NULL};
}

uint32_t rules_template_captures(
	const struct rules_template *template, enum rules_variable variable)
{
	uint32_t most = 0, i;

	for (i = 0; i < template->n; i++)
		if (template->pieces[i].variable == variable && template->pieces[i].capture > most)
			most = template->pieces[i].capture;
	return most;
}

static struct slice captured(const struct slice *list, uint32_t n, uint32_t number)
{
	return number <= n ? list[number - 1] : (struct slice){"", 0};
}

static struct slice value_of(const struct rules_piece *piece, const struct rules_values *values)
{
	const struct rules_captures *captures = values->captures;

	if (piece->variable == RULES_VAR_TEXT)
		return piece->text;
	if (!piece->capture)
		return values->whole[piece->variable];
	if (piece->variable == RULES_VAR_HOST)
		return captured(captures->host, captures->n_host, piece->capture);
	return captured(captures->path, captures->n_path, piece->capture);
}

int rules_template_fill(const struct rules_template *template, const struct rules_values *values,
	char *out, size_t size)
{
	size_t used = 0;
	uint32_t i;

	for (i = 0; i < template->n; i++) {
		struct slice text = value_of(&template->pieces[i], values);

		if (text.len > size - used)
			return -ENOBUFS;
		if (text.len)
			memcpy(out + used, text.ptr, text.len);
		used += text.len;
	}
	return (int)used;
}
