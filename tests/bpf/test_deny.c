/* Deny and allow lists: every prefix length, big random lists against a plain comparison, lines of an
 * IPv4 list that are just full and more than full, allowing within denying, swapping under traffic,
 * hits per prefix. */
#include "harness.h"

#include "dataplane/dp_deny.h"

#include <pthread.h>

static struct dp_prefix prefix_of(const char *text)
{
	struct dp_prefix prefix = {};
	struct err err = {};

	harness_ok(dp_prefix_parse(slice_of(text), &prefix, &err), &err);
	return prefix;
}

static void deny(const struct dp_prefix *prefixes, size_t count)
{
	struct dp_lists_spec spec = {.deny = prefixes, .deny_count = count};
	struct err err = {};

	harness_ok(dp_lists_set(harness.dp, &spec, &err), &err);
}

enum { TEXTS_MAX = 8 };

struct texts {
	const char *deny[TEXTS_MAX], *allow[TEXTS_MAX]; /* NULL ends */
	bool hits;
};

static size_t prefixes_of(const char *const texts[TEXTS_MAX], struct dp_prefix *prefixes)
{
	size_t count = 0;

	for (; count < TEXTS_MAX && texts[count]; count++)
		prefixes[count] = prefix_of(texts[count]);
	return count;
}

static void lists(const struct texts *texts)
{
	struct dp_prefix denied[TEXTS_MAX], allowed[TEXTS_MAX];
	struct dp_lists_spec spec = {.deny = denied, .allow = allowed, .hits = texts->hits};
	struct err err = {};

	spec.deny_count = prefixes_of(texts->deny, denied);
	spec.allow_count = prefixes_of(texts->allow, allowed);
	harness_ok(dp_lists_set(harness.dp, &spec, &err), &err);
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

/* --- what a line of an IPv4 list holds, and what it does not: <sluice/deny_v4.h> */

static struct dp_prefix prefix_v4(uint32_t host, unsigned int length)
{
	struct dp_prefix prefix = {.length_bits = (uint8_t)length};
	uint32_t addr_be = htonl(length ? host & ~0u << (32 - length) : 0);

	memcpy(prefix.addr, &addr_be, sizeof(addr_be));
	return prefix;
}

static bool denied_v4(uint32_t host)
{
	uint32_t addr_be = htonl(host);
	uint8_t addr[16] = {};

	memcpy(addr, &addr_be, sizeof(addr_be));
	return denied(false, addr);
}

/* As many prefixes as `count`, `step` apart, and none but those. */
struct even {
	uint32_t base, step, count;
	unsigned int length;
};

enum { EVEN_MAX = 128, EVENS = 9 };

static void even_check(const struct even *even)
{
	uint32_t addresses = 1u << (32 - even->length);

	for (uint32_t i = 0; i <= even->count; i++) {
		uint32_t first = even->base + i * even->step;
		bool expected = i < even->count;

		if (denied_v4(first) != expected || denied_v4(first + addresses - 1) != expected ||
			denied_v4(first + addresses) || denied_v4(first - 1))
			fail_msg("%u of /%u from %08x by %x: number %u", even->count, even->length,
				even->base, even->step, i);
	}
}

static void evens_check(const struct even *evens, size_t evens_count)
{
	static struct dp_prefix prefixes[EVENS * EVEN_MAX];
	size_t count = 0;

	for (size_t i = 0; i < evens_count; i++)
		for (uint32_t j = 0; j < evens[i].count; j++)
			prefixes[count++] =
				prefix_v4(evens[i].base + j * evens[i].step, evens[i].length);
	deny(prefixes, count);
	for (size_t i = 0; i < evens_count; i++)
		even_check(&evens[i]);
}

/* Prefixes of a /17 and of a /15, single addresses of a /18: one less than fits, as many, one more.
 * Apart by two /24s, by a /21, and so that they cross from one line to the next. */
static void test_v4_lines_overflow(void **state)
{
	static const uint32_t counts[] = {1, 7, 8, 9, 26, 27, 28, 35, 36, 37, 53, 54, 55, 64, 100};
	static const uint32_t steps[] = {0x200, 0x800, 0x1800};

	for (size_t i = 0; i < array_len(counts); i++) {
		struct even evens[EVENS];

		for (uint32_t j = 0; j < EVENS; j++)
			evens[j] = (struct even){.base = 0x0a000000 + j * 0x200000,
				.step = steps[j % 3],
				.count = counts[i],
				.length = 24 + j / 3 * 4};
		evens_check(evens, EVENS);
	}
	/* every /24 of a /18, which no other line can hold */
	evens_check((struct even[]){{0x0a000033, 0x100, 36, 32}, {0x0b000033, 0x100, 37, 32},
			    {0x0c000033, 0x100, 64, 32}, {0x0d0000ff, 0x100, 65, 32}},
		4);
}

/* /24s that are whole only all together, and prefixes that are one shorter together. */
static void test_v4_pieces(void **state)
{
	struct dp_prefix pieces[16] = {prefix_of("10.1.2.0/25"), prefix_of("10.1.2.128/26"),
		prefix_of("10.1.2.192/26"), prefix_of("10.1.4.2"), prefix_of("10.1.4.3"),
		prefix_of("10.1.4.4/30"), prefix_of("10.1.4.5"), prefix_of("10.1.6.255"),
		prefix_of("10.1.7.0")};

	deny(pieces, 9);
	assert_true(denied_text("10.1.2.0") && denied_text("10.1.2.127"));
	assert_true(denied_text("10.1.2.128") && denied_text("10.1.2.255"));
	assert_false(denied_text("10.1.1.255") || denied_text("10.1.3.0"));
	assert_false(denied_text("10.1.4.1") || denied_text("10.1.4.8"));
	for (uint32_t host = 0x0a010402; host <= 0x0a010407; host++)
		assert_true(denied_v4(host));
	assert_true(denied_text("10.1.6.255") && denied_text("10.1.7.0"));
	assert_false(denied_text("10.1.6.254") || denied_text("10.1.7.1"));
}

enum { CROWD_MAX = 3000, CROWD_ADDRESSES = 500 };

static bool covers(const struct dp_prefix *prefix, uint32_t host)
{
	uint32_t addr_be;

	memcpy(&addr_be, prefix->addr, sizeof(addr_be));
	return (host ^ ntohl(addr_be)) >> (32 - prefix->length_bits) == 0;
}

static bool any_covers(const struct dp_prefix *prefixes, size_t count, uint32_t host)
{
	for (size_t i = 0; i < count; i++)
		if (covers(&prefixes[i], host))
			return true;
	return false;
}

/* The first /15 of all, two neighbours, the last one. */
static uint32_t crowd_host(void)
{
	static const uint32_t bases[] = {0, 0x0a000000, 0x0a020000, 0xfffe0000};

	return bases[random() % 4] + (uint32_t)random() % 0x20000;
}

/* Mostly of a prefix or one bit beside it. */
static uint32_t crowd_near(const struct dp_prefix *prefixes, size_t count)
{
	uint32_t addr_be;

	if (random() % 4 == 0)
		return crowd_host();
	memcpy(&addr_be, prefixes[(size_t)random() % count].addr, sizeof(addr_be));
	return ntohl(addr_be) ^ (random() % 2 ? 1u << random() % 17 : 0);
}

/* In four /15s, from one prefix to far more than fit their lines. */
static void test_v4_crowds(void **state)
{
	static const size_t counts[] = {1, 2, 3, 5, 7, 10, 15, 22, 33, 50, 75, 110, 170, 250, 380,
		560, 850, 1300, 2000, CROWD_MAX};
	static struct dp_prefix prefixes[CROWD_MAX];
	int expected_hits = 0;

	srandom(3);
	for (size_t i = 0; i < array_len(counts); i++) {
		unsigned int shortest = 20 + (unsigned int)(i % 3) * 5; /* 20, 25, 30 */

		for (size_t j = 0; j < counts[i]; j++)
			prefixes[j] = prefix_v4(
				crowd_host(), shortest + (unsigned int)random() % (33 - shortest));
		deny(prefixes, counts[i]);
		for (int j = 0; j < CROWD_ADDRESSES; j++) {
			uint32_t host = crowd_near(prefixes, counts[i]);
			bool expected = any_covers(prefixes, counts[i], host);

			expected_hits += expected;
			if (denied_v4(host) != expected)
				fail_msg("%zu prefixes of /%u and longer: %08x", counts[i],
					shortest, host);
		}
	}
	assert_in_range(expected_hits, CROWD_ADDRESSES * 5, CROWD_ADDRESSES * 15);
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

/* Both ends of the address space, the whole of it, and neighbours across words of the bitmaps. */
static void test_boundaries(void **state)
{
	lists(&(struct texts){.deny = {"0.0.0.0/32", "255.255.255.255", "1.0.63.0/24", "1.0.0.255",
				      "::/127", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}});
	assert_true(denied_text("0.0.0.0"));
	assert_false(denied_text("0.0.0.1"));
	assert_true(denied_text("255.255.255.255"));
	assert_false(denied_text("255.255.255.254"));
	assert_true(denied_text("1.0.63.0"));
	assert_true(denied_text("1.0.63.255"));
	assert_false(denied_text("1.0.62.255"));
	assert_false(denied_text("1.0.64.0"));
	assert_true(denied_text("1.0.0.255"));
	assert_false(denied_text("1.0.1.255"));
	assert_true(denied_text("::1"));
	assert_false(denied_text("::2"));
	assert_true(denied_text("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
	assert_false(denied_text("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"));
	lists(&(struct texts){.deny = {"0.0.0.0/0", "::/0", "192.0.2.1", "2001:db8::1"}});
	assert_true(denied_text("0.0.0.0"));
	assert_true(denied_text("192.0.2.1"));
	assert_true(denied_text("255.255.255.255"));
	assert_true(denied_text("::"));
	assert_true(denied_text("ffff::"));
}

/* A packet with an IPv4-mapped source is IPv6, but a mapped prefix was meant for IPv4. */
static void test_mapped_prefixes(void **state)
{
	lists(&(struct texts){.deny = {"::ffff:198.51.100.0/120"}});
	assert_true(denied_text("198.51.100.77"));
	assert_false(denied_text("198.51.101.77"));
	assert_false(denied_text("::ffff:198.51.100.77"));
	lists(&(struct texts){.deny = {"::fffe:0:0/95"}}); /* not IPv4's alone: taken by its word */
	assert_false(denied_text("198.51.100.77"));
	assert_true(denied_text("::ffff:198.51.100.77"));
}

static void test_allow_beats_deny(void **state)
{
	struct dp_counters counted;

	lists(&(struct texts){.deny = {"198.51.100.0/24", "192.0.2.1", "2001:db8::/32"},
		.allow = {
			"198.51.100.64/26", "192.0.2.0/24", "203.0.113.0/24", "2001:db8:7::/48"}});
	assert_true(denied_text("198.51.100.63"));
	assert_false(denied_text("198.51.100.64"));
	assert_false(denied_text("198.51.100.127"));
	counted = harness_counted();
	assert_int_equal(counted.value[COUNTER_allow_list], 1);
	assert_true(denied_text("198.51.100.128"));
	assert_false(denied_text("192.0.2.1"));
	assert_false(denied_text("203.0.113.1"));
	counted = harness_counted();
	assert_int_equal(counted.value[COUNTER_allow_list], 0); /* it was not denied */
	assert_true(denied_text("2001:db8:6::1"));
	assert_false(denied_text("2001:db8:7::1"));
	lists(&(struct texts){.deny = {"198.51.100.0/24", "::/0"}, .allow = {"0.0.0.0/0"}});
	assert_false(denied_text("198.51.100.63"));
	assert_true(denied_text("2001:db8:7::1"));
}

/* --- swapping under traffic */

struct traffic {
	struct frame frame;
	pthread_t thread;
	bool stop;
	uint64_t sent;
};

static void *traffic_run(void *arg)
{
	struct traffic *traffic = arg;

	while (!__atomic_load_n(&traffic->stop, __ATOMIC_RELAXED)) {
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = traffic->frame.data,
			.data_size_in = (uint32_t)traffic->frame.len, .repeat = 5000);

		if (bpf_prog_test_run_opts(harness_program(), &opts))
			break;
		traffic->sent += 5000;
	}
	return NULL;
}

static void traffic_begin(struct traffic *traffic, const char *src)
{
	struct packet_spec spec = {
		.v6 = strchr(src, ':') != NULL, .flags = PKT_SYN | PKT_FIN, .src = src};

	*traffic = (struct traffic){.frame = packet_build(&spec)};
	harness_count_from_here();
	assert_int_equal(pthread_create(&traffic->thread, NULL, traffic_run, traffic), 0);
}

static void traffic_end(struct traffic *traffic)
{
	__atomic_store_n(&traffic->stop, true, __ATOMIC_RELAXED);
	pthread_join(traffic->thread, NULL);
	assert_true(traffic->sent > 0);
}

enum { SWAPS = 24 };

static struct dp_counters swap_under_traffic(
	const struct texts *states, size_t count, const char *src, uint64_t *ret_sent)
{
	struct traffic traffic;

	lists(&states[0]);
	traffic_begin(&traffic, src);
	for (size_t i = 1; i <= SWAPS; i++)
		lists(&states[i % count]);
	traffic_end(&traffic);
	*ret_sent = traffic.sent;
	return harness_counted();
}

/* Every list denies the source, each in another way. A packet judged by the rows of one and the bits
 * of another, or by an allow list of another, would get through. */
static void test_swap_never_lets_through(void **state)
{
	static const struct texts v4[] = {
		{.deny = {"198.51.100.0/24"}},
		{.deny = {"198.51.100.7", "198.51.100.9", "10.0.0.1"}, .allow = {"198.51.100.8"}},
		{.deny = {"0.0.0.0/0", "::/0"}, .allow = {"203.0.113.0/24"}},
		{.deny = {"10.0.0.1", "198.0.0.0/8", "198.51.100.128/25"}},
	};
	static const struct texts v6[] = {
		{.deny = {"2001:db8:2::/48"}},
		{.deny = {"2001:db8:2::7", "2001:db8:2::9"}, .allow = {"2001:db8:2::8"}},
		{.deny = {"::/0", "10.0.0.0/8"}},
		{.deny = {"2001:db8:2::/64", "2001:db8:2:1::/64", "fd00::/8"}},
	};
	struct dp_counters counted;
	uint64_t sent;

	counted = swap_under_traffic(v4, array_len(v4), "198.51.100.7", &sent);
	assert_int_equal(counted.value[COUNTER_tcp_syn_fin], 0);
	assert_int_equal(counted.value[COUNTER_deny_v4], sent);
	counted = swap_under_traffic(v6, array_len(v6), "2001:db8:2::7", &sent);
	assert_int_equal(counted.value[COUNTER_tcp_syn_fin], 0);
	assert_int_equal(counted.value[COUNTER_deny_v6], sent);
}

static void test_swap_never_drops(void **state)
{
	static const struct texts states[] = {
		{.deny = {"198.51.100.0/24"}, .allow = {"198.51.100.7"}},
		{.deny = {"198.51.100.8", "198.51.100.6"}},
		{.deny = {"0.0.0.0/0"}, .allow = {"198.51.0.0/16"}},
		{.deny = {"198.51.100.7", "198.51.100.9"}, .allow = {"198.51.100.0/29"}},
	};
	struct dp_counters counted;
	uint64_t sent;

	counted = swap_under_traffic(states, array_len(states), "198.51.100.7", &sent);
	assert_int_equal(counted.value[COUNTER_deny_v4], 0);
	assert_int_equal(counted.value[COUNTER_tcp_syn_fin], sent);
}

static void test_one_change_at_a_time(void **state)
{
	struct dp_lists_spec none = {};
	struct dp_lists *first, *second;
	struct err err = {};

	lists(&(struct texts){.deny = {"198.51.100.7"}});
	harness_ok(dp_lists_build(harness.dp, &none, &first, &err), &err);
	assert_int_equal(dp_lists_build(harness.dp, &none, &second, &err), -EBUSY);
	assert_true(denied_text("198.51.100.7")); /* built is not installed */
	dp_lists_free(harness.dp, first);
	assert_true(denied_text("198.51.100.7"));
	harness_ok(dp_lists_build(harness.dp, &none, &first, &err), &err);
	dp_lists_install(harness.dp, first);
	assert_false(denied_text("198.51.100.7"));
	dp_lists_free(harness.dp, first);
	assert_false(denied_text("198.51.100.7"));
}

/* --- hits */

static char hits_text[256];

static void hits_take(void *arg, const struct dp_deny_hits *row)
{
	char prefix[DP_PREFIX_TEXT_BYTES];
	size_t len = strlen(hits_text);

	dp_prefix_print(&row->prefix, prefix);
	snprintf(hits_text + len, sizeof(hits_text) - len, "%s=%lu ", prefix, row->hits);
}

static const char *hits(void)
{
	struct err err = {};

	hits_text[0] = '\0';
	harness_ok(dp_deny_hits_read(harness.dp, hits_take, NULL, &err), &err);
	return hits_text;
}

static void hit(const char *src, int count)
{
	struct packet_spec spec = {
		.v6 = strchr(src, ':') != NULL, .flags = PKT_SYN | PKT_FIN, .src = src};
	struct frame frame = packet_build(&spec);

	harness_run_repeat(frame.data, frame.len, count);
}

/* Exact, to the longest prefix, and kept while the prefix stays on the list. */
static void test_hits(void **state)
{
	struct texts texts = {
		.deny = {"198.51.0.0/16", "198.51.100.0/24", "198.51.100.7", "2001:db8::/32",
			"198.51.100.7"},
		.allow = {"198.51.100.9"},
	};

	lists(&texts);
	hit("198.51.100.7", 10);
	assert_string_equal(hits(), "");
	texts.hits = true;
	lists(&texts);
	assert_string_equal(hits(), "");
	hit("198.51.100.7", 1000);
	hit("198.51.100.8", 100);
	hit("198.51.100.9", 77);
	hit("198.51.3.1", 10);
	hit("2001:db8:5::1", 5);
	assert_string_equal(
		hits(), "198.51.0.0/16=10 198.51.100.0/24=100 198.51.100.7=1000 2001:db8::/32=5 ");
	texts.deny[1] = "10.0.0.0/8";
	lists(&texts);
	hit("198.51.100.8", 1);
	hit("198.51.100.7", 1);
	hit("10.1.2.3", 2);
	assert_string_equal(
		hits(), "10.0.0.0/8=2 198.51.0.0/16=11 198.51.100.7=1001 2001:db8::/32=5 ");
	texts.hits = false;
	lists(&texts);
	assert_string_equal(hits(), "");
}

/* What two CPUs and a swap in their midst do to a number: nothing. */
static void test_hits_are_exact_across_swaps(void **state)
{
	static const struct texts texts = {.deny = {"198.51.100.0/24"}, .hits = true};
	char expected[64];
	uint64_t sent;

	lists(&(struct texts){});
	swap_under_traffic(&texts, 1, "198.51.100.7", &sent);
	snprintf(expected, sizeof(expected), "198.51.100.0/24=%lu ", sent);
	assert_string_equal(hits(), expected);
	lists(&(struct texts){});
}

static void test_prefix_print(void **state)
{
	static const char *const texts[] = {
		"192.0.2.0/24", "192.0.2.1", "0.0.0.0/0", "2001:db8::/32", "::", "::/0"};

	for (size_t i = 0; i < array_len(texts); i++) {
		struct dp_prefix prefix = prefix_of(texts[i]);
		char text[DP_PREFIX_TEXT_BYTES];

		dp_prefix_print(&prefix, text);
		assert_string_equal(text, texts[i]);
	}
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
		cmocka_unit_test(test_v4_lines_overflow),
		cmocka_unit_test(test_v4_pieces),
		cmocka_unit_test(test_v4_crowds),
		cmocka_unit_test(test_lists_are_swapped_whole),
		cmocka_unit_test(test_other_traffic_is_not_judged),
		cmocka_unit_test(test_boundaries),
		cmocka_unit_test(test_mapped_prefixes),
		cmocka_unit_test(test_allow_beats_deny),
		cmocka_unit_test(test_swap_never_lets_through),
		cmocka_unit_test(test_swap_never_drops),
		cmocka_unit_test(test_one_change_at_a_time),
		cmocka_unit_test(test_hits),
		cmocka_unit_test(test_hits_are_exact_across_swaps),
		cmocka_unit_test(test_prefix_print),
		cmocka_unit_test(test_prefix_parse),
	};

	return cmocka_run_group_tests_name("bpf/deny", tests, harness_setup, harness_teardown);
}
