/* Which certificates a listener serves: a store that is made of the one before it is as one made anew. */
#include "build_rig.h"

#include "control/certdir.h"
#include "tls/certstore.h"

#include <sys/stat.h>

static char entries[512];

/* A directory of three, and a pair more. */
static int stores_setup(void **state)
{
	static const char *const names[] = {"one", "two", "three"};
	char path[128], file[32], sans[64];

	assert_int_equal(setup(state), 0);
	snprintf(path, sizeof(path), "%s/many", pki.dir);
	(void)mkdir(path, 0700); /* or it is there from the test before */
	for (size_t i = 0; i < array_len(names); i++) {
		snprintf(file, sizeof(file), "many/%s", names[i]);
		snprintf(sans, sizeof(sans), "DNS:%s.test,DNS:*.%s.test", names[i], names[i]);
		pki_issue(&pki, &(struct pki_request){.file = file, .sans = sans});
	}
	pki_issue(&pki, &(struct pki_request){.file = "alt", .sans = "DNS:www.test"});
	snprintf(entries, sizeof(entries),
		"  - {name: many, directory: %s/many}\n"
		"  - {name: alt, cert: %s/alt.crt, key: %s/alt.key}\n",
		pki.dir, pki.dir, pki.dir);
	texts.entries = entries;
	return 0;
}

static const char *name_of(const struct cert *cert, char *buf)
{
	return cert ? cert_name(cert, buf) : "none";
}

static void assert_same(struct certstore *derived, struct certstore *fresh, const char *step)
{
	static const char *const hosts[] = {"www.test", "api.test", "one.test", "a.one.test",
		"two.test", "a.two.test", "three.test", "unknown.test", ""};
	const struct cert_offer offer = {.now_unix_s = 1};
	struct certstore_candidate a[16], b[16];
	char first[CERT_NAME_BYTES], second[CERT_NAME_BYTES];
	size_t n, m;

	assert_int_equal(certstore_names(derived), certstore_names(fresh));
	assert_string_equal(name_of(certstore_default(derived), first),
		name_of(certstore_default(fresh), second));
	for (size_t i = 0; i < array_len(hosts); i++) {
		const struct cert *best = certstore_lookup(fresh, slice_of(hosts[i]), &offer);

		if (certstore_lookup(derived, slice_of(hosts[i]), &offer) != best)
			fail_msg("%s: %s: not %s", step, hosts[i], name_of(best, first));
		n = certstore_candidates(derived, slice_of(hosts[i]), &offer, a, array_len(a));
		m = certstore_candidates(fresh, slice_of(hosts[i]), &offer, b, array_len(b));
		if (n != m)
			fail_msg("%s: %s: %zu, not %zu", step, hosts[i], n, m);
		for (size_t j = 0; j < n; j++)
			if (a[j].match != b[j].match)
				fail_msg("%s: %s", step, hosts[i]);
	}
}

/* Of all that the listener names, as if there had been none before. */
static struct certstore *store_anew(const struct build *build)
{
	const struct config_listener *listener = &build->config->listeners[WEB];
	struct certdir_cursor cursor;
	struct certstore *store;
	struct cert *certs[16];
	struct err err;
	size_t n = 0;

	for (uint32_t i = 0; i < listener->certificates_count; i++) {
		const struct built_cert *built =
			&build->certs[listener->certificates[i] - build->config->certificates];

		cursor = (struct certdir_cursor){0};
		if (built->cert)
			certs[n++] = built->cert;
		while (built->dir && (certs[n] = certdir_next(built->dir, &cursor)))
			n++;
	}
	assert_int_equal(certstore_new(certs, n, &store, &err), 0);
	return store;
}

/* From each list of entries to the next one; some are renewed with it. */
static void test_lists_change(void **state)
{
	static const struct {
		const char *list, *renewed, *sans;
	} steps[] = {
		{"certificates: [www]"},
		{"certificates: [www, api]"},
		{"certificates: [api, www]"},
		{"certificates: [api, many, www]", "www", "DNS:www.test,DNS:*.two.test"},
		{"certificates: [www, many]", "many/two", "DNS:two.test,DNS:unknown.test"},
		{"certificates: [alt, www, many, api]"},
		{"certificates: [api]"},
		{"certificates: [www, many]", "many/one", "DNS:a.one.test"},
		{"certificates: [alt]"},
	};
	struct build *old = NULL, *new;
	struct certstore *anew;

	for (size_t i = 0; i < array_len(steps); i++) {
		if (steps[i].renewed)
			pki_issue(&pki, &(struct pki_request){
						.file = steps[i].renewed, .sans = steps[i].sans});
		texts.web = steps[i].list;
		new = build(old);
		anew = store_anew(new);
		assert_same(new->built[WEB].certs, anew, steps[i].list);
		certstore_put(anew);
		if (old)
			replaced(old, new);
		old = new;
	}
	over(old);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, stores_setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_lists_change),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
