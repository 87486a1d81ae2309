/* What was told about certificates: the table, and the text that outlives the daemon. */
#include "control/expiry_book.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void fingerprint_of(uint32_t number, uint8_t *ret_fingerprint)
{
	memset(ret_fingerprint, 7, EXPIRY_FINGERPRINT_BYTES);
	memcpy(ret_fingerprint, &number, sizeof(number) / 2); /* many begin alike */
	memcpy(ret_fingerprint + 12, &number, sizeof(number));
}

static struct expiry_note *put(struct expiry_book *book, uint32_t number)
{
	uint8_t fingerprint[EXPIRY_FINGERPRINT_BYTES];

	fingerprint_of(number, fingerprint);
	return expiry_book_put(book, fingerprint, 1000 + number);
}

static struct expiry_note *find(const struct expiry_book *book, uint32_t number)
{
	uint8_t fingerprint[EXPIRY_FINGERPRINT_BYTES];

	fingerprint_of(number, fingerprint);
	return expiry_book_find(book, fingerprint);
}

static void notes_are_found(void **state)
{
	struct expiry_book book = {0};
	uint32_t i;

	assert_null(find(&book, 1));
	for (i = 0; i < 5000; i++)
		put(&book, i)->before_s = i;
	put(&book, 9)->is_delivered = true;
	assert_int_equal(book.n, 5000);
	for (i = 0; i < 5000; i++)
		assert_int_equal(find(&book, i)->before_s, i);
	assert_true(find(&book, 9)->is_delivered);
	assert_null(find(&book, 5000));
	expiry_book_fini(&book);
}

static void a_new_note_says_nothing(void **state)
{
	struct expiry_book book = {0};
	const struct expiry_note *note = put(&book, 3);

	assert_int_equal(note->before_s, UINT32_MAX);
	assert_false(note->is_delivered || note->is_queued);
	expiry_book_fini(&book);
}

static void old_ones_are_forgotten(void **state)
{
	struct expiry_book book = {0};
	uint32_t i;

	for (i = 0; i < 100; i++)
		put(&book, i);
	expiry_book_prune(&book, 1050);
	assert_int_equal(book.n, 50);
	assert_null(find(&book, 49));
	assert_non_null(find(&book, 50));
	expiry_book_fini(&book);
}

static void the_text_is_read_again(void **state)
{
	struct expiry_book book = {0}, again = {0};
	size_t len;
	char *text;
	uint32_t i;

	for (i = 0; i < 300; i++) {
		put(&book, i)->before_s = 86400 * (i % 31);
		put(&book, i)->is_delivered = i % 2;
		put(&book, i)->is_queued = true;
	}
	text = expiry_book_text(&book, &len);
	assert_true(expiry_book_read(&again, (struct slice){text, len}));
	assert_int_equal(again.n, 300);
	for (i = 0; i < 300; i++) {
		assert_int_equal(find(&again, i)->before_s, 86400 * (i % 31));
		assert_int_equal(find(&again, i)->is_delivered, i % 2);
		assert_int_equal(find(&again, i)->not_after_unix_s, 1000 + i);
		assert_false(find(&again, i)->is_queued);
	}
	free(text);
	expiry_book_fini(&book);
	expiry_book_fini(&again);
}

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static bool reads(const char *text, size_t n)
{
	struct expiry_book book = {0};
	bool is_sound = expiry_book_read(&book, slice_of(text));

	assert_int_equal(book.n, n);
	expiry_book_fini(&book);
	return is_sound;
}

/* What can be read of a damaged text is believed: an alert too few is better than all once more. */
static void damaged_texts(void **state)
{
	assert_false(reads("", 0));
	assert_true(reads("sluice alerts 1\n", 0));
	assert_true(reads("sluice alerts 1\n" HEX " 5 86400 told\n", 1));
	assert_true(reads("sluice alerts 1\n" HEX " 5 86400 told", 1));
	assert_false(reads("sluice alerts 2\n" HEX " 5 86400 told\n", 0));
	assert_false(reads("sluice alerts 1\n" HEX " 5 86400 sold\n", 0));
	assert_false(reads("sluice alerts 1\n" HEX " 5 86400 told more\n", 0));
	assert_false(reads("sluice alerts 1\n" HEX " 5 told\n", 0));
	assert_false(reads("sluice alerts 1\nx" HEX " 5 86400 told\n", 0));
	assert_false(reads("sluice alerts 1\n\n" HEX " 5 86400 delivered\n", 1));
	assert_false(reads("sluice alerts 1\n" HEX " 5 86400 told\n" HEX " 5 864", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(notes_are_found),
		cmocka_unit_test(a_new_note_says_nothing),
		cmocka_unit_test(old_ones_are_forgotten),
		cmocka_unit_test(the_text_is_read_again),
		cmocka_unit_test(damaged_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
