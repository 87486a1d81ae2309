/* The effective configuration as YAML, and the comparison of two: see config.h. */
#include "control/config_scalar.h"

#include "core/mem.h"

#include <ctype.h>
#include <stdlib.h>

struct showing {
	FILE *out;
	bool redact; /* what may be secret */
};

static void show_section(enum setting_section section, const void *base, uint32_t around,
	int indent, bool in_item, const struct showing *showing);

/* Needs no quotes anywhere in YAML: starts with a letter, digit or slash and has nothing that could
 * mean something. */
static bool is_plain(const char *text)
{
	if (!isalnum((unsigned char)text[0]) && text[0] != '/')
		return false;
	for (; *text; text++) {
		if (!isalnum((unsigned char)*text) && !strchr("/._-%,", *text))
			return false;
	}
	return true;
}

static bool is_null_word(const char *text)
{
	return !strcmp(text, "null");
}

/* One character of UTF-8 and how many bytes it has; the text is valid, the parser saw to that. */
static uint32_t utf8_next(const unsigned char *text, int *ret_len)
{
	uint32_t code;
	int len = text[0] < 0x80 ? 1 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;

	code = len == 1 ? text[0] : text[0] & (0x7f >> len);
	for (int i = 1; i < len && text[i]; i++)
		code = code << 6 | (text[i] & 0x3f);
	*ret_len = len;
	return code;
}

static void show_quoted(const char *text, FILE *out)
{
	const unsigned char *p = (const unsigned char *)text;
	int len;

	fputc('"', out);
	for (; *p; p += len) {
		uint32_t code = utf8_next(p, &len);

		if (code == '"' || code == '\\')
			fprintf(out, "\\%c", (int)code);
		else if (code >= 0x20 && code < 0x7f)
			fputc((int)code, out);
		else if (code >= 0xa0 && code < 0xd800 && code != 0x2028 && code != 0x2029)
			fwrite(p, 1, (size_t)len, out);
		else
			fprintf(out, "\\U%08X", code);
	}
	fputc('"', out);
}

static void show_value(const struct setting *row, const void *field, const struct showing *showing)
{
	FILE *out = showing->out, *memory;
	char *text = NULL;
	size_t len;

	if (showing->redact && row->secret) {
		fputs(CONFIG_REDACTED, out);
		return;
	}
	memory = open_memstream(&text, &len);
	if (!memory)
		abort();
	config_print_scalar(row, field, memory);
	fclose(memory);
	if (is_plain(text) && !is_null_word(text))
		fputs(text, out);
	else
		show_quoted(text, out);
	free(text);
}

static void show_list(const struct setting *row, const void *base, uint32_t protocol, int indent,
	const struct showing *showing)
{
	FILE *out = showing->out;
	uint32_t count = *config_field_count(row, base);
	const char *items = *(char **)config_field(row, base);

	fprintf(out, count ? "\n" : " []\n");
	for (uint32_t i = 0; i < count; i++) {
		const char *item = items + (size_t)row->size * i;

		fprintf(out, "%*s- ", indent + 2, "");
		if (row->type == SETTING_SECTION) {
			show_section(row->child, item, protocol, indent + 4, true, showing);
		} else {
			show_value(row, item, showing);
			fputc('\n', out);
		}
	}
}

static void show_setting(const struct setting *row, const void *base, uint32_t protocol, int indent,
	const struct showing *showing)
{
	FILE *out = showing->out;

	fprintf(out, "%s:", row->name);
	if (row->list) {
		show_list(row, base, protocol, indent, showing);
	} else if (row->type == SETTING_SECTION) {
		fputc('\n', out);
		show_section(
			row->child, config_field(row, base), protocol, indent + 2, false, showing);
	} else {
		fputc(' ', out);
		show_value(row, config_field(row, base), showing);
		fputc('\n', out);
	}
}

/* Settings that do not apply are left out, as the parser would refuse them; so are optional texts
 * without a value. `in_item`: the first setting follows "- ". */
static void show_section(enum setting_section section, const void *base, uint32_t around,
	int indent, bool in_item, const struct showing *showing)
{
	uint32_t protocol = config_protocol_in(section, base, around);
	const struct setting *row;

	for_each_setting(row, section)
	{
		if (!config_setting_applies(row, protocol) ||
			(!row->list && config_print_is_unset(row, config_field(row, base))))
			continue;
		if (row->optional && !((const struct config_mark *)config_field(row, base))->line)
			continue;
		if (row->list && !*config_field_count(row, base) && section != SECTION_config &&
			!row->def)
			continue;
		fprintf(showing->out, "%*s", in_item ? 0 : indent, "");
		in_item = false;
		show_setting(row, base, protocol, indent, showing);
	}
}

void config_show(const struct config *config, bool redact, FILE *out)
{
	struct showing showing = {out, redact};

	show_section(SECTION_config, config, PROTOCOL_UNKNOWN, 0, false, &showing);
}

char *config_show_setting(const struct setting *row, const void *base)
{
	char *text = NULL;
	size_t len;
	struct showing showing = {open_memstream(&text, &len), false};

	if (!showing.out)
		abort();
	show_setting(row, base, PROTOCOL_UNKNOWN, 0, &showing);
	fclose(showing.out);
	while (len && text[len - 1] == '\n')
		text[--len] = '\0';
	return text;
}

/* Only sections that exist once can have settings that need a restart. */
static bool compare_restart(enum setting_section section, const void *old_base,
	const void *new_base, const struct config *new, struct config_errors *errors)
{
	const char *path = config_sections[section].path;
	const struct setting *row;
	bool differs = false;

	for_each_setting(row, section)
	{
		const void *new_field = config_field(row, new_base);
		char *old_text, *new_text, *full;

		if (row->type == SETTING_SECTION && !row->list)
			differs |= compare_restart(
				row->child, config_field(row, old_base), new_field, new, errors);
		if (!row->restart)
			continue;
		old_text = config_show_setting(row, old_base);
		new_text = config_show_setting(row, new_base);
		if (strcmp(old_text, new_text) != 0) {
			differs = true;
			full = mem_printf("%s%s%s", path, path[0] ? "." : "", row->name);
			if (errors)
				config_errors_add(errors,
					config_mark(
						new, new_field, *(struct config_mark *)new_base),
					full, "a reload cannot change this: restart sluiced");
			free(full);
		}
		free(old_text);
		free(new_text);
	}
	return differs;
}

bool config_is_restart_needed(
	const struct config *old, const struct config *new, struct config_errors *errors)
{
	return compare_restart(SECTION_config, old, new, new, errors);
}
