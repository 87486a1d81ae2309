/* The table of settings as data, and the search for what a mistyped word may have meant: see
 * config_settings.h. */
#include "control/config_settings.h"

#include <ctype.h>

#define SECTION(...)
#define SETTING(section_, field_, name_, type_, ...)                                               \
	{.section = SECTION_##section_,                                                            \
		.name = name_,                                                                     \
		.type = SETTING_##type_,                                                           \
		.offset = offsetof(struct section_, field_),                                       \
		.size = sizeof(((struct section_ *)NULL)->field_),                                 \
		__VA_ARGS__},
#define LIST(section_, field_, name_, type_, ...)                                                  \
	{.section = SECTION_##section_,                                                            \
		.name = name_,                                                                     \
		.type = SETTING_##type_,                                                           \
		.list = true,                                                                      \
		.offset = offsetof(struct section_, field_),                                       \
		.count_offset = offsetof(struct section_, field_##_count),                         \
		.size = sizeof(*((struct section_ *)NULL)->field_),                                \
		__VA_ARGS__},
const struct setting config_settings[] = {
#include "control/settings.def"
	{.section = SECTION_COUNT},
};

/* The number of each row, counted by the compiler: a section's begin is that of its first row. */
enum setting_row {
#define SECTION(section_, ...)                                                                     \
	ROW_##section_##_begin, ROW_##section_##_back = ROW_##section_##_begin - 1,
#define SETTING(section_, field_, ...) ROW_##section_##_##field_,
#define LIST(section_, field_, ...)    ROW_##section_##_##field_,
#include "control/settings.def"
};

const struct section config_sections[SECTION_COUNT] = {
#define SECTION(section_, path_, help_)                                                            \
	[SECTION_##section_] = {.path = path_,                                                     \
		.help = help_,                                                                     \
		.size = sizeof(struct section_),                                                   \
		.first = ROW_##section_##_begin},
#define SETTING(...)
#define LIST(...)
#include "control/settings.def"
};

const struct setting *config_setting_find(enum setting_section section, struct slice name)
{
	const struct setting *row;

	for_each_setting(row, section)
	{
		if (slice_eq(slice_of(row->name), name))
			return row;
	}
	return NULL;
}

uint32_t config_protocol_in(enum setting_section section, const void *base, uint32_t around)
{
	const struct setting *row = config_setting_find(section, SLICE("protocol"));

	return row && row->type == SETTING_ENUM ? *(const uint32_t *)config_field(row, base)
						: around;
}

bool config_setting_applies(const struct setting *row, uint32_t protocol)
{
	return !row->only || protocol >= 32 || row->only & 1u << protocol;
}

bool config_word_next(const char **words, struct slice *ret_word)
{
	const char *begin = *words + strspn(*words, " ");
	size_t len = strcspn(begin, " ");

	if (len == 0)
		return false;
	*words = begin + len;
	*ret_word = (struct slice){begin, len};
	return true;
}

static uint32_t min3(uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Edits (insert, delete, replace, swap of neighbours) between two words of at most
 * CONFIG_NAME_MAX bytes, capitals ignored. */
static uint32_t edit_distance(struct slice a, struct slice b)
{
	uint32_t rows[3][CONFIG_NAME_MAX + 1];
	uint32_t *before = rows[0], *last = rows[1], *now = rows[2];

	for (uint32_t j = 0; j <= b.len; j++)
		last[j] = j;
	for (uint32_t i = 1; i <= a.len; i++) {
		now[0] = i;
		for (uint32_t j = 1; j <= b.len; j++) {
			int x = tolower((unsigned char)a.ptr[i - 1]);
			int y = tolower((unsigned char)b.ptr[j - 1]);

			now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == tolower((unsigned char)b.ptr[j - 2]) &&
				y == tolower((unsigned char)a.ptr[i - 2]))
				now[j] = min3(now[j], now[j], before[j - 2] + 1);
		}
		uint32_t *spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[b.len];
}

void nearest_init(struct nearest *nearest, struct slice wanted)
{
	/* More than every third character wrong is another word, not a mistyped one. */
	*nearest = (struct nearest){.wanted = wanted, .distance = (uint32_t)wanted.len / 3 + 2};
}

void nearest_offer(struct nearest *nearest, struct slice word)
{
	uint32_t distance;

	if (nearest->wanted.len > CONFIG_NAME_MAX || word.len > CONFIG_NAME_MAX)
		return;
	distance = edit_distance(nearest->wanted, word);
	if (distance >= nearest->distance || distance >= word.len)
		return;
	nearest->distance = distance;
	nearest->best = word;
}

const char *nearest_text(const struct nearest *nearest, char *buf, size_t len)
{
	if (!nearest->best.ptr)
		return "";
	snprintf(buf, len, " (did you mean \"%.*s\"?)", (int)nearest->best.len, nearest->best.ptr);
	return buf;
}
