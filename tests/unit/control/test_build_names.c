/* Generations with targets by host name: what names stand for, and what a change of that renews. */
#include "build_rig.h"

#include "control/departing.h"
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

/* What was left out for want of room is no change, each time somebody looks. */
static void test_left_out(void **state)
{
	struct resolver_spec spec = {.loader = NULL};
	struct build_renewal renewal;
	struct build *old, *new;
	struct err err;

	assert_int_equal(loop_new(&spec.loop), 0);
	ids_free(env.target_ids);
	env.target_ids = ids_new(3);
	texts.targets = "{address: \"localhost:9005\"}, {address: \"localhost:9006\"}";
	texts.group = ", dns: {family: v4}";
	old = build(NULL);
	assert_int_equal(resolver_new(&spec, &env.resolver, &err), 0);
	new = build(old);
	assert_int_equal(new->groups[0].n_targets, 1);
	assert_int_equal(new->groups[0].n_left_out, 1);
	assert_null(build_renew(&env, new, NULL, 0, false, &renewal));
	replaced(old, new);
	ids_put(env.target_ids, target(new, 2, 0)->id); /* there is room */
	old = new;
	new = build_renew(&env, old, NULL, 0, false, &renewal);
	assert_non_null(new);
	assert_int_equal(new->groups[0].n_targets, 2);
	build_free(old);
	build_free(new);
	resolver_stop(env.resolver);
	resolver_free(env.resolver);
	loop_free(spec.loop);
}

/* A target that is leaving is the one that is wanted again, whoever wants it in the end. */
static void test_departing(void **state)
{
	struct departing leaving = {.target = NULL};
	struct build *old = build(NULL), *new;
	struct list list;

	list_init(&list);
	env.departing = &list;
	leaving.target = target(old, 0, 1);
	shared_get(&leaving.target->shared);
	list_add_tail(&list, &leaving.link);
	assert_true(departing_has(&list, leaving.target));
	assert_false(departing_has(&list, target(old, 0, 0)));
	texts.targets = "{address: 127.0.0.1:9001}";
	new = build(old);
	replaced(old, new);
	assert_int_equal(lent(env.target_ids), 4); /* its number is still its own */
	old = new;
	texts.targets = "{address: 127.0.0.1:9001}, {name: another, address: 127.0.0.1:9002}";
	new = build(old);
	assert_ptr_not_equal(target(new, 0, 1), leaving.target);
	build_release_ids(new, old, &env, true);
	build_free(new);
	texts.targets = "{address: 127.0.0.1:9002}, {address: 127.0.0.1:9001}";
	new = build(old);
	assert_ptr_equal(target(new, 0, 0), leaving.target);
	build_release_ids(new, old, &env, true); /* it comes to nothing */
	build_free(new);
	assert_int_equal(lent(env.target_ids), 4);
	new = build(old);
	assert_ptr_equal(target(new, 0, 0), leaving.target);
	list_del(&leaving.link);
	target_put(leaving.target);
	replaced(old, new);
	over(new);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_left_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_departing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
