/* Certificates with their OCSP responses over looks, answers and restarts: which response is stapled. */
#include "../tls/pki.h"

#include "control/config.h"
#include "control/stapling_entries.h"

static struct pki pki;

#include "../tls/ocsp_answer.h"

enum { CERTS_MAX = 5 };

static struct cert *certs[CERTS_MAX]; /* the first one is www.crt */
static uint32_t n_certs;
static struct config config;
static struct config_certificate setting;
static struct stapling_entries entries;

enum { REVOKED = V_OCSP_CERTSTATUS_REVOKED };

static const struct certs_in_use *in_use(void)
{
	static struct certs_entry rows[CERTS_MAX];
	static struct certs_in_use in_use;
	uint32_t i;

	for (i = 0; i < n_certs; i++)
		rows[i] = (struct certs_entry){.cert = certs[i], .config = &setting};
	in_use = (struct certs_in_use){.config = &config, .entries = rows, .n = n_certs};
	return &in_use;
}

static void look(void)
{
	struct certs_cursor cursor = {0};

	assert_true(stapling_entries_look(&entries, in_use(), &cursor));
}

/* FILE.crt and FILE.key. */
static void load(const char *file)
{
	char crt[64], key[64];
	struct cert_spec spec = {.name = "www"};
	struct err err;

	snprintf(crt, sizeof(crt), "%s.crt", file);
	snprintf(key, sizeof(key), "%s.key", file);
	spec.cert_path = pki_path(&pki, crt);
	spec.key_path = pki_path(&pki, key);
	assert_int_equal(cert_load(&spec, &certs[n_certs++], &err), 0);
}

static void end(void)
{
	stapling_entries_fini(&entries);
	while (n_certs)
		cert_put(certs[--n_certs]);
}

static void restart(void)
{
	end();
	load("www");
	look();
}

static int setup(void **state)
{
	pki_init(&pki);
	issue_asking("www", "http://one.test/a");
	config = (struct config){.state_dir_path = pki.dir};
	setting = (struct config_certificate){.name = "www", .ocsp = CONFIG_OCSP_ON};
	load("www");
	look();
	return 0;
}

static int teardown(void **state)
{
	end();
	pki_fini(&pki);
	return 0;
}

/* Its responder is asked as soon as it is due. */
static struct stapling_entry *asked(void)
{
	struct stapling_entry *entry = entries.list[0];

	entry->due_unix_s = 0;
	assert_ptr_equal(stapling_entries_due(&entries, time(NULL)), entry);
	stapling_entries_ask(&entries, entry);
	return entry;
}

static void answered(const struct answer *answer)
{
	struct stapling_entry *entry = asked();
	uint8_t *der;
	size_t len = answer_der(answer, &der);

	stapling_entries_told(&entries, entry->responder, false);
	stapling_entries_answer(&entries, entry->fingerprint, der, len, "");
	OPENSSL_free(der);
}

/* Said `ago` hours ago, of a certificate that is `status`. */
static void said(long ago, int status)
{
	answered(&(struct answer){.status = status, .from_s = -ago * HOUR_S, .to_s = HOUR_S});
}

static bool is_stapled(long ago)
{
	const struct staple *staple = cert_staple(certs[0]);
	int64_t since_s = staple ? time(NULL) - staple->this_update_unix_s : 0;

	return staple && since_s >= ago * HOUR_S && since_s < ago * HOUR_S + HOUR_S / 2;
}

static uint64_t n_revoked(void)
{
	struct stapling_facts facts;

	stapling_entries_count(&entries, &facts);
	return facts.n_revoked;
}

/* A response that says "good" is kept; but not believed once a later one said "revoked". */
static void revoked_over_a_restart(void **state)
{
	said(5, 0);
	assert_true(is_stapled(5));
	restart();
	assert_true(is_stapled(5));
	said(4, REVOKED);
	assert_null(cert_staple(certs[0]));
	restart();
	assert_null(cert_staple(certs[0]));
	assert_int_equal(n_revoked(), 1);
	said(5, 0);
	assert_null(cert_staple(certs[0]));
	assert_int_equal(n_revoked(), 1);
}

/* Somebody repeats what was true once. */
static void older_ones_are_refused(void **state)
{
	said(4, 0);
	said(6, 0);
	assert_true(is_stapled(4));
	said(3, REVOKED);
	said(4, 0);
	assert_null(cert_staple(certs[0]));
	assert_string_equal(entries.list[0]->error,
		"the OCSP response is older than one before, which says that its CA has revoked it");
	said(2, 0); /* it was on hold */
	assert_true(is_stapled(2));
	assert_int_equal(n_revoked(), 0);
	said(3, REVOKED);
	assert_true(is_stapled(2));
}

/* What is no response takes nothing back. */
static void garbage_does_not_unrevoke(void **state)
{
	struct stapling_entry *entry;

	said(3, REVOKED);
	entry = asked();
	stapling_entries_told(&entries, entry->responder, false);
	stapling_entries_answer(&entries, entry->fingerprint, (const uint8_t *)"x", 1, "");
	assert_int_equal(n_revoked(), 1);
}

/* What an operator does whose responder hangs, and undoes when it is back. */
static void a_file_comes_and_goes(void **state)
{
	struct stapling_entry *entry = asked();

	setting.ocsp_path = (char *)pki_path(&pki, "www.ocsp");
	pki_write(&pki, "www.ocsp", "");
	look();
	stapling_entries_told(&entries, entry->responder, false);
	stapling_entries_answer(&entries, entry->fingerprint, NULL, 0, "not now");
	assert_null(stapling_entries_due(&entries, time(NULL)));
	setting.ocsp_path = NULL;
	look();
	assert_ptr_equal(stapling_entries_due(&entries, time(NULL)), entry);
	said(1, 0);
	assert_true(is_stapled(1));
}

/* --- several responders */
static struct stapling_entry *entry_of(const struct cert *cert)
{
	size_t i;

	for (i = 0; i < entries.n; i++)
		if (entries.list[i]->certs[0] == cert)
			return entries.list[i];
	fail();
	return NULL;
}

static struct cert *next_asked(int64_t now_unix_s)
{
	struct stapling_entry *entry = stapling_entries_due(&entries, now_unix_s);

	if (!entry)
		return NULL;
	stapling_entries_ask(&entries, entry);
	return entry->certs[0];
}

static void is_silent(const struct cert *cert)
{
	struct stapling_entry *entry = entry_of(cert);

	stapling_entries_told(&entries, entry->responder, true);
	stapling_entries_answer(&entries, entry->fingerprint, NULL, 0, "timed out");
}

static void add(const char *file, const char *responder)
{
	issue_asking(file, responder);
	load(file);
}

/* Each is due a second later than the one before. */
static void are_due(void)
{
	uint32_t i;

	for (i = 0; i < n_certs; i++)
		entry_of(certs[i])->due_unix_s = 1000 + i;
}

static void who_waits_longest_comes_first(void **state)
{
	int64_t now_unix_s = time(NULL);
	uint32_t i;

	add("b", "http://two.test/");
	add("c", "http://three.test/");
	add("d", "http://four.test/");
	add("e", "http://five.test/");
	look();
	are_due();
	for (i = 0; i < n_certs; i++)
		assert_ptr_equal(next_asked(now_unix_s), certs[i]);
	assert_null(next_asked(now_unix_s));
}

static void a_silent_responder_keeps_nobody_waiting(void **state)
{
	int64_t now_unix_s = time(NULL), wake_unix_s;
	struct stapling_facts facts;

	add("b", "http://one.test/b");
	add("c", "http://one.test/c");
	add("d", "http://one.test");
	add("e", "http://two.test/");
	look();
	are_due();
	assert_ptr_equal(next_asked(now_unix_s), certs[0]);
	assert_ptr_equal(next_asked(now_unix_s), certs[1]);
	assert_ptr_equal(next_asked(now_unix_s), certs[4]);
	assert_null(next_asked(now_unix_s));
	assert_true(stapling_entries_count(&entries, &facts) == INT64_MAX); /* answers come first */
	is_silent(certs[0]);
	is_silent(certs[1]);
	assert_null(next_asked(now_unix_s)); /* it rests */
	wake_unix_s = stapling_entries_count(&entries, &facts);
	assert_in_range(wake_unix_s, now_unix_s + 1, now_unix_s + 60);
	assert_ptr_equal(next_asked(wake_unix_s), certs[2]);
	assert_ptr_equal(next_asked(wake_unix_s), certs[3]);
}

/* However long it is silent, it is asked again within minutes; and when it answers, at once. */
static void a_rest_ends(void **state)
{
	struct stapling_entry *entry = asked();
	struct stapling_responder *responder = &entries.responders[entry->responder];
	uint32_t i;

	for (i = 0; i < 50; i++) {
		is_silent(certs[0]);
		assert_in_range(responder->rests_until_unix_s, time(NULL) + 1, time(NULL) + 300);
		responder->rests_until_unix_s = 0;
		entry = asked();
	}
	is_silent(certs[0]);
	responder->n_asked++; /* about another certificate */
	stapling_entries_told(&entries, entry->responder, false);
	said(1, 0);
	assert_true(is_stapled(1));
}

static void one_without_a_responder(void **state)
{
	pki_issue(
		&pki, &(struct pki_request){.file = "b", .sans = "DNS:b.test", .append = "ca.crt"});
	load("b");
	look();
	assert_ptr_equal(next_asked(time(NULL)), certs[0]);
	assert_null(next_asked(time(NULL)));
	assert_string_equal(
		entry_of(certs[1])->error, "it names no OCSP responder: its CA has none");
	assert_true(entry_of(certs[1])->due_unix_s > time(NULL));
}

/* --- replacements: nothing is looked for when they serve already */

/* The same certificate anew, as after a change of its file. */
static void replace(uint32_t at, const char *file)
{
	struct cert *replaced = certs[at];
	uint32_t n = n_certs;

	n_certs = at;
	load(file);
	n_certs = n;
	cert_put(replaced);
}

static void the_same_anew(void **state)
{
	said(1, 0);
	replace(0, "www");
	assert_null(cert_staple(certs[0]));
	assert_false(stapling_entries_ready(&entries, in_use()));
	assert_true(is_stapled(1));
	said(0, REVOKED);
	replace(0, "www");
	assert_false(stapling_entries_ready(&entries, in_use()));
	assert_null(cert_staple(certs[0]));
}

/* Instead of www.crt, whose place in `pki` it takes: responses are about that. */
static void must_be_stapled(void)
{
	end();
	issue_asking("must", "http://one.test/");
	rename(pki_path(&pki, "must.crt"), pki_path(&pki, "www.crt"));
	rename(pki_path(&pki, "must.key"), pki_path(&pki, "www.key"));
	load("www");
}

static void one_that_must_be_from_its_file(void **state)
{
	struct answer good = {0};
	uint8_t *der;
	size_t len;
	FILE *out;

	must_be_stapled();
	setting.ocsp = CONFIG_OCSP_OFF;
	setting.ocsp_path = (char *)pki_path(&pki, "www.ocsp");
	assert_true(stapling_entries_ready(&entries, in_use())); /* there is none */
	len = answer_der(&good, &der);
	out = fopen(setting.ocsp_path, "we");
	assert_int_equal(fwrite(der, 1, len, out), len);
	fclose(out);
	OPENSSL_free(der);
	assert_false(stapling_entries_ready(&entries, in_use()));
	assert_true(is_stapled(1));
}

static void one_that_must_be_after_a_restart(void **state)
{
	must_be_stapled();
	setting.ocsp = CONFIG_OCSP_AUTO;
	assert_true(stapling_entries_ready(&entries, in_use()));
	look();
	assert_false(stapling_entries_ready(&entries, in_use())); /* it is known, and asked for */
	said(1, 0);
	end();
	load("www");
	assert_false(stapling_entries_ready(&entries, in_use()));
	assert_true(is_stapled(1));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(revoked_over_a_restart),
		CASE(older_ones_are_refused),
		CASE(garbage_does_not_unrevoke),
		CASE(a_file_comes_and_goes),
		CASE(who_waits_longest_comes_first),
		CASE(a_silent_responder_keeps_nobody_waiting),
		CASE(a_rest_ends),
		CASE(one_without_a_responder),
		CASE(the_same_anew),
		CASE(one_that_must_be_from_its_file),
		CASE(one_that_must_be_after_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
