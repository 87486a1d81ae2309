/* Lines of text: see line.h. */
#include "core/line.h"

enum { NUMBER_BYTES = 20, TIME_BYTES = 27, ESCAPE_BYTES_MAX = 6 };

void line_put_number(struct line *line, uint64_t number)
{
	char text[NUMBER_BYTES], *at = text + sizeof(text);

	do {
		*--at = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	line_put(line, (struct slice){at, (size_t)(text + sizeof(text) - at)});
}

static const char hex_digits[] = "0123456789abcdef";

void line_put_hex(struct line *line, uint64_t number)
{
	char text[16];
	int i;

	for (i = 15; i >= 0; i--, number >>= 4)
		text[i] = hex_digits[number & 15];
	line_put(line, (struct slice){text, sizeof(text)});
}

static const char pairs[] = "00010203040506070809101112131415161718192021222324"
			    "25262728293031323334353637383940414243444546474849"
			    "50515253545556575859606162636465666768697071727374"
			    "75767778798081828384858687888990919293949596979899";

/* `n` is even. */
static void digits(char *text, int n, uint32_t number)
{
	for (n -= 2; n >= 0; n -= 2) {
		memcpy(text + n, pairs + number % 100 * 2, 2);
		number /= 100;
	}
}

void line_put_seconds(struct line *line, uint64_t us)
{
	char fraction[7] = ".";

	line_put_number(line, us / 1000000);
	digits(fraction + 1, 6, (uint32_t)(us % 1000000));
	line_put(line, (struct slice){fraction, sizeof(fraction)});
}

/* The date of a day since 1970 in the Gregorian calendar, as "2026-11-22": years begin in March, so that
 * the odd day is the last. */
static void date_of(uint32_t days, char text[static 10])
{
	uint32_t shifted = days + 719468; /* since 0000-03-01 */
	uint32_t era = shifted / 146097, day_of_era = shifted % 146097;
	uint32_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	uint32_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint32_t month = (5 * day_of_year + 2) / 153; /* 0: March */
	uint32_t year = era * 400 + year_of_era + (month >= 10);

	digits(text, 4, year);
	text[4] = '-';
	digits(text + 5, 2, month < 10 ? month + 3 : month - 9);
	text[7] = '-';
	digits(text + 8, 2, day_of_year - (153 * month + 2) / 5 + 1);
}

void line_put_time(struct line *line, uint64_t unix_us)
{
	static _Thread_local uint64_t text_s = UINT64_MAX; /* what `text` says */
	static _Thread_local char text[TIME_BYTES + 1] = "0000-00-00T00:00:00.000000Z";
	uint64_t unix_s = unix_us / 1000000;
	uint32_t second = (uint32_t)(unix_s % 86400);

	if (unix_s != text_s) {
		text_s = unix_s;
		date_of((uint32_t)(unix_s / 86400), text);
		digits(text + 11, 2, second / 3600);
		digits(text + 14, 2, second / 60 % 60);
		digits(text + 17, 2, second % 60);
	}
	digits(text + 20, 6, (uint32_t)(unix_us % 1000000));
	line_put(line, (struct slice){text, TIME_BYTES});
}

static bool is_printable(char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/* The high bit of each byte that is `c`, and maybe of some behind it. */
static uint64_t bytes_that_are(uint64_t eight, unsigned char c)
{
	uint64_t zero = eight ^ EACH_BYTE(c);

	return (zero - EACH_BYTE(1)) & ~zero;
}

/* False says only that one of the eight may not be. */
static bool are_printable(uint64_t eight)
{
	return !((((eight - EACH_BYTE(0x20)) & ~eight) | eight | bytes_that_are(eight, '"') |
			 bytes_that_are(eight, '\\') | bytes_that_are(eight, 0x7f)) &
		 EACH_BYTE(0x80));
}

static bool copy_eight(char *to, const char *from)
{
	uint64_t eight;

	memcpy(&eight, from, sizeof(eight));
	if (!are_printable(eight))
		return false;
	memcpy(to, &eight, sizeof(eight));
	return true;
}

/* Four to eight bytes: the first four and the last. */
static bool copy_short(char *to, struct slice text)
{
	uint32_t first, last;

	memcpy(&first, text.ptr, sizeof(first));
	memcpy(&last, text.ptr + text.len - sizeof(last), sizeof(last));
	if (!are_printable(first | (uint64_t)last << 32))
		return false;
	memcpy(to, &first, sizeof(first));
	memcpy(to + text.len - sizeof(last), &last, sizeof(last));
	return true;
}

/* Copies up to the first byte that is not printable, and says how many those are. */
static size_t copy_printable(char *to, struct slice text)
{
	const size_t step = sizeof(uint64_t);
	size_t i = 0;

	if (text.len >= sizeof(uint32_t) && text.len <= step && copy_short(to, text))
		return text.len;
	while (i + step <= text.len && copy_eight(to + i, text.ptr + i))
		i += step;
	/* The rest with bytes before it that are. */
	if (i && text.len - i < step &&
		copy_eight(to + text.len - step, text.ptr + text.len - step))
		return text.len;
	for (; i < text.len && is_printable(text.ptr[i]); i++)
		to[i] = text.ptr[i];
	return i;
}

/* Into `escape`; the length. */
typedef size_t escape_fn(unsigned char c, char escape[static ESCAPE_BYTES_MAX]);

static size_t escape_json(unsigned char c, char escape[static ESCAPE_BYTES_MAX])
{
	if (c == '"' || c == '\\') {
		escape[0] = '\\';
		escape[1] = (char)c;
		return 2;
	}
	escape[0] = '\\';
	escape[1] = 'u';
	escape[2] = escape[3] = '0';
	escape[4] = hex_digits[c >> 4];
	escape[5] = hex_digits[c & 15];
	return 6;
}

static size_t escape_hex(unsigned char c, char escape[static ESCAPE_BYTES_MAX])
{
	escape[0] = '\\';
	escape[1] = 'x';
	escape[2] = hex_digits[c >> 4];
	escape[3] = hex_digits[c & 15];
	return 4;
}

static void put_escaped(struct line *line, struct slice text, size_t max, escape_fn *escape_char)
{
	size_t room = line->size - line->len < max ? line->size - line->len : max, len;
	char escape[ESCAPE_BYTES_MAX];

	for (;;) {
		len = copy_printable(line->bytes + line->len,
			(struct slice){text.ptr, text.len < room ? text.len : room});
		line->len += len;
		room -= len;
		if (len == text.len)
			return;
		text = (struct slice){text.ptr + len, text.len - len};
		len = room ? escape_char((unsigned char)*text.ptr, escape) : 1;
		if (len > room) {
			line->cut = true;
			return;
		}
		line_put(line, (struct slice){escape, len});
		room -= len;
		text = (struct slice){text.ptr + 1, text.len - 1};
	}
}

void line_put_json(struct line *line, struct slice text, size_t max)
{
	put_escaped(line, text, max, escape_json);
}

void line_put_hexed(struct line *line, struct slice text, size_t max)
{
	put_escaped(line, text, max, escape_hex);
}
