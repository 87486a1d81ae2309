/* Deny lists: every prefix length, swapping, big random lists against a plain comparison. */
#include "harness.h"

#include "dataplane/dp_deny.h"

static struct dp_prefix prefix_of(const char *text)
{
	struct dp_prefix prefix = {};
	struct err err = {};

	harness_ok(dp_prefix_parse(slice_of(text), &prefix, &err), &err);
	return prefix;
}

static void deny(const struct dp_prefix *prefixes, size_t count)
{
	struct err err = {};

	harness_ok(dp_deny_set(harness.dp, prefixes, count, &err), &err);
}

/* Sends a SYN+FIN (dropped by a later stage, without state), true when the deny list took it. */
static bool denied(bool v6, const uint8_t *addr)
{
	char text[INET6_ADDRSTRLEN];
	struct packet_spec spec = {.v6 = v6, .flags = PKT_SYN | PKT_FIN, .src = text};
	struct dp_counters counted;

	inet_ntop(v6 ? AF_INET6 : AF_INET, addr, text, sizeof(text));
	harness_count_from_here();
	assert_int_equal(harness_run(&spec), XDP_DROP);
	counted = harness_counted();
	assert_int_equal(counted.value[COUNTER_deny_v4] + counted.value[COUNTER_deny_v6] +
				 counted.value[COUNTER_tcp_syn_fin],
		1);
	assert_int_equal(counted.value[v6 ? COUNTER_deny_v4 : COUNTER_deny_v6], 0);
	return !counted.value[COUNTER_tcp_syn_fin];
}

static bool denied_text(const char *text)
{
	bool v6 = strchr(text, ':') != NULL;
	uint8_t addr[16];

	assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, text, addr), 1);
	return denied(v6, addr);
}

static void flip_bit(uint8_t *addr, unsigned int bit)
{
	addr[bit / 8] ^= (uint8_t)(0x80u >> bit % 8);
}

static void mask_behind(uint8_t *addr, unsigned int length, unsigned int bits)
{
	for (unsigned int bit = length; bit < bits; bit++)
		addr[bit / 8] &= (uint8_t)~(0x80u >> bit % 8);
}

/* One prefix: its first, last and a middle address are in; with the last bit of the prefix the
 * other way, out. */
static void check_length(bool v6, const uint8_t *base, unsigned int length)
{
	unsigned int bits = v6 ? 128 : 32;
	struct dp_prefix prefix = {.length_bits = (uint8_t)length, .v6 = v6};
	uint8_t addr[16];

	memcpy(prefix.addr, base, bits / 8);
	mask_behind(prefix.addr, length, bits);
	deny(&prefix, 1);
	memcpy(addr, prefix.addr, 16);
	assert_true(denied(v6, addr));
	assert_true(denied(v6, base));
	for (unsigned int bit = length; bit < bits; bit++)
		flip_bit(addr, bit);
	assert_true(denied(v6, addr));
	if (length) {
		flip_bit(addr, length - 1);
		assert_false(denied(v6, addr));
		memcpy(addr, base, 16);
		flip_bit(addr, length - 1);
		assert_false(denied(v6, addr));
		flip_bit(addr, length - 1);
		flip_bit(addr, 0);
		assert_false(denied(v6, addr));
	}
}

static void test_every_v4_length(void **state)
{
	static const uint8_t base[16] = {198, 51, 100, 0xa5};

	for (unsigned int length = 0; length <= 32; length++)
		check_length(false, base, length);
}

static void test_every_v6_length(void **state)
{
	static const uint8_t base[16] = {0x20, 0x01, 0x0d, 0xb8, 0xa5, 0x5a, 0xc3, 0x3c, 0x12, 0x34,
		0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf1};

	for (unsigned int length = 0; length <= 128; length++)
		check_length(true, base, length);
}

static bool plain_match(const struct dp_prefix *prefix, bool v6, const uint8_t *addr)
{
	uint8_t cut[16] = {};

	if (prefix->v6 != v6)
		return false;
	memcpy(cut, addr, v6 ? 16 : 4);
	mask_behind(cut, prefix->length_bits, v6 ? 128 : 32);
	return memcmp(cut, prefix->addr, v6 ? 16 : 4) == 0;
}

enum { RANDOM_PREFIXES = 1000, RANDOM_ADDRESSES = 4000 };

/* Addresses with few distinct bytes, so that prefixes of all lengths meet, nest and repeat. */
static void random_address(uint8_t *addr, bool v6)
{
	static const uint8_t bytes[] = {0x00, 0x20, 0x40, 0x80, 0xff};

	memset(addr, 0, 16);
	for (int i = 0; i < (v6 ? 16 : 4); i++)
		addr[i] = bytes[(size_t)random() % (random() % 4 ? 3 : array_len(bytes))];
}

static void random_list(struct dp_prefix *prefixes, unsigned int shortest)
{
	for (int i = 0; i < RANDOM_PREFIXES; i++) {
		bool v6 = random() % 2;
		unsigned int bits = v6 ? 128 : 32;

		prefixes[i].v6 = v6;
		prefixes[i].length_bits =
			(uint8_t)(shortest + (unsigned long)random() % (bits - shortest + 1));
		random_address(prefixes[i].addr, v6);
		mask_behind(prefixes[i].addr, prefixes[i].length_bits, bits);
	}
}

static void test_random_lists(void **state)
{
	static struct dp_prefix prefixes[RANDOM_PREFIXES];
	int hits = 0;

	srandom(2);
	for (unsigned int shortest = 6; shortest <= 26; shortest += 5) {
		random_list(prefixes, shortest);
		deny(prefixes, RANDOM_PREFIXES);
		for (int i = 0; i < RANDOM_ADDRESSES / 5; i++) {
			bool v6 = random() % 2, expected = false;
			uint8_t addr[16];

			random_address(addr, v6);
			if (random() % 2) {
				const struct dp_prefix *near =
					&prefixes[(size_t)random() % RANDOM_PREFIXES];

				v6 = near->v6;
				memcpy(addr, near->addr, 16);
				flip_bit(addr, (unsigned int)random() % (v6 ? 128 : 32));
			}
			for (int j = 0; j < RANDOM_PREFIXES && !expected; j++)
				expected = plain_match(&prefixes[j], v6, addr);
			hits += expected;
			if (denied(v6, addr) != expected)
				fail_msg("list %u, address %d", shortest, i);
		}
	}
	assert_in_range(hits, RANDOM_ADDRESSES / 10, RANDOM_ADDRESSES * 9 / 10);
}

static void test_lists_are_swapped_whole(void **state)
{
	struct dp_prefix first[] = {prefix_of("198.51.100.7"), prefix_of("2001:db8:2::/48")};
	struct dp_prefix second[] = {prefix_of("198.51.100.8/31")};

	deny(first, 2);
	assert_true(denied_text("198.51.100.7"));
	assert_true(denied_text("2001:db8:2::7"));
	deny(second, 1);
	assert_false(denied_text("198.51.100.7"));
	assert_true(denied_text("198.51.100.9"));
	assert_false(denied_text("2001:db8:2::7"));
	deny(NULL, 0);
	assert_false(denied_text("198.51.100.9"));
}

/* Only packets to a listener are judged, and those of a denied source also on a connection. */
static void test_other_traffic_is_not_judged(void **state)
{
	struct dp_prefix all[] = {prefix_of("0.0.0.0/0")};
	const struct packet_spec other = {.flags = PKT_SYN, .dport = 80}, ack = {.flags = PKT_ACK};

	deny(all, 1);
	assert_int_equal(harness_run(&other), XDP_PASS);
	assert_int_equal(harness_run(&ack), XDP_DROP);
	deny(NULL, 0);
}

static void test_prefix_parse(void **state)
{
	static const char *const bad[] = {"", "1.2.3", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/-1",
		"1.2.3.4/032", "::/129", "1.2.3.4/24", "2001:db8::1/64", "1.2.3.4 ", "x",
		"1.2.3.4/1000000000000"};
	struct dp_prefix prefix;
	struct err err = {};

	for (size_t i = 0; i < array_len(bad); i++)
		assert_int_equal(dp_prefix_parse(slice_of(bad[i]), &prefix, &err), -EINVAL);
	assert_int_equal(dp_prefix_parse(slice_of("1.2.3.4/24"), &prefix, &err), -EINVAL);
	assert_non_null(strstr(err.text, "1.2.3.0/24"));
	prefix = prefix_of("::ffff:192.0.2.128/121");
	assert_false(prefix.v6);
	assert_int_equal(prefix.length_bits, 25);
	assert_memory_equal(prefix.addr, ((const uint8_t[]){192, 0, 2, 128}), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_v4_length),
		cmocka_unit_test(test_every_v6_length),
		cmocka_unit_test(test_random_lists),
		cmocka_unit_test(test_lists_are_swapped_whole),
		cmocka_unit_test(test_other_traffic_is_not_judged),
		cmocka_unit_test(test_prefix_parse),
	};

	return cmocka_run_group_tests_name("bpf/deny", tests, harness_setup, harness_teardown);
}
