/* The map against a plain list, over thousands of random changes: each version has what it should, old
 * ones keep what they had, and every count is given back. And the memory of keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/hash.h"
#include "core/mem.h"
#include "tls/certmap.h"
#include "tls/vault.h"

#include <stdlib.h>
#include <string.h>

enum { VALUES = 700, ROUNDS = 600, KEPT = 8 };

struct value {
	unsigned int number, refs;
};

static struct value values[VALUES];

static uint64_t hash(const struct hash_key *key, const struct certmap_item *item)
{
	const struct value *value = item->value;
	unsigned int number = value->number / 3; /* some have the same */

	return hash_bytes(key, &number, sizeof(number));
}

static void get(const struct certmap_item *item)
{
	((struct value *)item->value)->refs++;
}

static void put(const struct certmap_item *item)
{
	assert_true(((struct value *)item->value)->refs-- > 0);
}

static const struct certmap_ops ops = {hash, get, put};

static bool has(const struct certmap *map, unsigned int number)
{
	struct certmap_item wanted = {.value = &values[number]};
	uint64_t key = hash(certmap_key(map), &wanted);
	const struct certmap_item *items;
	uint32_t i, n;

	items = certmap_find(map, key, &n);
	for (i = 0; i < n; i++)
		if (items[i].tag == certmap_tag(key) && items[i].value == &values[number])
			return true;
	return false;
}

static void expect(const struct certmap *map, const bool *is_in)
{
	const struct certmap_item *items;
	size_t cursor = 0, n_wanted = 0, n_met = 0;
	unsigned int i;
	uint32_t n;

	for (i = 0; i < VALUES; i++) {
		assert_int_equal(has(map, i), is_in[i]);
		n_wanted += is_in[i];
	}
	assert_int_equal(certmap_len(map), n_wanted);
	while ((items = certmap_next(map, &cursor, &n)))
		for (i = 0; i < n; i++, n_met++)
			assert_true(is_in[((struct value *)items[i].value)->number]);
	assert_int_equal(n_met, n_wanted);
}

static void test_random_changes(void **state)
{
	static bool now[VALUES], then[KEPT][VALUES];
	static unsigned int last[VALUES];
	struct certmap *map = certmap_new(&ops, 0), *kept[KEPT] = {NULL}, *next;
	struct certmap_item removed[64], added[64];
	size_t n_removed, n_added;
	unsigned int round, i, at;

	srandom(7);
	for (i = 0; i < VALUES; i++)
		values[i].number = i;
	for (round = 1; round < ROUNDS; round++) {
		n_removed = n_added = 0;
		for (i = 0; i < (unsigned int)random() % 40; i++) {
			at = (unsigned int)random() % VALUES;
			if (last[at] == round) /* once in a change */
				continue;
			/* grows, then shrinks */
			if (now[at] && (round > ROUNDS / 2 || random() % 3 == 0))
				removed[n_removed++] = (struct certmap_item){.value = &values[at]};
			else if (!now[at] && (round < ROUNDS / 2 || random() % 3 == 0))
				added[n_added++] = (struct certmap_item){.value = &values[at]};
			else
				continue;
			now[at] = !now[at];
			last[at] = round;
		}
		next = certmap_change(map, removed, n_removed, added, n_added);
		certmap_put(map);
		map = next;
		if (round % 16 == 0) {
			expect(map, now);
			at = round / 16 % KEPT;
			if (kept[at])
				expect(kept[at], then[at]);
			certmap_put(kept[at]);
			kept[at] = certmap_get(map);
			memcpy(then[at], now, sizeof(now));
		}
	}
	expect(map, now);
	certmap_put(map);
	for (i = 0; i < KEPT; i++)
		certmap_put(kept[i]);
	for (i = 0; i < VALUES; i++)
		assert_int_equal(values[i].refs, 0);
}

static void test_vault(void **state)
{
	static const size_t sizes[] = {1, 31, 32, 700, 1024, 1025, 4096, 70000, 1 << 20};
	uint8_t *held[64] = {NULL};
	size_t size[64], round, at, i;
	size_t before = vault_mapped_bytes();

	srandom(8);
	for (round = 0; round < 5000; round++) {
		at = (size_t)random() % 64;
		if (held[at]) { /* nobody else wrote there */
			for (i = 0; i < size[at]; i += size[at] > 64 ? 61 : 1)
				assert_int_equal(held[at][i], (uint8_t)at);
			vault_free(held[at], size[at]);
			held[at] = NULL;
			continue;
		}
		size[at] = sizes[(size_t)random() % (sizeof(sizes) / sizeof(sizes[0]))];
		held[at] = vault_alloc(size[at]);
		assert_int_equal((uintptr_t)held[at] % _Alignof(max_align_t), 0);
		memset(held[at], (int)at, size[at]);
	}
	for (at = 0; at < 64; at++)
		vault_free(held[at], size[at]);
	vault_free(NULL, 1);
	assert_true(vault_mapped_bytes() < before + (8u << 20)); /* large ones go back */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_changes),
		cmocka_unit_test(test_vault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
