/* Values of the configuration from text: see config_scalar.h. config_print.c is the way back. */
#include "control/config_scalar.h"

#include <ctype.h>
#include <errno.h>

const char *scalar_quote(struct slice text, char buf[static QUOTED_BYTES])
{
	size_t room = QUOTED_BYTES - 6, n = 0;
	size_t len = text.len < room ? text.len : room;

	while (len < text.len && len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
		len--;
	buf[n++] = '"';
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		buf[n++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
	}
	snprintf(buf + n, QUOTED_BYTES - n, "%s\"", len < text.len ? "..." : "");
	return buf;
}

static void store_number(const struct setting *row, uint64_t value, void *ret_field)
{
	uint32_t narrow = (uint32_t)value;

	if (row->size == sizeof(value))
		memcpy(ret_field, &value, sizeof(value));
	else
		memcpy(ret_field, &narrow, sizeof(narrow));
}

static int refuse_range(const struct setting *row, struct slice text, struct err *err)
{
	char quoted[QUOTED_BYTES], range[160];
	FILE *out = fmemopen(range, sizeof(range), "w");

	if (!out)
		return err_set(err, -EINVAL, "out of range");
	fputs("must be ", out);
	if (row->zero)
		fprintf(out, "%s or ", row->zero);
	fputs("between ", out);
	config_print_number(row, row->min, out);
	fputs(" and ", out);
	config_print_number(row, row->max, out);
	if (row->unit)
		fprintf(out, " %s", row->unit);
	fclose(out);
	return err_set(err, -EINVAL, "%s, not %s", range, scalar_quote(text, quoted));
}

/* The digits a text begins with; `ret_rest` is what follows. A number too large for the type is
 * out of every range: UINT64_MAX. */
static bool leading_number(struct slice text, uint64_t *ret_number, struct slice *ret_rest)
{
	uint64_t number = 0;
	size_t i;

	for (i = 0; i < text.len && isdigit((unsigned char)text.ptr[i]); i++) {
		if (__builtin_mul_overflow(number, 10, &number) ||
			__builtin_add_overflow(number, (uint64_t)(text.ptr[i] - '0'), &number))
			number = UINT64_MAX;
	}
	*ret_number = number;
	*ret_rest = (struct slice){text.ptr + i, text.len - i};
	return i > 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit duration_units[] = {
	{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit size_units[] = {{"", 1}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30},
	{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {NULL, 0}};
static const struct unit percent_units[] = {{"%", 1}, {NULL, 0}};
static const struct unit plain_units[] = {{"", 1}, {NULL, 0}};

static const struct unit *find_unit(const struct unit *units, struct slice name)
{
	for (; units->name; units++) {
		if (slice_eq(slice_of(units->name), name))
			return units;
	}
	return NULL;
}

static const struct unit *units_of(enum setting_type type, const char **ret_hint)
{
	switch (type) {
	case SETTING_DURATION:
		*ret_hint = "a duration (write 500ms, 10s, 5m, 2h or 1d)";
		return duration_units;
	case SETTING_SIZE:
		*ret_hint = "a size in bytes (write 512, 64k, 10m or 1g)";
		return size_units;
	case SETTING_PERCENT:
		*ret_hint = "a percentage (write 10%)";
		return percent_units;
	default:
		*ret_hint = "a whole number";
		return plain_units;
	}
}

static int read_number(
	const struct setting *row, struct slice text, void *ret_field, struct err *err)
{
	char quoted[QUOTED_BYTES];
	const struct unit *units, *unit;
	const char *hint;
	struct slice rest;
	uint64_t number;

	if (row->zero && slice_eq(text, slice_of(row->zero))) {
		store_number(row, 0, ret_field);
		return 0;
	}
	units = units_of(row->type, &hint);
	if (!leading_number(text, &number, &rest))
		return err_set(err, -EINVAL, "%s is not %s%s%s", scalar_quote(text, quoted),
			row->zero ? row->zero : "", row->zero ? " or " : "", hint);
	unit = find_unit(units, rest);
	if (!unit && number == 0 && rest.len == 0)
		unit = units; /* nothing is the same in every unit */
	if (!unit)
		return err_set(err, -EINVAL, "%s is not %s", scalar_quote(text, quoted), hint);
	if (__builtin_mul_overflow(number, unit->factor, &number))
		number = UINT64_MAX;
	if (number < row->min || number > row->max)
		return refuse_range(row, text, err);
	store_number(row, number, ret_field);
	return 0;
}

static int read_bool(const struct setting *row, struct slice text, void *ret_field, struct err *err)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
	char quoted[QUOTED_BYTES];

	for (size_t i = 0; i < array_len(words); i++) {
		if (slice_eq_nocase(text, slice_of(words[i]))) {
			*(bool *)ret_field = i & 1;
			return 0;
		}
	}
	return err_set(err, -EINVAL, "%s is not true or false", scalar_quote(text, quoted));
}

static int read_enum(const struct setting *row, struct slice text, void *ret_field, struct err *err)
{
	char quoted[QUOTED_BYTES], maybe[NEAREST_TEXT_BYTES], list[160] = "";
	const char *words = row->words;
	struct nearest nearest;
	struct slice word;
	size_t used = 0;

	nearest_init(&nearest, text);
	for (uint32_t value = 0; config_word_next(&words, &word); value++) {
		if (slice_eq(text, word)) {
			store_number(row, value, ret_field);
			return 0;
		}
		nearest_offer(&nearest, word);
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%.*s",
			value ? ", " : "", (int)word.len, word.ptr);
	}
	return err_set(err, -EINVAL, "%s is not one of %s%s", scalar_quote(text, quoted), list,
		nearest_text(&nearest, maybe, sizeof(maybe)));
}

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

static int check_name(struct slice text, struct err *err)
{
	char quoted[QUOTED_BYTES];
	bool good = text.len >= 1 && text.len <= CONFIG_NAME_MAX;

	for (size_t i = 0; i < text.len && good; i++)
		good = is_name_char(text.ptr[i]) && (i || isalnum((unsigned char)text.ptr[i]));
	if (good)
		return 0;
	return err_set(err, -EINVAL,
		"%s is not a name: 1 to %d letters, digits, - _ or ., the first a letter or digit",
		scalar_quote(text, quoted), CONFIG_NAME_MAX);
}

/* A DNS name or an IPv4 address: what Host and SNI may be made of. */
static int check_hostname(struct slice text, struct err *err)
{
	char quoted[QUOTED_BYTES];
	bool good = text.len >= 1 && text.len <= 255;

	for (size_t i = 0; i < text.len && good; i++)
		good = is_name_char(text.ptr[i]);
	return good ? 0
		    : err_set(err, -EINVAL, "%s is not a host name", scalar_quote(text, quoted));
}

/* Of TLS: a host name, or a wildcard for one label. */
static int check_server_name(struct slice text, struct err *err)
{
	char quoted[QUOTED_BYTES];
	struct slice name = text;

	if (text.len > 2 && text.ptr[0] == '*' && text.ptr[1] == '.')
		name = (struct slice){text.ptr + 2, text.len - 2};
	if (name.len <= 253 && !memchr(name.ptr, '*', name.len) && check_hostname(name, NULL) == 0)
		return 0;
	return err_set(err, -EINVAL, "%s is not a server name (www.example.com, *.example.com)",
		scalar_quote(text, quoted));
}

static int check_url_path(struct slice text, struct err *err)
{
	char quoted[QUOTED_BYTES];

	if (text.len == 0 || text.ptr[0] != '/')
		return err_set(err, -EINVAL, "%s must begin with /", scalar_quote(text, quoted));
	if (text.len > 1024)
		return err_set(err, -EINVAL, "is longer than 1024 bytes");
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f || text.ptr[i] == '#')
			return err_set(err, -EINVAL,
				"%s contains a character that must be written as %%XX",
				scalar_quote(text, quoted));
	}
	return 0;
}

static int check_interface(struct slice text, struct err *err)
{
	char quoted[QUOTED_BYTES];
	bool good = text.len >= 1 && text.len <= 15 && !slice_eq(text, SLICE(".")) &&
		    !slice_eq(text, SLICE(".."));

	for (size_t i = 0; i < text.len && good; i++)
		good = text.ptr[i] > ' ' && text.ptr[i] < 0x7f && text.ptr[i] != '/' &&
		       text.ptr[i] != ':';
	return good ? 0
		    : err_set(err, -EINVAL,
			      "%s is not the name of an interface (at most 15 characters)",
			      scalar_quote(text, quoted));
}

static int check_printable(const struct setting *row, struct slice text, struct err *err)
{
	char quoted[QUOTED_BYTES];

	if (text.len == 0)
		return err_set(err, -EINVAL, "must not be empty");
	if (text.len > row->max)
		return err_set(err, -EINVAL, "is %zu bytes long: at most %llu are allowed",
			text.len, (unsigned long long)row->max);
	for (size_t i = 0; i < text.len; i++) {
		if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
			return err_set(err, -EINVAL, "%s contains a control character",
				scalar_quote(text, quoted));
	}
	return 0;
}

static int read_path(const struct setting *row, struct slice text, const struct scalar_place *place,
	void *ret_field, struct err *err)
{
	char *path;
	int r = check_printable(row, text, err);

	if (r < 0)
		return r;
	if (row->zero && slice_eq(text, slice_of(row->zero))) {
		*(char **)ret_field = NULL;
		return 0;
	}
	if (text.ptr[0] == '/' || (row->uri && text.len > strlen(row->uri) &&
					  !memcmp(text.ptr, row->uri, strlen(row->uri)))) {
		path = config_store_strndup(place->store, text.ptr, text.len);
	} else {
		path = config_store_printf(
			place->store, "%s/%.*s", place->folder, (int)text.len, text.ptr);
		r = check_printable(row, slice_of(path), err);
		if (r < 0)
			return err_context(err, r, "\"%s\"", path);
	}
	*(char **)ret_field = path;
	return 0;
}

static int check_body(const struct setting *row, struct slice text, struct err *err)
{
	if (text.len > row->max)
		return err_set(err, -EINVAL, "is %zu bytes long: at most %llu are allowed",
			text.len, (unsigned long long)row->max);
	if (text.len && memchr(text.ptr, '\0', text.len))
		return err_set(err, -EINVAL, "contains a NUL");
	return 0;
}

static int check_text(const struct setting *row, struct slice text, struct err *err)
{
	switch (row->type) {
	case SETTING_BODY:
		return check_body(row, text, err);
	case SETTING_NAME:
		return check_name(text, err);
	case SETTING_HOSTNAME:
		return check_hostname(text, err);
	case SETTING_SERVER_NAME:
		return check_server_name(text, err);
	case SETTING_URL_PATH:
		return check_url_path(text, err);
	case SETTING_INTERFACE:
		return check_interface(text, err);
	default:
		return check_printable(row, text, err);
	}
}

static int read_text(const struct setting *row, struct slice text, const struct scalar_place *place,
	void *ret_field, struct err *err)
{
	int r = check_text(row, text, err);

	if (r == 0)
		*(char **)ret_field = config_store_strndup(place->store, text.ptr, text.len);
	return r;
}

/* The row says if it is about other codes than those of HTTP: then they begin with 0. */
static int read_status(const struct setting *row, struct slice *rest, uint16_t *ret_status)
{
	uint64_t number, min = row->max ? 0 : 100, max = row->max ? row->max : 599;

	if (!leading_number(*rest, &number, rest) || number < min || number > max)
		return -EINVAL;
	*ret_status = (uint16_t)number;
	return 0;
}

/* "200", "200-299", or several with commas. */
static int read_matcher(const struct setting *row, struct slice text,
	struct config_matcher *ret_matcher, struct err *err)
{
	struct config_matcher matcher = {0};
	char quoted[QUOTED_BYTES];
	struct slice rest = text;

	while (matcher.count < CONFIG_MATCHER_MAX) {
		struct config_status_range *range = &matcher.range[matcher.count++];

		if (read_status(row, &rest, &range->first) < 0)
			break;
		range->last = range->first;
		if (rest.len && rest.ptr[0] == '-') {
			rest = (struct slice){rest.ptr + 1, rest.len - 1};
			if (read_status(row, &rest, &range->last) < 0 || range->last < range->first)
				break;
		}
		if (rest.len == 0) {
			*ret_matcher = matcher;
			return 0;
		}
		if (rest.ptr[0] != ',')
			break;
		rest = (struct slice){rest.ptr + 1, rest.len - 1};
	}
	return err_set(err, -EINVAL,
		row->max
			? "%s is not a list of codes (write 0, 0-2 or 0,12; at most %d, codes 0 to %u)"
			: "%s is not a list of status codes (write 200, 200-299 or 200,302; at most %d, "
			  "codes 100 to %u)",
		scalar_quote(text, quoted), CONFIG_MATCHER_MAX,
		row->max ? (unsigned int)row->max : 599);
}

int scalar_read(const struct setting *row, struct slice text, const struct scalar_place *place,
	void *ret_field, struct err *err)
{
	switch (row->type) {
	case SETTING_BOOL:
		return read_bool(row, text, ret_field, err);
	case SETTING_INT:
	case SETTING_DURATION:
	case SETTING_SIZE:
	case SETTING_PERCENT:
		return read_number(row, text, ret_field, err);
	case SETTING_ENUM:
		return read_enum(row, text, ret_field, err);
	case SETTING_PATH:
		return read_path(row, text, place, ret_field, err);
	case SETTING_ADDRESS:
		return address_read(text, ret_field, err);
	case SETTING_ENDPOINT:
		return config_endpoint_read(text, place->store, ret_field, err);
	case SETTING_PREFIX:
		return config_address_read_prefix(text, ret_field, err);
	case SETTING_MATCHER:
		return read_matcher(row, text, ret_field, err);
	default:
		return read_text(row, text, place, ret_field, err);
	}
}
