/* Any bytes as the book of alerts: what is read of them is the same after being written and read
 * again. */
#include "control/expiry_book.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct expiry_book book = {0}, again = {0};
	size_t i, len;
	char *text;

	(void)expiry_book_read(&book, (struct slice){(const char *)data, size});
	text = expiry_book_text(&book, &len);
	if (!expiry_book_read(&again, (struct slice){text, len}) || again.n != book.n)
		abort();
	for (i = 0; i < book.room; i++) {
		const struct expiry_note *note = &book.notes[i], *other;

		if (!note->not_after_unix_s)
			continue;
		other = expiry_book_find(&again, note->fingerprint);
		if (!other || other->not_after_unix_s != note->not_after_unix_s ||
			other->before_s != note->before_s ||
			other->is_delivered != note->is_delivered)
			abort();
	}
	free(text);
	expiry_book_fini(&book);
	expiry_book_fini(&again);
	return 0;
}
