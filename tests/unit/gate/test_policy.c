/* What a listener lets in: policies own what they are made of; JA4 lists; faults are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gate/ja4_list.h"
#include "gate/policy.h"

static struct gate_ja4_list *new_list(const char *const *texts, size_t n)
{
	struct gate_ja4_list *list;
	struct err err = {""};

	assert_int_equal(gate_ja4_list_new(texts, n, &list, &err), 0);
	return list;
}

static void test_ja4_list(void **state)
{
	static const char *const texts[] = {"t13d1516h2_8daaf6152771_e5627efa2ab1", "t12*",
		"t13i0001H1_*", "t13d1516h2_8daaf6152771_0000000000*"};
	struct gate_ja4_list *list = new_list(texts, 4);

	assert_true(gate_ja4_list_has(list, "t13d1516h2_8daaf6152771_e5627efa2ab1"));
	assert_false(gate_ja4_list_has(list, "t13d1516h2_8daaf6152771_e5627efa2ab2"));
	assert_true(gate_ja4_list_has(list, "t12d1516h2_8daaf6152771_e5627efa2ab2"));
	assert_false(gate_ja4_list_has(list, "t11d1516h2_8daaf6152771_e5627efa2ab2"));
	assert_true(gate_ja4_list_has(list, "t13i0001H1_8daaf6152771_e5627efa2ab2"));
	assert_false(gate_ja4_list_has(list, "t13i0001h1_8daaf6152771_e5627efa2ab2"));
	assert_true(gate_ja4_list_has(list, "t13d1516h2_8daaf6152771_000000000012"));
	gate_ja4_list_free(list);
	list = new_list((const char *const[]){"*"}, 1);
	assert_true(gate_ja4_list_has(list, "t13d1516h2_8daaf6152771_e5627efa2ab2"));
	gate_ja4_list_free(list);
}

static void test_ja4_list_long(void **state)
{
	enum { N = 3000 };
	static char texts[N][JA4_BYTES];
	static const char *list_of[N];
	struct gate_ja4_list *list;
	char other[JA4_BYTES];
	uint32_t i;

	for (i = 0; i < N; i++) {
		snprintf(texts[i], JA4_BYTES, "t13d1516h2_%012u_%012u", i, i);
		list_of[i] = texts[i];
	}
	list = new_list(list_of, N);
	for (i = 0; i < N; i++) {
		assert_true(gate_ja4_list_has(list, texts[i]));
		snprintf(other, JA4_BYTES, "t13d1516h2_%012u_%012u", i, i + 1);
		assert_false(gate_ja4_list_has(list, other));
	}
	gate_ja4_list_free(list);
}

static void test_ja4_list_refused(void **state)
{
	static const char *const bad[] = {"", "t13", "t13**", "*t13", "t13 *", "t13d-*",
		"t13d1516h2_8daaf6152771_e5627efa2ab", "t13d1516h2_8daaf6152771_e5627efa2ab12",
		"t13d1516h2_8daaf6152771_e5627efa2ab12*"};
	struct gate_ja4_list *list;
	struct err err = {""};
	size_t i;

	for (i = 0; i < array_len(bad); i++)
		assert_int_equal(gate_ja4_list_new(&bad[i], 1, &list, &err), -EINVAL);
	assert_non_null(strstr(err.text, "is no JA4 fingerprint"));
}

/* Everything that the spec points at is gone when the policy is used. */
static void test_owns_its_parts(void **state)
{
	char name[] = "web", host[] = "www.test", alpn[] = "h2", ja4[] = "t13*";
	const char *alpns[] = {alpn}, *ja4s[] = {ja4};
	struct gate_name names[] = {{{host, sizeof(host) - 1}, 7}};
	struct gate_policy_spec spec = {
		.name = name,
		.names = names,
		.n_names = 1,
		.alpn = alpns,
		.n_alpn = 1,
		.ja4_deny = ja4s,
		.n_ja4_deny = 1,
		.ja4_allow = ja4s,
		.n_ja4_allow = 1,
	};
	struct gate_policy *policy;
	struct err err = {""};
	uint32_t value;

	assert_int_equal(gate_policy_new(&spec, 2, &policy, &err), 0);
	memset(name, 'x', sizeof(name) - 1);
	memset(host, 'x', sizeof(host) - 1);
	memset(alpn, 'x', sizeof(alpn) - 1);
	memset(ja4, 'x', sizeof(ja4) - 1);
	memset(&names, 0xff, sizeof(names));
	alpns[0] = ja4s[0] = NULL;
	assert_string_equal(policy->spec.name, "web");
	assert_string_equal(policy->spec.alpn[0], "h2");
	assert_string_equal(policy->spec.ja4_deny[0], "t13*");
	assert_int_equal(gate_names_find(policy->names, SLICE("www.test"), &value), 0);
	assert_int_equal(value, 7);
	assert_true(gate_ja4_list_has(policy->ja4_deny, "t13d1516h2_8daaf6152771_e5627efa2ab1"));
	shared_put(&policy->shared);
}

static void test_faults_name_the_listener(void **state)
{
	const char *ja4s[] = {"t13*", "nonsense"};
	struct gate_name names[] = {{SLICE("www.test"), 0}, {SLICE("www.test"), 1}};
	struct gate_policy *policy;
	struct err err = {""};

	assert_int_equal(gate_policy_new(
				 &(struct gate_policy_spec){
					 .name = "web", .ja4_allow = ja4s, .n_ja4_allow = 2},
				 1, &policy, &err),
		-EINVAL);
	assert_string_equal(err.text,
		"listener web: gate.ja4_allow: 'nonsense' is no JA4 fingerprint: 36 characters, or "
		"fewer that end in '*'");
	assert_int_equal(
		gate_policy_new(
			&(struct gate_policy_spec){.name = "web", .names = names, .n_names = 2}, 1,
			&policy, &err),
		-EEXIST);
	assert_string_equal(err.text, "listener web: server name www.test stands there twice");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ja4_list),
		cmocka_unit_test(test_ja4_list_long),
		cmocka_unit_test(test_ja4_list_refused),
		cmocka_unit_test(test_owns_its_parts),
		cmocka_unit_test(test_faults_name_the_listener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
