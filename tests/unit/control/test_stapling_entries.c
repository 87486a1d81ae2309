/* Certificates with their OCSP responses over looks, answers and restarts: which response is stapled. */
#include "../tls/pki.h"

#include "control/config.h"
#include "control/stapling_entries.h"

static struct pki pki;

#include "../tls/ocsp_answer.h"

static struct cert *cert; /* www.crt */
static struct config config;
static struct config_certificate setting;
static struct stapling_entries entries;

enum { REVOKED = V_OCSP_CERTSTATUS_REVOKED };

static void look(void)
{
	struct certs_entry row = {.cert = cert, .config = &setting};
	struct certs_in_use in_use = {.config = &config, .entries = &row, .n = 1};
	struct certs_cursor cursor = {0};

	assert_true(stapling_entries_look(&entries, &in_use, &cursor));
}

static void load(void)
{
	struct cert_spec spec = {.name = "www",
		.cert_path = pki_path(&pki, "www.crt"),
		.key_path = pki_path(&pki, "www.key")};
	struct err err;

	assert_int_equal(cert_load(&spec, &cert, &err), 0);
}

static void end(void)
{
	stapling_entries_fini(&entries);
	cert_put(cert);
}

static void restart(void)
{
	end();
	load();
	look();
}

static int setup(void **state)
{
	pki_init(&pki);
	pki_issue(&pki,
		&(struct pki_request){.file = "www", .sans = "DNS:www.test", .append = "ca.crt"});
	config = (struct config){.state_dir_path = pki.dir};
	setting = (struct config_certificate){.name = "www", .ocsp = CONFIG_OCSP_ON};
	load();
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
	size_t cursor = 0;
	struct stapling_entry *entry = entries.list[0];

	entry->due_unix_s = 0;
	assert_ptr_equal(stapling_entries_due(&entries, &cursor, time(NULL)), entry);
	entry->is_asked = true;
	return entry;
}

static void answered(const struct answer *answer)
{
	struct stapling_entry *entry = asked();
	uint8_t *der;
	size_t len = answer_der(answer, &der);

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
	const struct staple *staple = cert_staple(cert);
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
	assert_null(cert_staple(cert));
	restart();
	assert_null(cert_staple(cert));
	assert_int_equal(n_revoked(), 1);
	said(5, 0);
	assert_null(cert_staple(cert));
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
	assert_null(cert_staple(cert));
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
	stapling_entries_answer(&entries, entry->fingerprint, (const uint8_t *)"x", 1, "");
	assert_int_equal(n_revoked(), 1);
}

/* What an operator does whose responder hangs, and undoes when it is back. */
static void a_file_comes_and_goes(void **state)
{
	struct stapling_entry *entry = asked();
	size_t cursor = 0;

	setting.ocsp_path = (char *)pki_path(&pki, "www.ocsp");
	pki_write(&pki, "www.ocsp", "");
	look();
	stapling_entries_answer(&entries, entry->fingerprint, NULL, 0, "timed out");
	assert_null(stapling_entries_due(&entries, &cursor, time(NULL)));
	setting.ocsp_path = NULL;
	look();
	cursor = 0;
	assert_ptr_equal(stapling_entries_due(&entries, &cursor, time(NULL)), entry);
	said(1, 0);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
