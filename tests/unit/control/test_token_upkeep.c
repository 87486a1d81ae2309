/* When a key that a token has opened is made known to those who show it. */
#include "../tls/client_pki.h"
#include "control/build.h"
#include "control/token_upkeep.h"
#include "tls/cert_parts.h"

static struct pki pki;

static int setup(void **state)
{
	pki_init(&pki);
	pki_issue(&pki, &(struct pki_request){.file = "www", .sans = "DNS:www.test"});
	return 0;
}

static int teardown(void **state)
{
	pki_fini(&pki);
	return 0;
}

static struct cert *cert_in_token(enum cert_state state)
{
	char cert_path[512], key_path[512];
	struct cert_spec spec = {.name = "www", .cert_path = cert_path, .key_path = key_path};
	struct cert *cert;
	struct err err;

	snprintf(cert_path, sizeof(cert_path), "%s/www.crt", pki.dir);
	snprintf(key_path, sizeof(key_path), "%s/www.key", pki.dir);
	assert_int_equal(cert_load(&spec, &cert, &err), 0);
	cert->record.facts.is_in_token = true;
	atomic_store(&cert->state, (uint8_t)state);
	return cert;
}

/* The key is open when the first look comes, and was not when the generation was made: nobody else would
 * tell. */
static void a_key_that_was_late_is_told_once(void **state)
{
	struct token_upkeep *upkeep = token_upkeep_new();
	struct config config = {.certificates_count = 1};
	struct built_cert built = {.cert = cert_in_token(CERT_GOOD)};
	struct build build = {.config = &config, .certs = &built};

	token_upkeep_look(upkeep, &build);
	assert_true(token_upkeep_tick(upkeep, 1000));
	assert_false(token_upkeep_tick(upkeep, 2000));
	token_upkeep_look(upkeep, &build); /* the next generation has it, too */
	assert_false(token_upkeep_tick(upkeep, 3000));
	token_upkeep_free(upkeep);
	cert_put(built.cert);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_key_that_was_late_is_told_once, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
