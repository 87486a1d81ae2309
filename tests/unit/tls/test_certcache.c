/* What a thread keeps ready of certificates: bounded, found again, let go of when replaced. */
#include "pki.h"

#include "tls/certcache.h"
#include <errno.h>

enum { N = 12 };

static struct pki pki;
static struct cert_source *source;
static struct cert *certs[N];
static struct certcache *cache;

static int setup(void **state)
{
	char file[3][32];
	struct err err;
	int i;

	pki_init(&pki);
	source = cert_source_new("dir", pki.dir, NULL);
	for (i = 0; i < N; i++) {
		snprintf(file[0], sizeof(file[0]), "c%d", i);
		pki_issue(&pki, &(struct pki_request){.file = file[0], .sans = "DNS:a.test"});
		snprintf(file[1], sizeof(file[1]), "c%d.crt", i);
		snprintf(file[2], sizeof(file[2]), "c%d.key", i);
		assert_int_equal(cert_read(source, file[1], file[2], &certs[i], &err), 0);
	}
	return 0;
}

static int teardown(void **state)
{
	int i;

	for (i = 0; i < N; i++)
		cert_put(certs[i]);
	cert_source_put(source);
	pki_fini(&pki);
	return 0;
}

static int drop(void **state)
{
	certcache_free(cache);
	cache = NULL;
	return 0;
}

static void expect_counts(uint64_t hits, uint64_t misses, uint32_t held)
{
	const struct certcache_counts *counts = certcache_counts(cache);

	assert_int_equal(counts->hits, hits);
	assert_int_equal(counts->misses, misses);
	assert_int_equal(counts->held, held);
}

static void test_hits_and_misses(void **state)
{
	const struct cert_parsed *parsed;
	int i, round;

	cache = certcache_new(100);
	for (round = 0; round < 3; round++)
		for (i = 0; i < N; i++) {
			parsed = certcache_find(cache, certs[i]);
			assert_non_null(parsed);
			assert_non_null(parsed->leaf);
			assert_true(key_matches(parsed->key, parsed->leaf));
			assert_int_equal(cert_state(certs[i]), CERT_GOOD);
		}
	expect_counts(2 * N, N, N);
}

/* A hot one stays while others come and go. */
static void test_bounded(void **state)
{
	int i, round;

	cache = certcache_new(4);
	for (round = 0; round < 5; round++)
		for (i = 1; i < N; i++) {
			assert_non_null(certcache_find(cache, certs[0]));
			assert_non_null(certcache_find(cache, certs[i]));
		}
	assert_int_equal(certcache_counts(cache)->held, 4);
	assert_in_range(certcache_counts(cache)->hits, 5 * (N - 1) - 1, 5 * (N - 1) + 10);
	certcache_resize(cache, 2);
	for (i = 0; i < N; i++)
		assert_non_null(certcache_find(cache, certs[i]));
	assert_int_equal(certcache_counts(cache)->held, 2);
	certcache_resize(cache, 1000);
	for (i = 0; i < N; i++)
		assert_non_null(certcache_find(cache, certs[i]));
	assert_int_equal(certcache_counts(cache)->held, N);
}

static void test_bad_one(void **state)
{
	struct cert *bad;
	struct err err;

	cache = certcache_new(4);
	assert_int_equal(cert_read(source, "c0.crt", "c1.key", &bad, &err), 0);
	assert_null(certcache_find(cache, bad));
	assert_null(certcache_find(cache, bad));
	assert_int_equal(cert_state(bad), CERT_BAD);
	assert_int_equal(certcache_counts(cache)->bad, 1); /* said once */
	assert_int_equal(certcache_counts(cache)->held, 0);
	assert_non_null(certcache_find(cache, certs[0]));
	cert_put(bad);
}

/* Of two caches, one each worker's: neither keeps what nobody else has. */
static void test_sweep(void **state)
{
	struct certcache *other = certcache_new(8);
	struct cert *replaced;
	struct err err;

	cache = certcache_new(8);
	assert_int_equal(cert_read(source, "c3.crt", "c3.key", &replaced, &err), 0);
	assert_non_null(certcache_find(cache, replaced));
	assert_non_null(certcache_find(cache, certs[0]));
	assert_non_null(certcache_find(other, replaced));
	certcache_sweep(cache);
	assert_int_equal(certcache_counts(cache)->held, 2);
	cert_put(replaced);
	certcache_sweep(cache);
	certcache_sweep(other);
	assert_int_equal(certcache_counts(cache)->held, 1);
	assert_int_equal(certcache_counts(other)->held, 0);
	assert_non_null(certcache_find(cache, certs[0]));
	assert_int_equal(certcache_counts(cache)->hits, 1);
	certcache_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_hits_and_misses, drop),
		cmocka_unit_test_teardown(test_bounded, drop),
		cmocka_unit_test_teardown(test_bad_one, drop),
		cmocka_unit_test_teardown(test_sweep, drop),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
