/*
 * Which certificates somebody was told about, how long before their end, and whether the webhook
 * took it: what must outlive the daemon so that each alert comes once. A certificate is known by its
 * SHA-256 fingerprint, so that a renewed one is another. One thread at a time.
 */
#ifndef SLUICE_CONTROL_EXPIRY_BOOK_H
#define SLUICE_CONTROL_EXPIRY_BOOK_H

#include "core/attr.h"
#include "core/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXPIRY_FINGERPRINT_BYTES = 32 };

struct expiry_note {
	uint8_t fingerprint[EXPIRY_FINGERPRINT_BYTES];
	int64_t not_after_unix_s; /* 0: no note */
	uint32_t before_s; /* the last time that was told of: so long before its end */
	bool is_delivered; /* the webhook took it; or there was none */
	bool is_queued; /* it waits for the webhook; not kept on disk */
};

/* Zeroed: empty. */
struct expiry_book {
	struct expiry_note *notes; /* a hash table */
	size_t n, room;
};

void expiry_book_fini(struct expiry_book *book);
/* NULL: nobody was told. Valid until the next put. */
struct expiry_note *expiry_book_find(const struct expiry_book *book, const uint8_t *fingerprint);
/* The note that is there, or a new one. */
struct expiry_note *expiry_book_put(
	struct expiry_book *book, const uint8_t *fingerprint, int64_t not_after_unix_s);
/* Forgets certificates that ended before. */
void expiry_book_prune(struct expiry_book *book, int64_t before_unix_s);

/* As a text, a line each; allocated. */
char *expiry_book_text(const struct expiry_book *book, size_t *ret_len);
/* Adds what a text says. False: something in it is no line of a book; the rest was taken. */
bool expiry_book_read(struct expiry_book *book, struct slice text);

#endif
