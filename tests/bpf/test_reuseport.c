/* Which worker gets a connection: real listening sockets, fresh and stale heartbeats. */
#include "harness.h"

#include "dataplane/dp_reuseport.h"

#include <poll.h>

enum { WORKERS = 4, CONNECTIONS = 64, SOCKET_ROW = 3 };

struct group {
	struct sockaddr_storage address;
	int listener[WORKERS];
	struct dp_heartbeat heartbeat[WORKERS];
	int client[CONNECTIONS];
	size_t clients;
};

static socklen_t address_len(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET ? sizeof(struct sockaddr_in)
					     : sizeof(struct sockaddr_in6);
}

static int socket_listen(const struct sockaddr_storage *address)
{
	int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)address, address_len(address)), 0);
	assert_int_equal(listen(fd, 256), 0);
	return fd;
}

static void group_alive(struct group *group, unsigned int workers)
{
	for (unsigned int i = 0; i < WORKERS; i++)
		dp_heartbeat_stamp(
			&group->heartbeat[i], workers & 1u << i ? dp_heartbeat_now_ns() : 0);
}

static void group_open(struct group *group, const char *host)
{
	struct dp_listener listener = {
		.id = 9,
		.socket_row = SOCKET_ROW,
		.name = "group",
		.protocol = IPPROTO_TCP,
	};
	struct err err = {};

	memset(group, 0, sizeof(*group));
	group->address = harness_address(host, 4433);
	listener.address = group->address;
	harness_listeners(&listener, 1);
	harness_ok(dataplane_set_workers(harness.dp, WORKERS, &err), &err);
	for (uint32_t i = 0; i < WORKERS; i++) {
		group->listener[i] = socket_listen(&group->address);
		harness_ok(dp_reuseport_add(harness.dp, SOCKET_ROW, i, group->listener[i], &err),
			&err);
		harness_ok(dp_heartbeat_open(harness.dp, i, &group->heartbeat[i], &err), &err);
	}
	harness_count_from_here();
}

static void group_close(struct group *group)
{
	for (int i = 0; i < WORKERS; i++)
		if (group->listener[i] >= 0)
			close(group->listener[i]);
	for (size_t i = 0; i < group->clients; i++)
		close(group->client[i]);
}

static void group_connect(struct group *group)
{
	while (group->clients < CONNECTIONS) {
		int fd = socket(group->address.ss_family, SOCK_STREAM, 0);

		assert_int_equal(connect(fd, (struct sockaddr *)&group->address,
					 address_len(&group->address)),
			0);
		group->client[group->clients++] = fd;
	}
}

/* Connections waiting at each listener; closes them. */
static void group_accept(struct group *group, int ret_counts[WORKERS])
{
	for (int i = 0; i < WORKERS; i++) {
		int fd;

		ret_counts[i] = 0;
		while (group->listener[i] >= 0 &&
			(fd = accept(group->listener[i], NULL, NULL)) >= 0) {
			ret_counts[i]++;
			close(fd);
		}
	}
	for (size_t i = 0; i < group->clients; i++)
		close(group->client[i]);
	group->clients = 0;
}

static void group_check(struct group *group, unsigned int alive, bool chosen[WORKERS])
{
	int counts[WORKERS], sum = 0;

	group_alive(group, alive);
	group_connect(group);
	group_accept(group, counts);
	for (int i = 0; i < WORKERS; i++) {
		sum += counts[i];
		if (chosen[i] != (counts[i] > 0))
			fail_msg("worker %d has %d of %d connections, alive %x", i, counts[i],
				CONNECTIONS, alive);
	}
	assert_int_equal(sum, CONNECTIONS);
}

static void check_selection(const char *host)
{
	struct dp_counters counted;
	struct group group;

	group_open(&group, host);
	group_check(&group, 0xf, (bool[WORKERS]){true, true, true, true});
	counted = harness_counted();
	assert_int_equal(counted.value[COUNTER_reuseport_selected], CONNECTIONS);
	group_check(&group, 0x2, (bool[WORKERS]){false, true, false, false});
	group_check(&group, 0xd, (bool[WORKERS]){true, false, true, true});
	counted = harness_counted();
	assert_true(counted.value[COUNTER_reuseport_moved] > CONNECTIONS / 2);
	assert_int_equal(counted.value[COUNTER_reuseport_default], 0);
	group_check(&group, 0, (bool[WORKERS]){true, true, true, true});
	counted = harness_counted();
	assert_int_equal(counted.value[COUNTER_reuseport_default], CONNECTIONS);
	group_close(&group);
}

static void test_selection_v4(void **state)
{
	check_selection("127.0.0.1");
}

static void test_selection_v6(void **state)
{
	check_selection("::1");
}

static void test_selection_wildcards(void **state)
{
	check_selection("0.0.0.0");
	check_selection("::");
}

/* A stopping worker gets nothing new although its stamp is fresh; a stale one's part is shared by
 * all the others. */
static void test_stopping_worker(void **state)
{
	struct group group;

	group_open(&group, "127.0.0.1");
	group_alive(&group, 0xf);
	dp_heartbeat_stop(&group.heartbeat[2]);
	group_check(&group, 0xb, (bool[WORKERS]){true, true, false, true});
	group_close(&group);
}

/* A worker without a socket for this listener (it is about to open it) is skipped. */
static void test_missing_socket(void **state)
{
	struct group group;

	group_open(&group, "127.0.0.1");
	close(group.listener[1]);
	group.listener[1] = -1;
	group_check(&group, 0xf, (bool[WORKERS]){true, false, true, true});
	assert_int_equal(harness_counted().value[COUNTER_reuseport_default], 0);
	group_close(&group);
}

/* Connections that wait on a listening socket when it is closed move to another worker. */
static void test_migration(void **state)
{
	struct group group;
	int counts[WORKERS];

	group_open(&group, "127.0.0.1");
	group_alive(&group, 0x1);
	group_connect(&group);
	group_alive(&group, 0xe);
	close(group.listener[0]);
	group.listener[0] = -1;
	group_accept(&group, counts);
	assert_int_equal(counts[1] + counts[2] + counts[3], CONNECTIONS);
	assert_int_equal(harness_counted().value[COUNTER_reuseport_migrated], CONNECTIONS);
	group_close(&group);
}

/* What a reload does with the sockets that stay; a slot is one socket's only. */
static void test_same_socket_again(void **state)
{
	struct err err = {};
	struct group group;

	group_open(&group, "127.0.0.1");
	for (uint32_t i = 0; i < WORKERS; i++)
		harness_ok(
			dp_reuseport_add(harness.dp, SOCKET_ROW, i, group.listener[i], &err), &err);
	group_check(&group, 0x2, (bool[WORKERS]){false, true, false, false});
	assert_int_equal(
		dp_reuseport_add(harness.dp, SOCKET_ROW, 1, group.listener[0], &err), -EBUSY);
	group_close(&group);
}

static void test_wrong_sockets_are_refused(void **state)
{
	struct err err = {};
	int plain = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(dp_reuseport_add(harness.dp, SOCKET_ROW, 0, plain, &err) < 0);
	assert_true(strlen(err.text) > 0);
	assert_int_equal(
		dp_reuseport_add(harness.dp, SLUICE_MAX_LISTENERS, 0, plain, &err), -EINVAL);
	close(plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_selection_v4),
		cmocka_unit_test(test_selection_v6),
		cmocka_unit_test(test_selection_wildcards),
		cmocka_unit_test(test_stopping_worker),
		cmocka_unit_test(test_missing_socket),
		cmocka_unit_test(test_migration),
		cmocka_unit_test(test_same_socket_again),
		cmocka_unit_test(test_wrong_sockets_are_refused),
	};

	return cmocka_run_group_tests_name("bpf/reuseport", tests, harness_setup, harness_teardown);
}
