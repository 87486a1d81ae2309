/* Which changes of a listener are a tightening, and what the next generation says of connections that
 * are older. */
#include "build_rig.h"

/* With a reload's `existing`. */
static struct build *build_with(const struct build *before, enum config_existing existing)
{
	const struct build_how how = {.has_existing = true, .existing = existing};
	struct config_errors errors;
	struct build *build = NULL;

	config_errors_init(&errors);
	assert_int_equal(build_new(&env, before, config(), &how, &build, &errors), 0);
	config_errors_fini(&errors);
	return build;
}

static void assert_terms(const struct build *build, int listener, uint64_t epoch,
	uint64_t drain_below, uint64_t close_below)
{
	const struct listener_terms *terms = &build->listeners[listener]->spec.terms;

	assert_int_equal(terms->epoch, epoch);
	assert_int_equal(terms->drain_below, drain_below);
	assert_int_equal(terms->close_below, close_below);
}

/* What turns somebody away begins another epoch; what does not, goes on with the same terms. */
static void test_terms(void **state)
{
	static const struct {
		const char *web;
		int existing; /* of the reload; -1: as configured */
		uint64_t epoch, drain_below, close_below;
	} steps[] = {
		{"certificates: [www, api]", -1, 0, 0, 0},
		{"certificates: [www, api], tls: {min_version: 1.3}", -1, 1, 1, 0},
		{"certificates: [www, api], tls: {min_version: 1.2}", -1, 1, 1, 0},
		{"certificates: [www], tls: {min_version: 1.2}", -1, 1, 1, 0},
		{"certificates: [www], tls: {min_version: 1.3, existing: keep}", -1, 2, 1, 0},
		{"certificates: [www], tls: {min_version: 1.2}", -1, 2, 1, 0},
		{"certificates: [www], tls: {min_version: 1.3, existing: close}", -1, 3, 1, 3},
		{"certificates: [www], tls: {min_version: 1.2}", CONFIG_EXISTING_CLOSE, 3, 1, 3},
		{"certificates: [www], tls: {min_version: 1.3, existing: close}",
			CONFIG_EXISTING_KEEP, 4, 1, 3},
		{"certificates: [www], tls: {max_version: 1.2}", CONFIG_EXISTING_DRAIN, 5, 5, 3},
	};
	struct build *old = build(NULL), *new;
	size_t i;

	for (i = 0; i < array_len(steps); i++) {
		texts.web = steps[i].web;
		new = steps[i].existing < 0
			      ? build(old)
			      : build_with(old, (enum config_existing)steps[i].existing);
		assert_terms(new, WEB, steps[i].epoch, steps[i].drain_below, steps[i].close_below);
		assert_terms(new, API, 0, 0, 0);
		assert_terms(new, RAW, 0, 0, 0);
		replaced(old, new);
		old = new;
	}
	over(old);
}

/* A certificate that was shown before is told no more as soon as another setting lies in between,
 * also where nobody is turned away. */
static void test_identities(void **state)
{
#define AUTH(rest) "certificates: www, client_auth: {" rest "}"
	static const struct {
		const char *web;
		uint64_t epoch, drain_below, identity_below;
	} steps[] = {
		{AUTH("mode: optional, trust_store: clients"), 1, 0, 1},
		{AUTH("mode: optional, trust_store: clients, max_depth: 3"), 2, 2, 1},
		{AUTH("mode: verify, trust_store: clients, max_depth: 3"), 3, 3, 1},
		{AUTH("mode: optional, trust_store: clients"), 3, 3, 1},
		{AUTH("mode: off"), 3, 3, 1},
		{AUTH("mode: optional, trust_store: clients"), 4, 3, 4},
		{AUTH("mode: passthrough"), 5, 3, 5},
		{AUTH("mode: optional, trust_store: clients"), 6, 6, 6},
		{AUTH("mode: off"), 6, 6, 6},
		{AUTH("mode: passthrough"), 7, 6, 7},
	};
	struct build *old = build(NULL), *new;
	size_t i;

	for (i = 0; i < array_len(steps); i++) {
		texts.web = steps[i].web;
		new = build(old);
		assert_terms(new, WEB, steps[i].epoch, steps[i].drain_below, 0);
		assert_int_equal(
			new->listeners[WEB]->spec.terms.identity_below, steps[i].identity_below);
		replaced(old, new);
		old = new;
	}
	over(old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BUILD_CASE(test_terms),
		BUILD_CASE(test_identities),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
