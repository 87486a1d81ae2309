/* Whose incomplete first flights a gate keeps: shares of prefixes, who makes room, and that the
 * order of the crowds stays right whatever comes and goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gate_rig.h"
#include <sys/eventfd.h>
#include <unistd.h>

enum { PART = 1000 };

static struct rig rig;
static struct hello_bytes hello;

static void prepare(uint32_t flights_max, uint32_t share, size_t padding)
{
	struct hello_raw raw = {
		.name = "www.test", .extensions = "0,a,d,2b,33,15", .padding_len = padding};
	struct gate_listener listeners[2];
	struct hello_bytes message;

	hello_message(&raw, &message);
	hello_records(&message, 16384, &hello);
	rig_init(&rig, NULL, flights_max);
	listeners[0] = (struct gate_listener){.local = rig_addr(RIG_LOCAL),
		.policy = rig.policy,
		.handshake_ms = 5000,
		.flights_per_prefix = share};
	listeners[1] = listeners[0];
	listeners[1].local = rig_addr("[2001:db8::ff]:443");
	gate_set_listeners(rig.gate, listeners, 2);
}

static struct rig_client client_at(const char *from)
{
	bool v6 = from[0] == '[';
	struct rig_client client;

	rig_client_init(
		&client, &rig, from, v6 ? "[2001:db8::ff]:443" : RIG_LOCAL, RIG_TIMESTAMPS, &hello);
	return client;
}

static struct rig_client begin(const char *from)
{
	struct rig_client client = client_at(from);

	rig_client_send(&client, &rig, 0, PART);
	return client;
}

static struct rig_client begin_from(const char *net, uint32_t host, uint32_t port)
{
	char from[ADDR_TEXT_BYTES];

	snprintf(from, sizeof(from), "%s.%u:%u", net, host, port);
	return begin(from);
}

static void end(struct rig_client *client)
{
	size_t at;

	for (at = PART; at < client->stream_bytes; at += PART)
		rig_client_send(client, &rig, at,
			at + PART < client->stream_bytes ? at + PART : client->stream_bytes);
}

static bool is_open(const struct rig_client *client)
{
	struct flight_key key = {.ack = client->segment.ack};

	key.tuple = (struct sluice_cookie_tuple){
		.from_port_be = htons(addr_port(&client->segment.from)),
		.to_port_be = htons(addr_port(&client->segment.to)),
		.v6 = client->segment.from.any.sa_family == AF_INET6};
	addr_to_mapped(&client->segment.from, (uint8_t *)key.tuple.from_be);
	addr_to_mapped(&client->segment.to, (uint8_t *)key.tuple.to_be);
	return flights_find(&rig.gate->flights, &key);
}

static uint64_t count(enum gate_reason reason)
{
	return rig_count(&rig, reason);
}

/* A prefix that has its share gets no more: its own oldest flight goes. */
static void a_prefix_has_a_share(void **state)
{
	struct rig_client first, second, neighbour, other;
	uint32_t port;

	prepare(64, 8, 1400);
	other = begin("203.0.113.5:999");
	first = begin("192.0.2.7:1000");
	second = begin("192.0.2.99:1001"); /* same /24 */
	for (port = 2; port < 8; port++)
		begin_from("192.0.2", port, 1000 + port);
	assert_int_equal(count(GATE_prefix_flights), 0);
	neighbour = begin("192.0.3.7:1000");
	assert_int_equal(count(GATE_prefix_flights), 0);
	begin("192.0.2.7:1008");
	assert_int_equal(count(GATE_prefix_flights), 1);
	assert_int_equal(count(GATE_flights_full), 0);
	assert_false(is_open(&first));
	assert_true(is_open(&second));
	assert_int_equal(rig.worker.counts.flights_open, 10);
	end(&second);
	end(&neighbour);
	end(&other);
	assert_int_equal(rig.n_released, 3);
	assert_int_equal(rig.worker.counts.flights_open, 7);
	/* There is room again. */
	begin("192.0.2.7:1009");
	assert_int_equal(count(GATE_prefix_flights), 1);
	rig_fini(&rig);
}

/* What is behind a /56 is one prefix, what is beside it is another; IPv4 is never IPv6. */
static void prefixes_of_v6(void **state)
{
	struct rig_client first, second, beside;

	prepare(64, 2, 1400);
	beside = begin("[2001:db8:0:100::1]:1");
	first = begin("[2001:db8::1]:1");
	second = begin("[2001:db8:0:ff:1:2:3:4]:1");
	assert_int_equal(count(GATE_prefix_flights), 0);
	begin("[2001:db8:0:80::1]:1");
	assert_int_equal(count(GATE_prefix_flights), 1);
	assert_false(is_open(&first));
	assert_true(is_open(&second));
	assert_true(is_open(&beside));
	rig_fini(&rig);
}

/* One that was told that its bytes had come is told that all is over. */
static void who_makes_room_is_told(void **state)
{
	prepare(64, 1, 1400);
	begin("192.0.2.7:1000");
	begin("192.0.2.7:1001");
	assert_int_equal(rig.n_sent, 0);
	rig_pass_ms(&rig, 10);
	assert_int_equal(rig.n_sent, 1); /* the acknowledgement of the second one */
	begin("192.0.2.7:1002");
	assert_int_equal(count(GATE_prefix_flights), 2);
	assert_int_equal(rig.n_sent, 2);
	rig_fini(&rig);
}

/* Without a share all the room is there for one prefix, and comes back when another needs it. */
static void the_heaviest_makes_room(void **state)
{
	struct rig_client light[3], heavy[13];
	uint32_t i;

	prepare(16, 0, 1400);
	light[0] = begin("203.0.113.1:1"); /* the oldest of all */
	light[1] = begin("203.0.112.1:1");
	light[2] = begin("203.0.112.2:1");
	for (i = 0; i < 13; i++)
		heavy[i] = begin_from("192.0.2", 1 + i, 1000);
	assert_int_equal(count(GATE_flights_full), 0);
	for (i = 0; i < 10; i++) {
		char net[16];

		snprintf(net, sizeof(net), "198.18.%u", i);
		begin_from(net, 1, 1);
		assert_int_equal(count(GATE_flights_full), i + 1);
		assert_false(is_open(&heavy[i]));
		assert_true(is_open(&heavy[i + 1]));
	}
	for (i = 0; i < 3; i++) {
		assert_true(is_open(&light[i]));
		end(&light[i]);
	}
	assert_int_equal(rig.n_released, 3);
	rig_fini(&rig);
}

/* One prefix with large flights does not keep others from having one. */
static void large_buffers_have_owners(void **state)
{
	struct rig_client light, heavy;
	uint32_t port;

	prepare(16, 0, 9000); /* five large ones */
	light = begin("203.0.113.1:1");
	rig_client_send(&light, &rig, 7000, 8000);
	heavy = begin("192.0.2.1:1000");
	rig_client_send(&heavy, &rig, 7000, 8000);
	for (port = 1001; port < 1008; port++) {
		struct rig_client more = begin_from("192.0.2", 1, port);

		rig_client_send(&more, &rig, 7000, 8000);
	}
	assert_int_equal(count(GATE_flights_full), 4);
	assert_false(is_open(&heavy));
	end(&light);
	assert_int_equal(rig.n_released, 1);
	rig_fini(&rig);
}

/* A share that became smaller holds for the next one that comes. */
static void the_share_changes(void **state)
{
	struct gate_listener listener;
	uint32_t port;

	prepare(16, 0, 1400);
	for (port = 1; port <= 10; port++)
		begin_from("192.0.2", 1, port);
	listener = (struct gate_listener){.local = rig_addr(RIG_LOCAL),
		.policy = rig.policy,
		.handshake_ms = 5000,
		.flights_per_prefix = 3};
	gate_set_listeners(rig.gate, &listener, 1);
	assert_int_equal(rig.worker.counts.flights_open, 10);
	begin("192.0.2.1:11");
	assert_int_equal(rig.worker.counts.flights_open, 3);
	assert_int_equal(count(GATE_prefix_flights), 8);
	rig_fini(&rig);
}

/* --- what goes wrong */

/* The client sends again what was not acknowledged; the rest it would never send. */
static void the_device_does_not_take_it(void **state)
{
	struct rig_client client;
	int acknowledged;

	for (acknowledged = 0; acknowledged < 2; acknowledged++) {
		prepare(16, 0, 1400);
		rig.release_result = -EIO;
		client = begin("192.0.2.7:1000");
		if (acknowledged)
			rig_pass_ms(&rig, 10);
		assert_int_equal(rig.n_sent, acknowledged);
		end(&client);
		assert_int_equal(count(GATE_tun_failed), 1);
		assert_int_equal(rig.worker.counts.flights_open, 0);
		assert_int_equal(rig.n_sent, 2 * acknowledged); /* told that it is over */
		rig.release_result = 0;
		rig_client_send(&client, &rig, 0, PART);
		end(&client);
		assert_int_equal(rig.n_released, 1);
		rig_fini(&rig);
	}
}

static int fd_of(void *source)
{
	return *(int *)source;
}

/* A socket that cannot be waited for: those before it are let go again. */
static void a_gate_that_cannot_be(void **state)
{
	int fds[2] = {eventfd(0, EFD_CLOEXEC), 1 << 20};
	void *sources[2] = {&fds[0], &fds[1]};
	struct gate_io_ops ops = rig_ops;
	struct gate_io io = {&ops, sources, 2, &rig, &rig};
	struct watch watch = {.fd = fds[0]};
	struct gate_spec spec = {0};
	struct gate *gate = NULL;
	struct err err = {""};

	prepare(16, 0, 0);
	ops.fd = fd_of;
	spec.io = &rig.io;
	spec.worker = &rig.worker;
	assert_true(gate_new_io(&spec, &io, &gate, &err) < 0);
	assert_non_null(strstr(err.text, "AF_XDP socket 1"));
	assert_null(gate);
	assert_int_equal(loop_add_level(rig.io.loop, &watch), 0);
	loop_del(rig.io.loop, &watch);
	close(fds[0]);
	rig_fini(&rig);
}

/* --- the order of crowds, against counting by hand */
enum { PREFIXES = 9, MEMBERS = 64 };

struct member {
	struct list links[CROWD_SHARES];
	struct crowd *crowd;
	uint32_t prefix;
	uint64_t since;
};

static void check_heaviest(struct crowds *crowds, const struct member *members)
{
	uint32_t kind, i, counts[PREFIXES], most, of;
	const struct member *found;
	const struct list *link;

	for (kind = 0; kind < CROWD_SHARES; kind++) {
		memset(counts, 0, sizeof(counts));
		for (most = i = 0; i < MEMBERS; i++)
			if (list_is_linked(&members[i].links[kind])) {
				of = ++counts[members[i].prefix];
				most = of > most ? of : most;
			}
		link = crowds_oldest_of_heaviest(crowds, kind);
		assert_int_equal(link != NULL, most > 0);
		if (!link)
			continue;
		found = container_of(link, const struct member, links[kind]);
		assert_int_equal(counts[found->prefix], most);
		for (i = 0; kind == CROWD_OPEN && i < MEMBERS; i++)
			if (list_is_linked(&members[i].links[kind]) &&
				members[i].prefix == found->prefix)
				assert_true(members[i].since >= found->since);
	}
}

static void crowds_in_order(void **state)
{
	const uint32_t max[CROWD_SHARES] = {MEMBERS, MEMBERS / 4};
	struct member members[MEMBERS] = {0};
	uint32_t random = 1, step, n_large = 0;
	struct crowds crowds;

	assert_int_equal(crowds_init(&crowds, max), 0);
	for (step = 1; step < 100000; step++) {
		struct member *member;
		struct crowd_prefix prefix = {{0}};

		random = random * 1664525 + 1013904223;
		member = &members[random >> 16 & (MEMBERS - 1)];
		if (!list_is_linked(&member->links[CROWD_OPEN])) {
			/* Some prefixes come more often than others. */
			member->prefix = (random >> 22 & 15) % PREFIXES;
			member->since = step;
			prefix.bits_be[3] = member->prefix;
			member->crowd = crowds_get(&crowds, &prefix);
			crowds_add(&crowds, member->crowd, CROWD_OPEN, &member->links[CROWD_OPEN]);
		} else if (!list_is_linked(&member->links[CROWD_LARGE]) && random >> 30 &&
			   n_large < max[CROWD_LARGE]) {
			crowds_add(
				&crowds, member->crowd, CROWD_LARGE, &member->links[CROWD_LARGE]);
			n_large++;
		} else {
			if (list_is_linked(&member->links[CROWD_LARGE])) {
				crowds_del(&crowds, member->crowd, CROWD_LARGE,
					&member->links[CROWD_LARGE]);
				n_large--;
			}
			prefix.bits_be[3] = member->prefix;
			assert_ptr_equal(crowds_find(&crowds, &prefix), member->crowd);
			crowds_del(&crowds, member->crowd, CROWD_OPEN, &member->links[CROWD_OPEN]);
		}
		check_heaviest(&crowds, members);
	}
	assert_in_range(crowds.n_fresh, 2, PREFIXES);
	crowds_fini(&crowds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_prefix_has_a_share),
		cmocka_unit_test(prefixes_of_v6),
		cmocka_unit_test(who_makes_room_is_told),
		cmocka_unit_test(the_heaviest_makes_room),
		cmocka_unit_test(large_buffers_have_owners),
		cmocka_unit_test(the_share_changes),
		cmocka_unit_test(the_device_does_not_take_it),
		cmocka_unit_test(a_gate_that_cannot_be),
		cmocka_unit_test(crowds_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
