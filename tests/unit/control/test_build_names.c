/* Generations with targets by host name: what names stand for, and what a change of that renews. */
#include "build_rig.h"

#include "control/resolver.h"
#include "core/loop.h"

/* "localhost" needs no server. */
static void test_names(void **state)
{
	struct resolver_spec spec = {.loader = NULL};
	struct build_renewal renewal;
	struct resolver *resolver;
	struct build *old, *new;
	struct err err;

	assert_int_equal(loop_new(&spec.loop), 0);
	assert_int_equal(resolver_new(&spec, &resolver, &err), 0);
	texts.targets = "{name: here, address: \"localhost:9005\", weight: 7},"
			"{address: \"X.Localhost:9006\"}, {address: 127.0.0.1:9006}";
	texts.group = ", dns: {family: v4}";
	old = build(NULL); /* nobody looks them up */
	assert_int_equal(old->groups[0].n_targets, 1);
	env.resolver = resolver;
	new = build_renew(&env, old, NULL, 0, false, &renewal);
	assert_null(new); /* they were not asked for */
	new = build(old);
	assert_int_equal(new->names_version, 2);
	assert_int_equal(new->groups[0].n_targets, 2);
	assert_string_equal(target(new, 0, 0)->name, "here/127.0.0.1:9005");
	assert_string_equal(target(new, 0, 0)->host, "localhost");
	assert_int_equal(new->groups[0].group->spec.members[0].weight, 7);
	assert_ptr_equal(target(new, 0, 1), target(old, 0, 0)); /* one place, one target */
	assert_null(build_renew(&env, new, NULL, 0, false, &renewal)); /* as it was */
	replaced(old, new);
	env.resolver = NULL;
	old = new;
	new = build_renew(&env, old, NULL, 0, false, &renewal);
	assert_non_null(new);
	assert_true(new->has_other_groups);
	assert_int_equal(new->groups[0].n_targets, 1);
	assert_ptr_equal(new->groups[0].check, old->groups[0].check);
	assert_ptr_not_equal(new->groups[0].group, old->groups[0].group);
	assert_ptr_equal(new->groups[1].group, old->groups[1].group);
	assert_ptr_equal(new->listeners[WEB]->spec.group, new->groups[0].group);
	assert_ptr_equal(new->built[WEB].tls, old->built[WEB].tls);
	replaced(old, new);
	over(new);
	resolver_stop(resolver);
	resolver_free(resolver);
	loop_free(spec.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
