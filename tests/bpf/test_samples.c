/* Sampled drops: what a sample says, how many there are, that no drop is missing from the weights. */
#include "harness.h"

#include "dataplane/dp_samples.h"

enum { RING_SAMPLES = SLUICE_SAMPLE_RING_BYTES / (sizeof(struct sluice_sample) + 8) };

static struct dp_samples *samples;
static struct sluice_sample last;
static uint64_t taken, weight;

static void take(void *arg, const struct sluice_sample *sample)
{
	last = *sample;
	taken++;
	weight += sample->weight;
}

/* The numbers are per CPU. */
static int setup(void **state)
{
	cpu_set_t first;
	struct err err = {};

	CPU_ZERO(&first);
	CPU_SET(sched_getcpu(), &first);
	if (sched_setaffinity(0, sizeof(first), &first) || harness_setup(state))
		return -1;
	return dp_samples_open(harness.dp, take, NULL, &samples, &err);
}

static int teardown(void **state)
{
	dp_samples_close(samples);
	return harness_teardown(state);
}

/* The next drop is shown, whenever the one before was. */
static void pace_reset(void)
{
	struct sluice_sample_pace rows[1024];
	int fd = bpf_map__fd(harness.dp->xdp->maps.sample_pace);
	uint32_t zero = 0;

	assert_true(libbpf_num_possible_cpus() <= (int)array_len(rows));
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, rows), 0);
	for (int i = 0; i < libbpf_num_possible_cpus(); i++)
		rows[i].due_jiffies = 0;
	assert_int_equal(bpf_map_update_elem(fd, &zero, rows, BPF_ANY), 0);
}

static void begin(void)
{
	dp_samples_pace_set(harness.dp, 1);
	pace_reset();
	dp_samples_read(samples);
	taken = weight = 0;
}

static void check_sample(const struct packet_spec *spec, enum sluice_counter reason)
{
	struct frame frame = packet_build(spec);

	begin();
	assert_int_equal(harness_run(spec), XDP_DROP);
	assert_int_equal(dp_samples_read(samples), 1);
	assert_int_equal(last.reason, reason);
	assert_int_equal(last.v6, spec->v6);
	assert_int_equal(last.length, frame.len);
	assert_int_equal(last.tcp_flags & 0x3f, spec->flags);
	assert_int_equal(ntohs(last.sport_be), spec->sport);
	assert_int_equal(ntohs(last.dport_be), PKT_PORT);
}

static void test_what_a_sample_says(void **state)
{
	static const struct packet_spec v4 = {
		.flags = PKT_SYN | PKT_FIN, .src = "198.51.100.7", .sport = 4711};
	static const struct packet_spec v6 = {.v6 = true,
		.flags = PKT_FIN,
		.src = "2001:db8:2::7",
		.sport = 4712,
		.payload = 100};
	static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 198, 51, 100, 7};
	uint8_t addr[16];

	check_sample(&v4, COUNTER_tcp_syn_fin);
	assert_memory_equal(last.saddr_be, mapped, 16);
	check_sample(&v6, COUNTER_tcp_fin_without_ack);
	inet_pton(AF_INET6, "2001:db8:2::7", addr);
	assert_memory_equal(last.saddr_be, addr, 16);
	inet_pton(AF_INET6, PKT_V6_LISTENER, addr);
	assert_memory_equal(last.daddr_be, addr, 16);
}

static void test_what_passes_is_not_shown(void **state)
{
	static const struct packet_spec syn = {.flags = PKT_SYN}, other = {.dport = 80};

	begin();
	harness_alive(true);
	assert_int_equal(harness_run(&syn), XDP_PASS);
	assert_int_equal(harness_run(&other), XDP_PASS);
	assert_int_equal(dp_samples_read(samples), 0);
}

/* A flood is one sample a second, and the next one stands for all of it. */
static void test_weight(void **state)
{
	static const struct packet_spec drop = {.flags = PKT_SYN | PKT_FIN};
	struct frame frame = packet_build(&drop);

	begin();
	harness_run(&drop); /* takes what came before along */
	assert_int_equal(dp_samples_read(samples), 1);
	pace_reset();
	taken = weight = 0;
	harness_run_repeat(frame.data, frame.len, 2000);
	dp_samples_read(samples);
	assert_in_range(taken, 1, 2);
	pace_reset();
	harness_run(&drop);
	dp_samples_read(samples);
	assert_int_equal(weight, 2001);
}

static void test_switched_off(void **state)
{
	static const struct packet_spec drop = {.flags = PKT_SYN | PKT_FIN};

	begin();
	dp_samples_pace_set(harness.dp, 0);
	assert_int_equal(harness_run(&drop), XDP_DROP);
	assert_int_equal(dp_samples_read(samples), 0);
}

/* Nobody reads: what does not fit is counted, and not lost from the weights. */
static void test_full_ring(void **state)
{
	static const struct packet_spec drop = {.flags = PKT_SYN | PKT_FIN};
	uint64_t lost;

	begin();
	harness_run(&drop);
	dp_samples_read(samples);
	taken = weight = 0;
	harness_count_from_here();
	for (int i = 0; i < (int)RING_SAMPLES + 100; i++) {
		pace_reset();
		harness_run(&drop);
	}
	lost = harness_counted().value[COUNTER_samples_lost];
	assert_in_range(lost, 100, 200);
	dp_samples_read(samples);
	assert_int_equal(taken + lost, RING_SAMPLES + 100);
	assert_int_equal(weight, taken);
	pace_reset();
	harness_run(&drop);
	dp_samples_read(samples);
	assert_int_equal(last.weight, lost + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_sample_says),
		cmocka_unit_test(test_what_passes_is_not_shown),
		cmocka_unit_test(test_weight),
		cmocka_unit_test(test_switched_off),
		cmocka_unit_test(test_full_ring),
	};

	return cmocka_run_group_tests_name("bpf/samples", tests, setup, teardown);
}
