/* What clients bring back is signed: good on every node with the same keys, and on no other. */
#include "tls/tickets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/sluice-tickets-XXXXXX";

/* A file of these keys, each of one byte. */
static struct tls_ticket_keys *keys_of(const char *letters)
{
	struct tls_ticket_keys *keys;
	char key[TLS_TICKET_KEY_BYTES];
	FILE *out = fopen(path, "w");
	struct err err;

	assert_non_null(out);
	for (; *letters; letters++) {
		memset(key, *letters, sizeof(key));
		assert_int_equal(fwrite(key, sizeof(key), 1, out), 1);
	}
	assert_int_equal(fclose(out), 0);
	assert_int_equal(tls_ticket_keys_read(path, &keys, &err), 0);
	return keys;
}

static void use(struct tls_tickets *tickets, const char *letters)
{
	struct tls_ticket_keys *keys = keys_of(letters);

	tls_tickets_use(tickets, keys);
	tls_ticket_keys_put(keys);
}

static void test_own_key(void **state)
{
	struct tls_tickets *one = tls_tickets_new(), *other = tls_tickets_new();
	uint8_t tag[TLS_TICKET_TAG_BYTES], bad[TLS_TICKET_TAG_BYTES];

	tls_tickets_sign(one, SLICE("text"), tag);
	assert_true(tls_tickets_is_signed(one, SLICE("text"), tag));
	assert_false(tls_tickets_is_signed(one, SLICE("texu"), tag));
	assert_false(tls_tickets_is_signed(one, SLICE("tex"), tag));
	assert_false(tls_tickets_is_signed(other, SLICE("text"), tag));
	memcpy(bad, tag, sizeof(bad));
	bad[TLS_TICKET_TAG_BYTES - 1] ^= 1;
	assert_false(tls_tickets_is_signed(one, SLICE("text"), bad));
	/* Keys of tickets come and go; what was signed stays good. */
	tls_tickets_rotate(one);
	tls_tickets_rotate(one);
	tls_tickets_forget(one);
	assert_true(tls_tickets_is_signed(one, SLICE("text"), tag));
	tls_tickets_put(one);
	tls_tickets_put(other);
}

static void test_keys_of_a_file(void **state)
{
	struct tls_tickets *one = tls_tickets_new(), *other = tls_tickets_new();
	uint8_t tag[TLS_TICKET_TAG_BYTES], own[TLS_TICKET_TAG_BYTES];

	tls_tickets_sign(one, SLICE("text"), own);
	use(one, "ab");
	use(other, "ba");
	tls_tickets_sign(one, SLICE("text"), tag);
	assert_memory_not_equal(tag, own, sizeof(tag));
	assert_true(tls_tickets_is_signed(one, SLICE("text"), tag));
	assert_true(tls_tickets_is_signed(other, SLICE("text"), tag));
	assert_false(tls_tickets_is_signed(one, SLICE("text"), own));
	use(other, "b");
	assert_false(tls_tickets_is_signed(other, SLICE("text"), tag));
	tls_tickets_put(one);
	tls_tickets_put(other);
}

static void test_another_process(void **state)
{
	struct tls_tickets *one = tls_tickets_new(), *other = tls_tickets_new();
	uint8_t tag[TLS_TICKET_TAG_BYTES];
	struct tls_tickets_state given, taken;

	tls_tickets_rotate(one);
	tls_tickets_sign(one, SLICE("text"), tag);
	tls_tickets_give(one, &given);
	assert_int_equal(given.n, 2);
	tls_tickets_take(other, &given);
	assert_true(tls_tickets_is_signed(other, SLICE("text"), tag));
	tls_tickets_give(other, &taken);
	assert_memory_equal(&taken, &given, sizeof(given));
	/* Those of a file are read again. */
	use(one, "ab");
	tls_tickets_give(one, &given);
	tls_tickets_take(other, &given);
	tls_tickets_give(other, &given);
	assert_memory_equal(&taken, &given, sizeof(given));
	given.is_of_file = 0;
	given.n = TLS_TICKET_KEYS_MAX + 1;
	tls_tickets_take(other, &given);
	tls_tickets_give(other, &given);
	assert_memory_equal(&taken, &given, sizeof(given));
	tls_tickets_put(one);
	tls_tickets_put(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_key),
		cmocka_unit_test(test_keys_of_a_file),
		cmocka_unit_test(test_another_process),
	};
	int fd = mkstemp(path), failed;

	if (fd < 0)
		return 1;
	close(fd);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}
