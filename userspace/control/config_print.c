/* Values of the configuration to text: see config_scalar.h. */
#include "control/config_scalar.h"

struct print_unit {
	const char *name;
	uint64_t factor;
};

static const struct print_unit durations[] = {
	{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct print_unit sizes[] = {{"g", 1 << 30}, {"m", 1 << 20}, {"k", 1 << 10}, {"", 1}};

/* In the largest unit that loses nothing. */
static void print_in(const struct print_unit *units, uint64_t value, FILE *out)
{
	while (units->factor > 1 && (value == 0 || value % units->factor))
		units++;
	fprintf(out, "%llu%s", (unsigned long long)(value / units->factor), units->name);
}

void config_print_number(const struct setting *row, uint64_t value, FILE *out)
{
	if (row->type == SETTING_DURATION)
		print_in(durations, value, out);
	else if (row->type == SETTING_SIZE)
		print_in(sizes, value, out);
	else
		fprintf(out, "%llu%s", (unsigned long long)value,
			row->type == SETTING_PERCENT ? "%" : "");
}

static uint64_t load_number(const struct setting *row, const void *field)
{
	uint64_t wide;
	uint32_t narrow;

	if (row->size == sizeof(wide)) {
		memcpy(&wide, field, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, field, sizeof(narrow));
	return narrow;
}

static void print_word(const struct setting *row, uint64_t value, FILE *out)
{
	const char *words = row->words;
	struct slice word = {"", 0};

	for (uint64_t i = 0; i <= value && config_word_next(&words, &word); i++)
		;
	fwrite(word.ptr, 1, word.len, out);
}

static void print_matcher(const struct config_matcher *matcher, FILE *out)
{
	for (uint32_t i = 0; i < matcher->count; i++) {
		const struct config_status_range *range = &matcher->range[i];

		fprintf(out, "%s%u", i ? "," : "", range->first);
		if (range->last != range->first)
			fprintf(out, "-%u", range->last);
	}
}

static void print_endpoint(const struct config_endpoint *endpoint, FILE *out)
{
	char buf[ADDRESS_TEXT_BYTES];

	if (endpoint->host)
		fprintf(out, "%s:%u", endpoint->host, endpoint->address.port);
	else
		fputs(address_text(&endpoint->address, buf, sizeof(buf)), out);
}

/* All references point to structs with a name behind the mark, as REF rows demand. */
static const char *ref_name(const struct setting *row, const void *field)
{
	const void *object = *(const void *const *)field;
	const struct setting *name = config_setting_find(row->child, SLICE("name"));

	return object ? *(char **)config_field(name, object) : "";
}

void config_print_scalar(const struct setting *row, const void *field, FILE *out)
{
	char buf[ADDRESS_TEXT_BYTES];
	uint64_t number;

	switch (row->type) {
	case SETTING_BOOL:
		fputs(*(const bool *)field ? "true" : "false", out);
		break;
	case SETTING_INT:
	case SETTING_DURATION:
	case SETTING_SIZE:
	case SETTING_PERCENT:
		number = load_number(row, field);
		if (row->zero && number == 0)
			fputs(row->zero, out);
		else
			config_print_number(row, number, out);
		break;
	case SETTING_ENUM:
		print_word(row, load_number(row, field), out);
		break;
	case SETTING_REF:
		fputs(ref_name(row, field), out);
		break;
	case SETTING_ADDRESS:
		fputs(address_text(field, buf, sizeof(buf)), out);
		break;
	case SETTING_ENDPOINT:
		print_endpoint(field, out);
		break;
	case SETTING_PREFIX:
		fputs(config_address_prefix_text(field, buf, sizeof(buf)), out);
		break;
	case SETTING_MATCHER:
		print_matcher(field, out);
		break;
	default:
		fputs(*(char *const *)field ?: row->zero ?: "", out);
	}
}

bool config_print_is_unset(const struct setting *row, const void *field)
{
	switch (row->type) {
	case SETTING_MATCHER:
		return ((const struct config_matcher *)field)->count == 0;
	case SETTING_NAME:
	case SETTING_REF:
	case SETTING_TEXT:
	case SETTING_HOSTNAME:
	case SETTING_SERVER_NAME:
	case SETTING_URL_PATH:
	case SETTING_BODY:
	case SETTING_PATH:
	case SETTING_INTERFACE:
		return !*(void *const *)field && !row->zero;
	default:
		return false;
	}
}
