/* The TUN device: what is written to it reaches the sockets of the host, IPv4 and IPv6, and what
 * the host's settings for new devices say makes no difference. */
#include "net/tun.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PORT = 4433,
	DEADLINE_MS = 3000,
	VNET_BYTES = 10,
	TCP_BYTES = 20,
	SYN = 2,
	SYN_ACK = 0x12,
};

/* The server's address is on loopback; the client's is behind the device. */
static const char *const server[] = {"10.77.0.1", "2001:db8:77::1"};
static const char *const client[] = {"198.51.100.9", "2001:db8:99::9"};

struct tun_test {
	struct tun *tun;
	int listener[2];
};

static struct tun_test t;

static void sh(const char *format, ...) printf_like(1, 2);

static void sh(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("command failed: %s", command);
}

static int listen_on(int family)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	inet_pton(AF_INET, server[0], &v4.sin_addr);
	inet_pton(AF_INET6, server[1], &v6.sin6_addr);
	if (family == AF_INET)
		assert_int_equal(bind(fd, (struct sockaddr *)&v4, sizeof(v4)), 0);
	else
		assert_int_equal(bind(fd, (struct sockaddr *)&v6, sizeof(v6)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void tun_up(uint32_t queues)
{
	struct err err = {};
	int code = tun_open("sluice%d", queues, &t.tun, &err);

	if (code)
		fail_msg("%s", err.text);
	sh("ip route add 198.51.100.0/24 dev %s src %s", tun_name(t.tun), server[0]);
	sh("ip -6 route add 2001:db8:99::/64 dev %s src %s", tun_name(t.tun), server[1]);
}

/* The defaults that new devices get are the worst ones. */
static int setup(void **state)
{
	if (unshare(CLONE_NEWNET))
		return -1;
	sh("ip link set lo up");
	sh("ip address add %s/32 dev lo", server[0]);
	sh("ip -6 address add %s/128 dev lo nodad", server[1]);
	sh("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1");
	sh("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
	t.listener[0] = listen_on(AF_INET);
	t.listener[1] = listen_on(AF_INET6);
	tun_up(2);
	return 0;
}

static int teardown(void **state)
{
	tun_close(t.tun);
	close(t.listener[0]);
	close(t.listener[1]);
	return 0;
}

static uint32_t sum16(const uint8_t *bytes, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

enum checksum { FULL, PARTIAL, WRONG };

/* A SYN of the client with so many zeros behind it, room for them is there; returns its length,
 * `ret_head` is where TCP begins. */
static size_t build_syn(int v6, uint16_t port, enum checksum checksum, uint32_t payload,
	uint8_t *bytes, uint32_t *ret_head)
{
	uint32_t head = v6 ? 40 : 20, tcp_bytes = TCP_BYTES + payload, pseudo;
	uint8_t *tcp = bytes + head;

	memset(bytes, 0, head + tcp_bytes);
	if (v6) {
		bytes[0] = 0x60;
		put16(bytes + 4, tcp_bytes);
		bytes[6] = IPPROTO_TCP;
		bytes[7] = 64;
		inet_pton(AF_INET6, client[1], bytes + 8);
		inet_pton(AF_INET6, server[1], bytes + 24);
		pseudo = sum16(bytes + 8, 32, IPPROTO_TCP + tcp_bytes);
	} else {
		bytes[0] = 0x45;
		put16(bytes + 2, head + tcp_bytes);
		bytes[8] = 64;
		bytes[9] = IPPROTO_TCP;
		inet_pton(AF_INET, client[0], bytes + 12);
		inet_pton(AF_INET, server[0], bytes + 16);
		put16(bytes + 10, (uint16_t)~fold(sum16(bytes, head, 0)));
		pseudo = sum16(bytes + 12, 8, IPPROTO_TCP + tcp_bytes);
	}
	put16(tcp, port);
	put16(tcp + 2, PORT);
	put16(tcp + 4, 0x1234);
	tcp[12] = TCP_BYTES / 4 << 4;
	tcp[13] = SYN;
	put16(tcp + 14, 64000);
	put16(tcp + 16, checksum == PARTIAL ? fold(pseudo)
					    : (uint16_t)~fold(sum16(tcp, TCP_BYTES, pseudo)));
	if (checksum == WRONG)
		tcp[17] ^= 1;
	*ret_head = head;
	return head + tcp_bytes;
}

/* TCP flags of the next packet to that port which the kernel sends into the device; 0: none. */
static int answer_flags(uint32_t queues, uint16_t port, int timeout_ms)
{
	struct pollfd polls[2] = {};
	uint8_t packet[2048], *tcp;
	ssize_t len;

	for (uint32_t i = 0; i < queues; i++)
		polls[i] = (struct pollfd){tun_queue_fd(t.tun, i), POLLIN, 0};
	while (poll(polls, queues, timeout_ms) > 0) {
		int fd = polls[0].revents ? polls[0].fd : polls[1].fd;

		len = read(fd, packet, sizeof(packet));
		if (len < VNET_BYTES + 40)
			continue;
		tcp = packet + VNET_BYTES + (packet[VNET_BYTES] >> 4 == 6 ? 40 : 20);
		if (tcp[2] << 8 == (port & 0xff00) && tcp[3] == (port & 0xff))
			return tcp[13];
	}
	return 0;
}

static int send_syn(uint32_t queue, int v6, uint16_t port, enum checksum checksum)
{
	uint8_t bytes[128];
	uint32_t head;
	size_t len = build_syn(v6, port, checksum, 0, bytes, &head);
	struct iovec parts[] = {{bytes, head}, {bytes + head, len - head}};

	return tun_write(tun_queue_fd(t.tun, queue), parts, 2, head, checksum == PARTIAL);
}

static void test_segments_are_answered(void **state)
{
	uint16_t port = 20000;

	for (int v6 = 0; v6 < 2; v6++)
		for (uint32_t queue = 0; queue < 2; queue++)
			for (int checksum = FULL; checksum <= PARTIAL; checksum++) {
				port++;
				assert_int_equal(
					send_syn(queue, v6, port, (enum checksum)checksum), 0);
				assert_int_equal(answer_flags(2, port, DEADLINE_MS), SYN_ACK);
			}
}

/* A whole flight is one packet, however long. */
static void test_longer_than_mtu(void **state)
{
	static uint8_t bytes[65536];
	uint32_t head;

	for (int v6 = 0; v6 < 2; v6++) {
		struct iovec part = {bytes, build_syn(v6, 22000, PARTIAL, 20000, bytes, &head)};

		assert_int_equal(tun_write(tun_queue_fd(t.tun, 0), &part, 1, head, true), 0);
		assert_int_equal(answer_flags(2, 22000, 0), SYN_ACK);
	}
}

/* The answer is there when tun_write() returns. */
static void test_bad_checksums_are_dropped(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		assert_int_equal(send_syn(0, v6, 21001, WRONG), 0);
		assert_int_equal(answer_flags(2, 21001, 0), 0);
		assert_int_equal(send_syn(0, v6, 21001, FULL), 0);
		assert_int_equal(answer_flags(2, 21001, 0), SYN_ACK);
	}
}

static void test_no_address_no_solicitations(void **state)
{
	sh("test -z \"$(ip -6 -o address show dev %s)\"", tun_name(t.tun));
	sh("ip -4 -o address show dev %s | grep -q 'inet 192.0.0.8/32 scope host'",
		tun_name(t.tun));
	sh("test $(cat /proc/sys/net/ipv4/conf/%s/rp_filter) = 2", tun_name(t.tun));
	sh("test $(cat /proc/sys/net/ipv6/conf/%s/disable_ipv6) = 0", tun_name(t.tun));
	sh("ip -o link show dev %s | grep -q 'qlen 16'", tun_name(t.tun));
	assert_int_equal(tun_ifindex(t.tun), if_nametoindex(tun_name(t.tun)));
}

/* As in life: answers to the client leave by another device, and rp_filter is on. */
static void test_client_behind_another_device(void **state)
{
	uint8_t bytes[128];
	uint32_t head;
	struct iovec part = {bytes, build_syn(0, 23000, FULL, 0, bytes, &head)};

	sh("ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up");
	sh("ip route add %s/32 dev up0", client[0]);
	assert_int_equal(tun_write(tun_queue_fd(t.tun, 0), &part, 1, head, false), 0);
	sh("test $(nstat -asz TcpExtIPReversePathFilter | awk 'END {print $2}') = 0");
	sh("ip link del up0");
}

static void test_names(void **state)
{
	struct tun *second;
	struct err err = {};
	char name[IF_NAMESIZE];

	assert_string_equal(tun_name(t.tun), "sluice0");
	assert_int_equal(tun_open("sluice%d", 1, &second, &err), 0);
	snprintf(name, sizeof(name), "%s", tun_name(second));
	assert_string_equal(name, "sluice1");
	tun_close(second);
	assert_int_equal(if_nametoindex(name), 0);
	assert_int_equal(tun_open("far-too-long-a-name", 1, &second, &err), -EINVAL);
	assert_int_equal(tun_open("lo", 1, &second, &err), -EINVAL);
	assert_non_null(strstr(err.text, "lo"));
}

static void test_write_errors(void **state)
{
	uint8_t junk[] = {0xf5, 1, 2, 3};
	struct iovec part = {junk, sizeof(junk)}, many[9] = {};

	assert_int_equal(tun_write(tun_queue_fd(t.tun, 0), &part, 1, 20, false), -EINVAL);
	assert_int_equal(tun_write(tun_queue_fd(t.tun, 0), many, 9, 20, false), -EINVAL);
	assert_int_equal(tun_write(tun_queue_fd(t.tun, 7), &part, 1, 20, false), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segments_are_answered),
		cmocka_unit_test(test_longer_than_mtu),
		cmocka_unit_test(test_bad_checksums_are_dropped),
		cmocka_unit_test(test_no_address_no_solicitations),
		cmocka_unit_test(test_client_behind_another_device),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_write_errors),
	};

	return cmocka_run_group_tests_name("net/tun", tests, setup, teardown);
}
