/* Trust stores and time: a CRL that goes out of date is told when it does, and every hour. */
#include "../tls/client_pki.h"

#include "control/build.h"
#include "control/trust_upkeep.h"
#include "core/log.h"
#include "tls/trust.h"

static struct pki pki;
static struct identity root;
static struct tls_trust *trust;
static int64_t now;
static int told_fd;

static int setup(void **state)
{
	X509 *cas[] = {NULL, NULL};
	struct tls_trust_spec spec = {.n_crls = 1};
	const char *crl;
	struct err err;

	pki_init(&pki);
	root = identity_new(&(struct identity_request){.cn = "Root"});
	cas[0] = root.cert;
	spec.ca_path = write_certs(&pki, "ca.pem", cas);
	crl = write_crl(&pki, "root.crl",
		crl_new(&(struct crl_request){
			.issuer = &root, .from_s = -PKI_DAY_S, .to_s = PKI_DAY_S}));
	spec.crl_paths = &crl;
	assert_int_equal(tls_trust_load(&spec, &trust, &err), 0);
	now = time(NULL);
	return 0;
}

static int teardown(void **state)
{
	tls_trust_put(trust);
	identity_free(&root);
	pki_fini(&pki);
	return 0;
}

/* Lines that this tick has logged. */
static int told(struct trust_upkeep *upkeep, const struct build *build, int64_t at)
{
	char text[4096];
	int kept = dup(STDERR_FILENO), n = 0;
	FILE *file = tmpfile();
	ssize_t len;

	assert_non_null(file);
	told_fd = fileno(file);
	dup2(told_fd, STDERR_FILENO);
	trust_upkeep_tick(upkeep, build, at);
	log_drain();
	dup2(kept, STDERR_FILENO);
	close(kept);
	len = pread(told_fd, text, sizeof(text) - 1, 0);
	assert_true(len >= 0);
	text[len] = '\0';
	for (const char *at_line = text; (at_line = strstr(at_line, "is out of date")); at_line++)
		n++;
	fclose(file);
	return n;
}

static void a_crl_goes_out_of_date(void **state)
{
	struct config_trust_store store = {.name = (char *)"clients"};
	struct config config = {.trust_stores = &store, .trust_stores_count = 1};
	struct built_trust built = {.trust = trust};
	struct build build = {.generation = 1, .config = &config, .trusts = &built};
	struct trust_upkeep upkeep = {0};

	assert_int_equal(told(&upkeep, &build, now), 0);
	assert_int_equal(told(&upkeep, &build, now + PKI_DAY_S - 60), 0);
	assert_int_equal(told(&upkeep, &build, now + PKI_DAY_S + 60), 1);
	assert_int_equal(told(&upkeep, &build, now + PKI_DAY_S + 61), 0);
	build.generation++; /* whatever was reloaded: said by whoever read it */
	assert_int_equal(told(&upkeep, &build, now + PKI_DAY_S + 62), 0);
	assert_int_equal(told(&upkeep, &build, now + PKI_DAY_S + 3000), 0);
	assert_int_equal(told(&upkeep, &build, now + PKI_DAY_S + 3661), 1);
	assert_int_equal(told(&upkeep, &build, now + PKI_DAY_S + 3700), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crl_goes_out_of_date),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
