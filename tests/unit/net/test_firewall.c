/* Which chains of nftables are named as droppers: rule sets as people write them. */
#include "net/firewall.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int setup(void **state)
{
	return unshare(CLONE_NEWNET);
}

static void rules(const char *text)
{
	FILE *nft = popen("nft -f -", "w");

	assert_non_null(nft);
	fprintf(nft, "flush ruleset\n%s\n", text);
	assert_int_equal(pclose(nft), 0);
}

/* "inet filter input, ip raw prerouting" */
static const char *droppers(int family)
{
	struct firewall_chain chains[FIREWALL_CHAINS_MAX];
	size_t count = firewall_droppers(family, chains);
	static char text[1024];
	int len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < count; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%s%s %s %s", i ? ", " : "",
			chains[i].family, chains[i].table, chains[i].name);
	return text;
}

static void test_nothing_there(void **state)
{
	assert_string_equal(droppers(AF_INET), "");
	rules("table inet filter { chain input { type filter hook input priority 0;\n"
	      "counter\nip saddr 192.0.2.1 accept\n}\n}");
	assert_string_equal(droppers(AF_INET), "");
}

static void test_policy(void **state)
{
	rules("table inet filter { chain input { type filter hook input priority 0; policy drop;\n"
	      "iifname eth0 accept\nct state established accept\n}\n"
	      "chain forward { type filter hook forward priority 0; policy drop;\n}\n}");
	assert_string_equal(droppers(AF_INET), "inet filter input");
	assert_string_equal(droppers(AF_INET6), "inet filter input");
}

static void test_rule(void **state)
{
	rules("table inet mangle { chain early { type filter hook prerouting priority -150;\n"
	      "ct state new tcp flags & (fin|syn|rst|ack) != syn drop\n}\n}\n"
	      "table ip filter { chain out { type filter hook output priority 0;\ndrop\n}\n}");
	assert_string_equal(droppers(AF_INET), "inet mangle early");
}

static void test_reject_of_one_family(void **state)
{
	rules("table ip6 filter { chain input { type filter hook input priority 0;\n"
	      "tcp dport 22 accept\nreject with tcp reset\n}\n}");
	assert_string_equal(droppers(AF_INET), "");
	assert_string_equal(droppers(AF_INET6), "ip6 filter input");
}

static void test_jumps_and_maps(void **state)
{
	rules("table ip a { chain last {\ndrop\n}\nchain middle {\njump last\n}\n"
	      "chain input { type filter hook input priority 0;\ntcp dport 443 goto middle\n}\n}\n"
	      "table ip b { chain input { type filter hook input priority 1;\n"
	      "ct state vmap { established : accept, invalid : drop }\n}\n}");
	assert_string_equal(droppers(AF_INET), "ip a input, ip b input");
}

/* More than the kernel puts into one message. */
static void test_many_rules(void **state)
{
	static char text[1 << 20];
	int len = snprintf(text, sizeof(text),
		"table ip many { chain input { type filter hook "
		"input priority 0;\n");

	for (int i = 0; i < 3000; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len,
			"ip saddr 10.0.%d.%d accept\n", i / 250, i % 250);
	snprintf(text + len, sizeof(text) - (size_t)len, "drop\n}\n}\n");
	rules(text);
	assert_string_equal(droppers(AF_INET), "ip many input");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_there),
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_rule),
		cmocka_unit_test(test_reject_of_one_family),
		cmocka_unit_test(test_jumps_and_maps),
		cmocka_unit_test(test_many_rules),
	};

	return cmocka_run_group_tests_name("net/firewall", tests, setup, NULL);
}
