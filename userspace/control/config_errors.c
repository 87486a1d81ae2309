/* The list of what is wrong with a configuration: see config_errors.h. */
#include "control/config_errors.h"

#include "core/mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void config_errors_init(struct config_errors *errors)
{
	*errors = (struct config_errors){0};
}

void config_errors_fini(struct config_errors *errors)
{
	for (uint32_t i = 0; i < errors->count; i++)
		free(errors->item[i].text);
	for (uint32_t i = 0; i < errors->n_sources; i++)
		free(errors->sources[i]);
	free(errors->sources);
	free(errors->item);
	free(errors->file);
	*errors = (struct config_errors){0};
}

bool config_errors_full(const struct config_errors *errors)
{
	return errors->count == CONFIG_ERRORS_MAX;
}

uint32_t config_errors_total(const struct config_errors *errors)
{
	return errors->count + errors->more;
}

void config_errors_set_file(struct config_errors *errors, const char *file)
{
	free(errors->file);
	errors->file = mem_strdup(file);
}

uint32_t config_errors_add_source(struct config_errors *errors, const char *name)
{
	errors->sources =
		mem_realloc(errors->sources, (errors->n_sources + 1) * sizeof(errors->sources[0]));
	errors->sources[errors->n_sources++] = mem_strdup(name);
	return errors->n_sources;
}

const char *config_errors_source(const struct config_errors *errors, uint32_t source)
{
	if (source > 0 && source <= errors->n_sources)
		return errors->sources[source - 1];
	return errors->file ? errors->file : "configuration";
}

void config_errors_add(struct config_errors *errors, struct config_mark mark, const char *path,
	const char *format, ...)
{
	bool has_path = path && path[0];
	char text[1024];
	va_list args;

	if (config_errors_full(errors)) {
		errors->more++;
		return;
	}
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	errors->item = mem_realloc(errors->item, (errors->count + 1) * sizeof(errors->item[0]));
	errors->item[errors->count++] = (struct config_error){
		.mark = mark,
		.text = mem_printf("%s%s%s", has_path ? path : "", has_path ? ": " : "", text),
	};
}

static int compare_marks(struct config_mark a, struct config_mark b)
{
	if (a.source != b.source)
		return a.source < b.source ? -1 : 1;
	if (a.line != b.line)
		return a.line < b.line ? -1 : 1;
	return a.column < b.column ? -1 : a.column > b.column;
}

/* Insertion sort: stable, and the list is short and nearly in order. */
static void sort_by_mark(struct config_errors *errors)
{
	for (uint32_t i = 1; i < errors->count; i++) {
		struct config_error moved = errors->item[i];
		uint32_t j = i;

		for (; j > 0 && compare_marks(errors->item[j - 1].mark, moved.mark) > 0; j--)
			errors->item[j] = errors->item[j - 1];
		errors->item[j] = moved;
	}
}

void config_errors_print(struct config_errors *errors, FILE *out)
{
	const char *file = errors->file ? errors->file : "configuration";

	sort_by_mark(errors);
	for (uint32_t i = 0; i < errors->count; i++) {
		const struct config_error *e = &errors->item[i];

		const char *source = config_errors_source(errors, e->mark.source);

		if (e->mark.line)
			fprintf(out, "%s:%u:%u: %s\n", source, e->mark.line, e->mark.column,
				e->text);
		else
			fprintf(out, "%s: %s\n", source, e->text);
	}
	if (errors->more)
		fprintf(out, "%s: and %u more\n", file, errors->more);
}
