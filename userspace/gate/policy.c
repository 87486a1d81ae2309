/* What a listener lets in: see policy.h. */
#include "gate/policy.h"
#include "core/mem.h"
#include "gate/ja4_list.h"
#include "tls/server.h"

#include <stdlib.h>
#include <string.h>

static void free_texts(const char *const *texts, size_t n)
{
	size_t i;

	for (i = 0; texts && i < n; i++)
		free((char *)texts[i]);
	free((void *)texts);
}

static const char *const *copy_texts(const char *const *texts, size_t n)
{
	char **copy = mem_alloc((n + 1) * sizeof(*copy));
	size_t i;

	for (i = 0; i < n; i++)
		copy[i] = mem_strdup(texts[i]);
	return (const char *const *)copy;
}

static void policy_free(struct shared *shared)
{
	struct gate_policy *policy = container_of(shared, struct gate_policy, shared);
	struct gate_policy_spec *spec = &policy->spec;
	size_t i;

	gate_ja4_list_free(policy->ja4_deny);
	gate_ja4_list_free(policy->ja4_allow);
	gate_names_free(policy->names);
	free_texts(spec->ja4_deny, spec->n_ja4_deny);
	free_texts(spec->ja4_allow, spec->n_ja4_allow);
	free_texts(spec->alpn, spec->n_alpn);
	for (i = 0; i < spec->n_names; i++)
		free((char *)spec->names[i].name.ptr);
	free((void *)spec->names);
	free((char *)spec->name);
	if (spec->tls)
		tls_server_put(spec->tls);
	shared_fini(shared);
	free(policy);
}

static void copy_spec(struct gate_policy *policy, const struct gate_policy_spec *spec)
{
	struct gate_name *names = mem_alloc((spec->n_names + 1) * sizeof(*names));
	size_t i;

	for (i = 0; i < spec->n_names; i++) {
		struct slice name = spec->names[i].name;

		names[i].name = (struct slice){mem_strndup(name.ptr, name.len), name.len};
		names[i].value = spec->names[i].value;
	}
	policy->spec = *spec;
	policy->spec.name = mem_strdup(spec->name);
	policy->spec.names = names;
	policy->spec.alpn = copy_texts(spec->alpn, spec->n_alpn);
	policy->spec.ja4_deny = copy_texts(spec->ja4_deny, spec->n_ja4_deny);
	policy->spec.ja4_allow = copy_texts(spec->ja4_allow, spec->n_ja4_allow);
	if (spec->tls)
		tls_server_get(spec->tls);
}

static int compile(struct gate_policy *policy, struct err *err)
{
	const struct gate_policy_spec *spec = &policy->spec;
	int r;

	if (!spec->tls) {
		r = gate_names_new(spec->names, spec->n_names, &policy->names, err);
		if (r < 0)
			return r;
	}
	if (spec->n_ja4_deny) {
		r = gate_ja4_list_new(spec->ja4_deny, spec->n_ja4_deny, &policy->ja4_deny, err);
		if (r < 0)
			return err_context(err, r, "gate.ja4_deny");
	}
	if (spec->n_ja4_allow) {
		r = gate_ja4_list_new(spec->ja4_allow, spec->n_ja4_allow, &policy->ja4_allow, err);
		if (r < 0)
			return err_context(err, r, "gate.ja4_allow");
	}
	return 0;
}

int gate_policy_new(const struct gate_policy_spec *spec, uint32_t n_workers,
	struct gate_policy **ret_policy, struct err *err)
{
	struct gate_policy *policy = mem_zalloc(sizeof(*policy));
	int r;

	shared_init(&policy->shared, n_workers, policy_free);
	copy_spec(policy, spec);
	r = compile(policy, err);
	if (r < 0) {
		shared_put(&policy->shared);
		return err_context(err, r, "listener %s", spec->name);
	}
	*ret_policy = policy;
	return 0;
}
