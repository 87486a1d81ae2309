/* What was told about certificates: see expiry_book.h. */
#include "control/expiry_book.h"

#include "core/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char title[] = "sluice alerts 1";

enum { ROOM_MIN = 64, LINE_BYTES = 160 };

void expiry_book_fini(struct expiry_book *book)
{
	free(book->notes);
	*book = (struct expiry_book){0};
}

/* A fingerprint is as good as random. */
static struct expiry_note *slot_of(const struct expiry_book *book, const uint8_t *fingerprint)
{
	struct expiry_note *note;
	uint64_t at;

	memcpy(&at, fingerprint, sizeof(at));
	for (;; at++) {
		note = &book->notes[at & (book->room - 1)];
		if (!note->not_after_unix_s ||
			!memcmp(note->fingerprint, fingerprint, EXPIRY_FINGERPRINT_BYTES))
			return note;
	}
}

struct expiry_note *expiry_book_find(const struct expiry_book *book, const uint8_t *fingerprint)
{
	struct expiry_note *note = book->n ? slot_of(book, fingerprint) : NULL;

	return note && note->not_after_unix_s ? note : NULL;
}

/* Another table, with those of this one that end at `from_unix_s` or later. */
static void rebuild(struct expiry_book *book, size_t room, int64_t from_unix_s)
{
	struct expiry_book old = *book;
	size_t i;

	*book = (struct expiry_book){.notes = mem_zalloc(room * sizeof(*old.notes)), .room = room};
	for (i = 0; i < old.room; i++)
		if (old.notes[i].not_after_unix_s && old.notes[i].not_after_unix_s >= from_unix_s) {
			*slot_of(book, old.notes[i].fingerprint) = old.notes[i];
			book->n++;
		}
	free(old.notes);
}

struct expiry_note *expiry_book_put(
	struct expiry_book *book, const uint8_t *fingerprint, int64_t not_after_unix_s)
{
	struct expiry_note *note = expiry_book_find(book, fingerprint);

	if (note)
		return note;
	if (2 * (book->n + 1) > book->room)
		rebuild(book, book->room ? 2 * book->room : ROOM_MIN, INT64_MIN);
	note = slot_of(book, fingerprint);
	memcpy(note->fingerprint, fingerprint, EXPIRY_FINGERPRINT_BYTES);
	note->not_after_unix_s = not_after_unix_s ? not_after_unix_s : 1;
	note->before_s = UINT32_MAX;
	book->n++;
	return note;
}

void expiry_book_prune(struct expiry_book *book, int64_t before_unix_s)
{
	if (book->n)
		rebuild(book, book->room, before_unix_s);
}

/* --- as a text */
static void write_note(const struct expiry_note *note, FILE *out)
{
	size_t i;

	for (i = 0; i < EXPIRY_FINGERPRINT_BYTES; i++)
		fprintf(out, "%02x", note->fingerprint[i]);
	fprintf(out, " %" PRId64 " %" PRIu32 " %s\n", note->not_after_unix_s, note->before_s,
		note->is_delivered ? "delivered" : "told");
}

char *expiry_book_text(const struct expiry_book *book, size_t *ret_len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);
	size_t i;

	if (!out)
		abort();
	fprintf(out, "%s\n", title);
	for (i = 0; i < book->room; i++)
		if (book->notes[i].not_after_unix_s)
			write_note(&book->notes[i], out);
	if (fclose(out) != 0)
		abort();
	return text;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_fingerprint(const char *text, uint8_t *ret_fingerprint)
{
	int high, low;
	size_t i;

	for (i = 0; i < EXPIRY_FINGERPRINT_BYTES; i++) {
		high = digit_of(text[2 * i]);
		low = high < 0 ? -1 : digit_of(text[2 * i + 1]);
		if (low < 0)
			return false;
		ret_fingerprint[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool read_line(struct expiry_book *book, struct slice line)
{
	uint8_t fingerprint[EXPIRY_FINGERPRINT_BYTES];
	char text[LINE_BYTES], word[16];
	struct expiry_note *note;
	int64_t not_after_unix_s;
	uint32_t before_s;
	int end = 0;

	if (line.len >= sizeof(text) || line.len < 2 * sizeof(fingerprint))
		return false;
	memcpy(text, line.ptr, line.len);
	text[line.len] = '\0';
	if (!read_fingerprint(text, fingerprint) ||
		sscanf(text + 2 * sizeof(fingerprint), " %15" SCNd64 " %10" SCNu32 " %15s%n",
			&not_after_unix_s, &before_s, word, &end) != 3 ||
		text[2 * sizeof(fingerprint) + (size_t)end] ||
		(strcmp(word, "told") != 0 && strcmp(word, "delivered") != 0))
		return false;
	note = expiry_book_put(book, fingerprint, not_after_unix_s);
	note->before_s = before_s;
	note->is_delivered = !strcmp(word, "delivered");
	return true;
}

bool expiry_book_read(struct expiry_book *book, struct slice text)
{
	bool is_first = true, is_sound = text.len > 0;
	struct slice line;
	const char *end;

	while (text.len) {
		end = memchr(text.ptr, '\n', text.len);
		line = (struct slice){text.ptr, end ? (size_t)(end - text.ptr) : text.len};
		text.ptr += line.len + (end != NULL);
		text.len -= line.len + (end != NULL);
		if (is_first && !slice_eq(line, slice_of(title)))
			return false;
		if (!is_first && !read_line(book, line))
			is_sound = false;
		is_first = false;
	}
	return is_sound;
}
