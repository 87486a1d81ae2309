/*
 * The table of settings: what settings.def says, as data. Everything that knows about settings
 * (reader, checks, config_show, manual page) walks this table. Constant; any thread may read.
 */
#ifndef SLUICE_CONTROL_CONFIG_SETTINGS_H
#define SLUICE_CONTROL_CONFIG_SETTINGS_H

#include "control/config.h"
#include "core/slice.h"
#include <sluice/limits.h>

enum setting_type {
	SETTING_BOOL,
	SETTING_INT,
	SETTING_DURATION, /* stored in ms */
	SETTING_SIZE,     /* stored in bytes */
	SETTING_PERCENT,
	SETTING_ENUM,
	SETTING_NAME, /* of an object of this file */
	SETTING_REF,  /* pointer to an object of section `child` */
	SETTING_TEXT, /* printable, `min` to `max` bytes */
	SETTING_HOSTNAME,
	SETTING_SERVER_NAME, /* a host name, or *. and one */
	SETTING_URL_PATH,
	SETTING_BODY, /* any text, line ends too; `max` bytes */
	SETTING_PATH,
	SETTING_INTERFACE,
	SETTING_ADDRESS,
	SETTING_ENDPOINT, /* an address, or a host name with a port */
	SETTING_PREFIX,
	SETTING_MATCHER,
	SETTING_SECTION, /* settings of section `child` */
};

enum setting_section {
#define SECTION(section, ...) SECTION_##section,
#define SETTING(...)
#define LIST(...)
#include "control/settings.def"
	SECTION_COUNT
};

/* In place of such a value. */
#define CONFIG_REDACTED "REDACTED"

enum { SETTING_ROWS_MAX = 32 }; /* in one section */

struct setting {
	enum setting_section section;
	const char *name;
	enum setting_type type;
	bool list;
	bool required;
	bool restart;          /* a reload cannot change it */
	bool secret; /* may be one, or hold one: archives and who may only read do not get it */
	bool optional; /* SECTION: without it there is none, and its defaults mean nothing */
	uint16_t offset;       /* of the field; of the array's pointer for lists */
	uint16_t count_offset; /* lists: of the number of items */
	uint16_t size;         /* of one value */
	uint64_t min, max;     /* numbers: in stored units; texts: length in bytes */
	uint32_t max_items;    /* lists; 0: no limit */
	const char *unit;      /* INT: what is counted */
	const char *zero;      /* a word that is written for the number 0, or for no path */
	const char *uri; /* PATH: what begins like this is no path and stays as it is */
	const char *words;     /* ENUM: separated by spaces, in the order of the enum */
	const char *def; /* as one would write it, items of a list with spaces; NULL: none */
	enum setting_section child;
	uint32_t only;    /* bits of the values of "protocol" it makes sense for; 0: all */
	const char *help; /* plain sentences */
};

struct section {
	const char *path; /* "listeners[].timeouts", "" for the top level */
	const char *help;
	uint16_t size;
	uint16_t first; /* row; they stand together */
};

/* The last row is a mark of the end: its section is SECTION_COUNT. */
extern const struct setting config_settings[];
extern const struct section config_sections[SECTION_COUNT];

#define for_each_setting(row, section_)                                                            \
	for (row = &config_settings[config_sections[section_].first];                              \
		(row)->section == (section_); row++)

/* NULL if the section has no such setting. */
const struct setting *config_setting_find(enum setting_section section, struct slice name);

static inline void *config_field(const struct setting *setting, const void *base)
{
	return (char *)base + setting->offset;
}

static inline uint32_t *config_field_count(const struct setting *setting, const void *base)
{
	return (uint32_t *)((char *)base + setting->count_offset);
}

/* No valid value of "protocol": nothing can be said about what applies. */
#define PROTOCOL_UNKNOWN UINT32_MAX

/* The value of the section's own "protocol", else that of the section around it. */
uint32_t config_protocol_in(enum setting_section section, const void *base, uint32_t around);
bool config_setting_applies(const struct setting *row, uint32_t protocol);

/* The setting and its value as YAML, the caller's to free() (config_show.c). */
char *config_show_setting(const struct setting *row, const void *base);

/* Iterates over a list of words separated by spaces: false at the end. */
bool config_word_next(const char **words, struct slice *ret_word);

/* Keeps the nearest of the words offered to it: what a mistyped word may have meant. */
struct nearest {
	struct slice wanted;
	struct slice best;
	uint32_t distance;
};

void nearest_init(struct nearest *nearest, struct slice wanted);
void nearest_offer(struct nearest *nearest, struct slice word);
/* ' (did you mean "word"?)', or "" if nothing is near; `buf` holds it. */
const char *nearest_text(const struct nearest *nearest, char *buf, size_t len);
enum { NEAREST_TEXT_BYTES = 96 };

#endif
