/* Incomplete first flights from one gate to another: they end there as they would have here, and what is
 * no such block does nothing. */
#include "gate/parked.h"
#include "gate_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { PLACE = 7, HEAD_BYTES = 12 /* which say what layout it is */ };

static struct rig rig;
static struct rig_client client;
static struct hello_bytes hello;
static struct gate_parked parked;
static const uint32_t places[] = {PLACE}, others[] = {PLACE + 1};

static int begin_with(int flags, size_t padding)
{
	struct hello_raw raw = {
		.name = "www.test", .extensions = "0,a,d,2b,33,15", .padding_len = padding};

	hello_stream(&raw, &hello);
	rig_init(&rig, NULL, 0);
	rig_client_init(&client, &rig, RIG_CLIENT, RIG_LOCAL, flags, &hello);
	return 0;
}

static int end(void **state)
{
	free(parked.bytes);
	parked = (struct gate_parked){0};
	rig_fini(&rig);
	return 0;
}

static void say(size_t from, size_t to)
{
	rig_client_send(&client, &rig, from, to);
}

/* Parks what there is, and a gate that has nothing takes the old one's place. */
static void change_gates(void)
{
	gate_park(rig.gate, places, &parked);
	gate_free(rig.gate);
	assert_int_equal(rig.worker.counts.flights_open, 0);
	rig_open_gate(&rig, 0);
	rig_listen(&rig, RIG_LOCAL);
}

static void check_released(void)
{
	const struct rig_packet *packet = rig_last_released(&rig);

	assert_int_equal(rig.n_released, 1);
	assert_true(packet->len > hello.len);
	assert_memory_equal(packet->bytes + packet->len - hello.len, hello.at, hello.len);
	assert_int_equal(rig.worker.counts.flights_open, 0);
}

static void ends_in_the_next_gate(int flags, bool ends_first, size_t padding)
{
	size_t cut;

	begin_with(flags, padding);
	for (cut = 0; cut + 1000 < hello.len / 2; cut += 1000)
		;
	if (ends_first)
		for (size_t at = cut; at < hello.len; at += 1000)
			say(at, at + 1000 < hello.len ? at + 1000 : hello.len);
	else
		for (size_t at = 0; at < cut; at += 1000)
			say(at, at + 1000);
	change_gates();
	assert_int_equal(gate_unpark(rig.gate, others, &parked), 0);
	assert_int_equal(gate_unpark(rig.gate, places, &parked), 1);
	assert_int_equal(gate_unpark(rig.gate, places, &parked), 0); /* it is there */
	assert_int_equal(rig.worker.counts.flights_open, 1);
	if (ends_first)
		for (size_t at = 0; at < cut; at += 1000)
			say(at, at + 1000);
	else
		for (size_t at = cut; at < hello.len; at += 1000)
			say(at, at + 1000 < hello.len ? at + 1000 : hello.len);
	check_released();
	end(NULL);
}

static void end_in_the_next_gate(void **state)
{
	for (int flags = 0; flags < 2; flags++) /* timestamps */
		for (int ends_first = 0; ends_first < 2; ends_first++) {
			ends_in_the_next_gate(flags, ends_first, 2800);
			ends_in_the_next_gate(flags, ends_first, 12000); /* a large buffer */
		}
}

/* What was promised is kept: the acknowledgement that is due, the time, the reset at its end. */
static void times_go_on(void **state)
{
	begin_with(RIG_TIMESTAMPS, 1400);
	say(0, 1000);
	rig_pass_ms(&rig, 5);
	change_gates();
	assert_int_equal(gate_unpark(rig.gate, places, &parked), 1);
	rig_pass_ms(&rig, 4);
	assert_int_equal(rig.n_sent, 0);
	rig_pass_ms(&rig, 1);
	assert_int_equal(rig.n_sent, 1);
	rig_pass_ms(&rig, 4989);
	assert_int_equal(rig.n_sent, 1);
	rig_pass_ms(&rig, 1);
	assert_int_equal(rig.n_sent, 2);
	assert_int_equal(rig.worker.counts.flights_open, 0);
}

/* Cut off anywhere, or of another layout. */
static void what_is_none(void **state)
{
	struct gate_parked cut;

	begin_with(RIG_TIMESTAMPS, 1400);
	say(0, 1000);
	change_gates();
	for (size_t at = 0; at < parked.len; at++) {
		cut = (struct gate_parked){malloc(at + 1), at};
		assert_non_null(cut.bytes);
		memcpy(cut.bytes, parked.bytes, at);
		assert_int_equal(gate_unpark(rig.gate, places, &cut), 0);
		free(cut.bytes);
	}
	for (size_t at = 0; at < HEAD_BYTES; at++) {
		parked.bytes[at] ^= 1;
		assert_int_equal(gate_unpark(rig.gate, places, &parked), 0);
		parked.bytes[at] ^= 1;
	}
	assert_int_equal(gate_unpark(rig.gate, places, &parked), 1);
	assert_int_equal(rig.n_released, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(end_in_the_next_gate),
		cmocka_unit_test_teardown(times_go_on, end),
		cmocka_unit_test_teardown(what_is_none, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
