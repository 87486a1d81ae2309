/*
 * Cookies that lead to a target of a group, or to a group of a rule: what is found is what was given, and
 * nothing that was not given is found. The input is the Cookie header of a request; a byte of 1 stands for
 * the cookie of the group, 2 for that of the rule, 3 and 4 for the same with one digit changed: which one,
 * and into what, say the two bytes behind.
 */
#include "http/cookies.h"
#include "proxy/group.h"
#include "proxy/route_sticky.h"
#include "proxy/rules_parts.h"
#include "proxy/sticky.h"
#include "tls/tickets.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW = 1800000000, DAY_S = 86400, INPUT_BYTES_MAX = 4096, HEADER_BYTES = 1024 * 1024 };

static struct target targets[2];
static struct target_member members[2];
static struct target_group groups[2];
static struct rules_forward_spec forward[2];
static struct rules rules = {.listener = "web"};
static struct rules_rule rule = {.name = "first",
	.rules = &rules,
	.forward = forward,
	.n_forward = 2,
	.sticky_s = DAY_S,
	.cookie = "GROUP"};
static char ours[STICKY_TEXT_BYTES], the_rules[STICKY_TEXT_BYTES]; /* NAME=VALUE, as given */

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void cut_at_attributes(char *text)
{
	text[strcspn(text, ";")] = '\0';
}

static void make_cookies(void)
{
	struct http_headers answer;
	struct sticky none = {.target = NULL};
	struct http_header header;

	http_headers_lend(&answer, &header, 0);
	require(sticky_answer(&groups[0], &targets[1], &none, &answer, true, NOW, ours, &header));
	route_sticky_make(&rule, &groups[1], NOW, true, the_rules, sizeof(the_rules));
	cut_at_attributes(ours);
	cut_at_attributes(the_rules);
}

static void begin(void)
{
	size_t i;

	rules.tickets = tls_tickets_new();
	for (i = 0; i < 2; i++) {
		targets[i].hash = 1000 + i;
		members[i].target = &targets[i];
		groups[i].spec.name = i ? "two" : "one";
		forward[i].group = &groups[i];
	}
	groups[0].spec.members = members;
	groups[0].spec.n_members = 2;
	groups[0].spec.sticky = (struct sticky_spec){
		.type = STICKY_LB, .duration_s = DAY_S, .cookie = "LB", .tickets = rules.tickets};
	make_cookies();
}

/* One digit of its value is another one. */
static void spoil(char *cookie, const uint8_t *how)
{
	char *value = strchr(cookie, '=') + 1;
	char *digit = value + how[0] % strlen(value);
	char other = "0123456789abcdef"[how[1] & 15];

	*digit = *digit == other ? 'A' : other;
}

static size_t write_header(const uint8_t *data, size_t size, char *out)
{
	size_t i, len = 0;

	for (i = 0; i < size; i++) {
		uint8_t byte = data[i];

		if (byte < 1 || byte > 4) {
			out[len++] = (char)byte;
			continue;
		}
		strcpy(out + len, byte & 1 ? ours : the_rules);
		if (byte > 2 && i + 2 < size) {
			spoil(out + len, data + i + 1);
			i += 2;
		}
		len += strlen(out + len);
	}
	return len;
}

static void look(const struct http_headers *headers, const char *text, size_t len, int64_t now)
{
	bool has_ours = memmem(text, len, ours, strlen(ours));
	bool has_rules = memmem(text, len, the_rules, strlen(the_rules)), is_old;
	struct target_group *group;
	struct sticky sticky;

	sticky_find(&groups[0], headers, now, &sticky);
	require(!sticky.target || (sticky.target == &targets[1] && has_ours));
	group = route_sticky_find(&rule, headers, now, &is_old);
	require(!group || (group == &groups[1] && has_rules));
	if (len == strlen(ours) && has_ours)
		require((sticky.target != NULL) == (now < NOW + DAY_S));
	if (len == strlen(the_rules) && has_rules)
		require((group != NULL) == (now < NOW + DAY_S));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[HEADER_BYTES];
	struct http_headers headers;
	struct http_header item;
	size_t len;

	if (size > INPUT_BYTES_MAX)
		return 0;
	begin();
	len = write_header(data, size, text);
	http_headers_lend(&headers, &item, 1);
	require(http_headers_add(&headers, SLICE("Cookie"), (struct slice){text, len}) == 0);
	look(&headers, text, len, NOW);
	look(&headers, text, len, NOW + DAY_S);
	tls_tickets_put(rules.tickets);
	return 0;
}
