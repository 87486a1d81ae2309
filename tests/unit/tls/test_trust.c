/* Trust stores: what is believed, what is refused and how it is said, revocation, large lists. */
#include "client_pki.h"

#include "core/attr.h"
#include "tls/trust.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static struct pki pki;
static struct identity root, other;
static struct err err;
static bool is_strict = true;

static int setup(void **state)
{
	pki_init(&pki);
	root = identity_new(
		&(struct identity_request){.cn = "Root", .usage = "critical,keyCertSign,cRLSign"});
	other = identity_new(&(struct identity_request){.cn = "Other"});
	return 0;
}

static int teardown(void **state)
{
	identity_free(&root);
	identity_free(&other);
	pki_fini(&pki);
	return 0;
}

static const char *bundle(X509 *first, X509 *second, X509 *third)
{
	X509 *const certs[] = {first, second, third, NULL};

	return write_certs(&pki, "bundle.pem", certs);
}

static int load_with(const char *ca_path, const char *crl_path, struct tls_trust **ret_trust)
{
	struct tls_trust_spec spec = {
		.ca_path = ca_path, .crl_paths = &crl_path, .is_strict = is_strict};

	spec.n_crls = crl_path != NULL;
	err.text[0] = '\0';
	return tls_trust_load(&spec, ret_trust, &err);
}

static struct tls_trust *load(const char *ca_path, const char *crl_path)
{
	struct tls_trust *trust;

	assert_int_equal(load_with(ca_path, crl_path, &trust), 0);
	return trust;
}

/* Instead of the C library's: somebody goes on writing a file as soon as it was looked at. */
static const char *written_path;
static X509 *written;

int fstat(int fd, struct stat *ret_about)
{
	int r = fstatat(fd, "", ret_about, AT_EMPTY_PATH);
	const char *path = written_path;
	FILE *out;

	if (!path)
		return r;
	written_path = NULL;
	out = fopen(path, "ae");
	assert_non_null(out);
	assert_true(PEM_write_X509(out, written));
	assert_int_equal(fclose(out), 0);
	return r;
}

/* The text says file and line, and has `what` in it. */
static void is_refused(const char *ca_path, const char *crl_path, const char *what)
{
	struct tls_trust *trust;

	assert_true(load_with(ca_path, crl_path, &trust) < 0);
	if (!strstr(err.text, what))
		fail_msg("\"%s\" does not say \"%s\"", err.text, what);
	assert_non_null(strstr(err.text, crl_path ? crl_path : ca_path));
}

static void facts_are_told(void **state)
{
	struct tls_trust *trust = load(bundle(root.cert, other.cert, NULL), NULL);
	const struct tls_trust_facts *facts = tls_trust_facts(trust);
	uint32_t cursor = 0;

	assert_int_equal(facts->n_cas, 2);
	assert_string_equal(facts->cas[0].subject, "CN=Root");
	assert_string_equal(facts->cas[1].issuer, "CN=Other");
	assert_int_equal(strlen(facts->cas[0].fingerprint_sha256), 64);
	assert_int_equal(facts->cas[0].line, 1);
	assert_true(facts->cas[1].line > 8);
	assert_true(facts->cas[0].not_after_unix_s > time(NULL) + 89 * PKI_DAY_S);
	assert_int_equal(facts->n_crls, 0);
	assert_false(tls_trust_warning(trust, time(NULL), &cursor, &err));
	tls_trust_put(trust);
}

static void a_bundle_is_checked(void **state)
{
	struct identity leaf =
		identity_new(&(struct identity_request){.cn = "Leaf", .issuer = &root});
	struct identity bare =
		identity_new(&(struct identity_request){.cn = "Bare", .constraints = ""});
	struct identity mute = identity_new(
		&(struct identity_request){.cn = "Mute", .usage = "critical,digitalSignature"});
	struct identity old = identity_new(&(struct identity_request){
		.cn = "Old", .from_s = -2 * PKI_DAY_S, .to_s = -PKI_DAY_S});
	struct identity young = identity_new(&(struct identity_request){
		.cn = "Young", .from_s = PKI_DAY_S, .to_s = 2 * PKI_DAY_S});
	struct identity ancient =
		identity_new(&(struct identity_request){.cn = "Ancient", .is_v1 = true});

	is_refused(
		bundle(root.cert, leaf.cert, NULL), NULL, "CN=Leaf is not the certificate of a CA");
	assert_non_null(strstr(err.text, "line 1")); /* 10 or more */
	is_refused(bundle(bare.cert, NULL, NULL), NULL,
		"line 1: CN=Bare is not the certificate of a CA");
	is_refused(bundle(mute.cert, NULL, NULL), NULL, "without keyCertSign");
	is_refused(bundle(old.cert, NULL, NULL), NULL, "CN=Old is expired");
	is_refused(bundle(young.cert, NULL, NULL), NULL, "CN=Young is not valid yet");
	is_refused(bundle(ancient.cert, NULL, NULL), NULL, "is not the certificate of a CA");
	identity_free(&leaf);
	identity_free(&bare);
	identity_free(&mute);
	identity_free(&old);
	identity_free(&young);
	identity_free(&ancient);
}

static void broken_files_are_refused(void **state)
{
	const char *path = pki_path(&pki, "broken.pem");

	is_refused(pki_path(&pki, "missing.pem"), NULL, "No such file");
	is_refused(pki.dir, NULL, "Is a directory");
	is_refused("/dev/null", NULL, "no regular file");
	pki_write(&pki, "broken.pem", "");
	is_refused(path, NULL, "has no certificate");
	pki_write(&pki, "broken.pem", "hello\n-----BEGIN CERTIFICATE-----\nMIIB\n");
	is_refused(path, NULL, "line 2: the block that begins here has no end");
	pki_write(&pki, "broken.pem",
		"\n\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
	is_refused(path, NULL, "line 3: this is not a certificate");
	pki_write(&pki, "broken.pem",
		"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n");
	is_refused(
		path, NULL, "line 1: a bundle of CAs holds certificates only, not a PRIVATE KEY");
}

/* What is there of a bundle, well-formed as it is, is not taken for the whole. */
static void a_file_that_is_being_written_is_refused(void **state)
{
	const char *path = bundle(root.cert, NULL, NULL);
	struct tls_trust *trust;

	written = other.cert;
	written_path = path;
	is_refused(path, NULL, "it is being written");
	trust = load(path, NULL);
	assert_int_equal(tls_trust_facts(trust)->n_cas, 2);
	tls_trust_put(trust);
}

static void a_ca_given_twice_is_a_warning(void **state)
{
	struct tls_trust *trust = load(bundle(root.cert, other.cert, root.cert), NULL);
	uint32_t cursor = 0;

	assert_int_equal(tls_trust_facts(trust)->n_cas, 2);
	assert_true(tls_trust_warning(trust, time(NULL), &cursor, &err));
	assert_non_null(strstr(err.text, "twice"));
	assert_false(tls_trust_warning(trust, time(NULL), &cursor, &err));
	tls_trust_put(trust);
}

static bool is_revoked(const struct tls_trust *trust, const struct identity *issuer, long serial)
{
	struct identity client = identity_new(
		&(struct identity_request){.cn = "Client", .issuer = issuer, .serial = serial});
	bool revoked = tls_trust_is_revoked(trust, client.cert);

	identity_free(&client);
	return revoked;
}

static void a_crl_revokes(void **state)
{
	static const long serials[] = {7, 70000, 300, -5, 0};
	const char *crl = write_crl(&pki, "root.crl",
		crl_new(&(struct crl_request){.issuer = &root, .serials = serials}));
	struct tls_trust *trust = load(bundle(root.cert, other.cert, NULL), crl);
	const struct tls_trust_crl *facts = tls_trust_facts(trust)->crls;

	assert_int_equal(tls_trust_facts(trust)->n_crls, 1);
	assert_int_equal(tls_trust_facts(trust)->n_revoked, 4);
	assert_string_equal(facts->issuer, "CN=Root");
	assert_int_equal(facts->n_revoked, 4);
	assert_false(tls_trust_crl_is_stale(facts, time(NULL)));
	assert_true(is_revoked(trust, &root, 7));
	assert_true(is_revoked(trust, &root, 300));
	assert_true(is_revoked(trust, &root, 70000));
	assert_true(is_revoked(trust, &root, -5));
	assert_false(is_revoked(trust, &root, 5));
	assert_false(is_revoked(trust, &root, 8));
	assert_false(is_revoked(trust, &root, 70001));
	assert_false(is_revoked(trust, &other, 7));
	tls_trust_put(trust);
}

static void a_der_crl_is_read(void **state)
{
	static const long serials[] = {7, 0};
	const char *path = pki_path(&pki, "der.crl");
	X509_CRL *crl = crl_new(&(struct crl_request){.issuer = &root, .serials = serials});
	FILE *out = fopen(path, "we");
	struct tls_trust *trust;

	assert_true(i2d_X509_CRL_fp(out, crl));
	fclose(out);
	X509_CRL_free(crl);
	trust = load(bundle(root.cert, NULL, NULL), path);
	assert_true(is_revoked(trust, &root, 7));
	tls_trust_put(trust);
}

static void crls_are_checked(void **state)
{
	struct identity mute = identity_new(
		&(struct identity_request){.cn = "Mute", .usage = "critical,keyCertSign"});
	const char *ca = bundle(root.cert, mute.cert, NULL);

	is_refused(ca, write_crl(&pki, "x.crl", crl_new(&(struct crl_request){.issuer = &other})),
		"which is none of the CAs");
	is_refused(ca,
		write_crl(&pki, "x.crl",
			crl_new(&(struct crl_request){.issuer = &root, .key = other.key})),
		"the signature of the CRL of CN=Root is not good");
	is_refused(ca, write_crl(&pki, "x.crl", crl_new(&(struct crl_request){.issuer = &mute})),
		"without cRLSign");
	is_refused(ca,
		write_crl(&pki, "x.crl",
			crl_new(&(struct crl_request){
				.issuer = &root, .from_s = 360, .to_s = 2 * PKI_DAY_S})),
		"is not valid yet");
	is_refused(ca,
		write_crl(&pki, "x.crl",
			crl_new(&(struct crl_request){.issuer = &root,
				.nid = NID_issuing_distribution_point,
				.extension = "critical,indirectCRL:TRUE"})),
		"is an indirect CRL");
	pki_write(&pki, "x.crl", "nothing\n");
	is_refused(ca, pki_path(&pki, "x.crl"), "there is no CRL in it");
	pki_write(&pki, "x.crl", "0broken");
	is_refused(ca, pki_path(&pki, "x.crl"), "this is not a CRL");
	pki_write(&pki, "x.crl", "-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n");
	is_refused(ca, pki_path(&pki, "x.crl"), "line 1: this is not a CRL");
	is_refused(ca, ca, "holds X509 CRL blocks only");
	identity_free(&mute);
}

static void a_stale_crl_warns_and_still_revokes(void **state)
{
	static const long serials[] = {7, 0};
	const char *crl = write_crl(&pki, "stale.crl",
		crl_new(&(struct crl_request){.issuer = &root,
			.serials = serials,
			.from_s = -9 * PKI_DAY_S,
			.to_s = -2 * PKI_DAY_S - 3600}));
	struct tls_trust *trust = load(bundle(root.cert, NULL, NULL), crl);
	uint32_t cursor = 0;

	assert_true(tls_trust_warning(trust, time(NULL), &cursor, &err));
	assert_non_null(strstr(err.text, "stale.crl"));
	assert_non_null(strstr(err.text, "since 2 days"));
	assert_false(tls_trust_warning(trust, time(NULL), &cursor, &err));
	assert_true(is_revoked(trust, &root, 7));
	tls_trust_put(trust);
}

static void a_crl_without_end_is_never_stale(void **state)
{
	const char *crl = write_crl(&pki, "endless.crl",
		crl_new(&(struct crl_request){.issuer = &root, .from_s = -PKI_DAY_S, .to_s = -1}));
	struct tls_trust *trust = load(bundle(root.cert, NULL, NULL), crl);
	const struct tls_trust_crl *facts = tls_trust_facts(trust)->crls;

	assert_int_equal(facts->next_update_unix_s, 0);
	assert_false(tls_trust_crl_is_stale(facts, time(NULL) + 9999 * PKI_DAY_S));
	tls_trust_put(trust);
}

static void the_digest_is_of_the_contents(void **state)
{
	static const long serials[] = {7, 0};
	struct tls_trust *plain = load(bundle(root.cert, NULL, NULL), NULL);
	struct tls_trust *again = load(bundle(root.cert, NULL, NULL), NULL);
	struct tls_trust *more = load(bundle(root.cert, other.cert, NULL), NULL);
	const char *crl = write_crl(
		&pki, "d.crl", crl_new(&(struct crl_request){.issuer = &root, .serials = serials}));
	struct tls_trust *revoking = load(bundle(root.cert, NULL, NULL), crl);
	const uint8_t *digest = tls_trust_facts(plain)->digest;

	assert_memory_equal(digest, tls_trust_facts(again)->digest, TLS_TRUST_DIGEST_BYTES);
	assert_memory_not_equal(digest, tls_trust_facts(more)->digest, TLS_TRUST_DIGEST_BYTES);
	assert_memory_not_equal(digest, tls_trust_facts(revoking)->digest, TLS_TRUST_DIGEST_BYTES);
	assert_false(tls_trust_is_tighter(plain, again));
	assert_false(tls_trust_is_tighter(plain, more));
	assert_true(tls_trust_is_tighter(more, plain));
	assert_true(tls_trust_is_tighter(plain, revoking));
	assert_false(tls_trust_is_tighter(revoking, plain));
	tls_trust_put(plain);
	tls_trust_put(again);
	tls_trust_put(more);
	tls_trust_put(revoking);
}

static X509_CRL *list_of(const struct identity *issuer, const long *serials, int64_t to_s)
{
	return crl_new(&(struct crl_request){
		.issuer = issuer, .serials = serials, .from_s = -PKI_DAY_S, .to_s = to_s});
}

/* Of one list or, where there is another, of two in one file. */
static struct tls_trust *load_lists(X509_CRL *list, X509_CRL *another)
{
	const char *path = write_crl(&pki, "lists.crl", list);
	FILE *out = fopen(path, "ae");

	assert_non_null(out);
	assert_true(!another || PEM_write_X509_CRL(out, another));
	assert_int_equal(fclose(out), 0);
	X509_CRL_free(another);
	return load(bundle(root.cert, other.cert, NULL), path);
}

/* `now` lets in whom `before` let in: connections and sessions live on. */
static void is_no_change(const struct tls_trust *before, struct tls_trust *now)
{
	assert_false(tls_trust_is_tighter(before, now));
	assert_memory_equal(tls_trust_facts(before)->digest, tls_trust_facts(now)->digest,
		TLS_TRUST_DIGEST_BYTES);
	tls_trust_put(now);
}

static void is_a_change(const struct tls_trust *before, struct tls_trust *now, bool is_tighter)
{
	assert_int_equal(tls_trust_is_tighter(before, now), is_tighter);
	assert_memory_not_equal(tls_trust_facts(before)->digest, tls_trust_facts(now)->digest,
		TLS_TRUST_DIGEST_BYTES);
	tls_trust_put(now);
}

/* CAs sign their lists anew on schedule; only what is revoked in addition turns somebody away. */
static void a_crl_signed_again_is_no_change(void **state)
{
	static const long serials[] = {7, 300, 70000, 0}, turned[] = {70000, 7, 300, 0};
	static const long more[] = {7, 299, 300, 70000, 0}, less[] = {7, 70000, 0};
	static const long another[] = {300, 0}, foreign[] = {7, 0};
	struct tls_trust *trust = load_lists(list_of(&root, serials, PKI_DAY_S), NULL);
	struct tls_trust *split =
		load_lists(list_of(&root, less, PKI_DAY_S), list_of(&root, another, PKI_DAY_S));

	is_no_change(trust, load_lists(list_of(&root, serials, 2 * PKI_DAY_S), NULL));
	is_no_change(trust, load_lists(list_of(&root, turned, 2 * PKI_DAY_S), NULL));
	is_a_change(trust, load_lists(list_of(&root, more, 2 * PKI_DAY_S), NULL), true);
	is_a_change(trust, load_lists(list_of(&root, less, 2 * PKI_DAY_S), NULL), false);
	is_a_change(split, load_lists(list_of(&root, serials, 2 * PKI_DAY_S), NULL), false);
	is_a_change(split, load_lists(list_of(&root, more, 2 * PKI_DAY_S), NULL), true);
	/* the serial number of somebody else's certificate */
	is_a_change(trust,
		load_lists(list_of(&root, serials, PKI_DAY_S), list_of(&other, foreign, PKI_DAY_S)),
		true);
	tls_trust_put(trust);
	tls_trust_put(split);
}

static void warns(const struct tls_trust *trust, uint32_t *cursor, const char *what)
{
	assert_true(tls_trust_warning(trust, time(NULL), cursor, &err));
	if (!strstr(err.text, what))
		fail_msg("\"%s\" does not say \"%s\"", err.text, what);
}

/* At a start: what stood in the bundle all the time must not keep the others from being served. */
static void a_ca_out_of_its_time_can_be_a_warning(void **state)
{
	struct identity old = identity_new(&(struct identity_request){
		.cn = "Old", .from_s = -2 * PKI_DAY_S, .to_s = -PKI_DAY_S});
	struct identity young = identity_new(&(struct identity_request){
		.cn = "Young", .from_s = PKI_DAY_S, .to_s = 2 * PKI_DAY_S});
	struct tls_trust *trust;
	uint32_t cursor = 0;

	is_strict = false;
	trust = load(bundle(old.cert, root.cert, young.cert), NULL);
	is_strict = true;
	assert_int_equal(tls_trust_facts(trust)->n_cas, 3);
	warns(trust, &cursor, "line 1: the CA CN=Old is expired");
	warns(trust, &cursor, "the CA CN=Young is not valid yet");
	assert_false(tls_trust_warning(trust, time(NULL), &cursor, &err));
	tls_trust_put(trust);
	identity_free(&old);
	identity_free(&young);
}

/* Clocks differ. */
static void a_crl_of_the_next_minutes_is_taken(void **state)
{
	static const long serials[] = {7, 0};
	struct tls_trust *trust = load(bundle(root.cert, NULL, NULL),
		write_crl(&pki, "ahead.crl",
			crl_new(&(struct crl_request){.issuer = &root,
				.serials = serials,
				.from_s = 240,
				.to_s = PKI_DAY_S})));

	assert_true(is_revoked(trust, &root, 7));
	tls_trust_put(trust);
}

static void a_revoked_ca_of_the_bundle_is_told(void **state)
{
	static const long serials[] = {7, 8, 0};
	struct identity middle = identity_new(&(struct identity_request){
		.cn = "Middle", .issuer = &root, .constraints = "critical,CA:TRUE", .serial = 7});
	struct tls_trust *trust;
	uint32_t cursor = 0;

	trust = load(bundle(root.cert, middle.cert, NULL),
		write_crl(&pki, "root.crl",
			crl_new(&(struct crl_request){.issuer = &root, .serials = serials})));
	assert_false(tls_trust_facts(trust)->cas[0].is_revoked);
	assert_true(tls_trust_facts(trust)->cas[1].is_revoked);
	warns(trust, &cursor, "the CA CN=Middle is revoked");
	assert_false(tls_trust_warning(trust, time(NULL), &cursor, &err));
	tls_trust_put(trust);
	identity_free(&middle);
}

/* Twenty bytes, as real ones have. */
static void add_many(X509_CRL *crl, uint32_t n)
{
	ASN1_TIME *now = ASN1_TIME_adj(NULL, time(NULL), 0, -60);
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	uint8_t bytes[20] = {0x12};
	uint32_t i, mixed;

	for (i = 0; i < n; i++) {
		X509_REVOKED *revoked = X509_REVOKED_new();

		mixed = i * 2654435761u;
		memcpy(bytes + 1, &mixed, sizeof(mixed));
		ASN1_STRING_set(number, bytes, sizeof(bytes));
		X509_REVOKED_set_serialNumber(revoked, number);
		X509_REVOKED_set_revocationDate(revoked, now);
		X509_CRL_add0_revoked(crl, revoked);
	}
	ASN1_INTEGER_free(number);
	ASN1_TIME_free(now);
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The clouds' limit. The figures are printed; what is asserted leaves room for any machine. */
static void half_a_million_entries(void **state)
{
	enum { N = 500000, LOOKUPS = 20000 };
	X509_CRL *crl = crl_new(&(struct crl_request){.issuer = &root});
	struct identity client =
		identity_new(&(struct identity_request){.cn = "Client", .issuer = &root});
	struct tls_trust *trust;
	const char *path;
	double began;
	uint8_t bytes[20] = {0x12};
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	uint32_t i, mixed, found = 0;

	add_many(crl, N);
	assert_true(X509_CRL_sign(crl, root.key, EVP_sha256()) > 0);
	path = write_crl(&pki, "large.crl", crl);
	began = now_s();
	trust = load(bundle(root.cert, NULL, NULL), path);
	print_message("loading %d entries: %.2f s, %.1f MiB\n", N, now_s() - began,
		(double)tls_trust_facts(trust)->crls[0].bytes / (1 << 20));
	assert_int_equal(tls_trust_facts(trust)->n_revoked, N);
	assert_true(tls_trust_facts(trust)->crls[0].bytes < (size_t)N * 32);
	began = now_s();
	for (i = 0; i < LOOKUPS; i++) {
		mixed = i * 7919u * 2654435761u + (i & 1);
		memcpy(bytes + 1, &mixed, sizeof(mixed));
		ASN1_STRING_set(number, bytes, sizeof(bytes));
		X509_set_serialNumber(client.cert, number);
		found += tls_trust_is_revoked(trust, client.cert);
	}
	print_message("look-up: %.0f ns\n", (now_s() - began) * 1e9 / LOOKUPS);
	assert_true(found > 0 && found < LOOKUPS);
	assert_true((now_s() - began) / LOOKUPS < 100e-6);
	ASN1_INTEGER_free(number);
	identity_free(&client);
	tls_trust_put(trust);
}

/* Thousands of CAs against thousands, the one that is missing included: not each with each. */
static void thousands_of_cas(void **state)
{
	enum { N = 4000 };
	X509 **certs = calloc(N + 1, sizeof(X509 *));
	struct tls_trust *all, *again, *fewer;
	char name[32];
	double began;
	int i;

	for (i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "CA %d", i);
		certs[i] = X509_dup(root.cert);
		assert_true(X509_NAME_add_entry_by_txt(X509_get_subject_name(certs[i]), "OU",
			MBSTRING_UTF8, (const uint8_t *)name, -1, -1, 0));
		assert_true(X509_sign(certs[i], root.key, EVP_sha256()) > 0);
	}
	all = load(write_certs(&pki, "all.pem", certs), NULL);
	again = load(pki_path(&pki, "all.pem"), NULL);
	X509_free(certs[N - 1]);
	certs[N - 1] = NULL;
	fewer = load(write_certs(&pki, "fewer.pem", certs), NULL);
	assert_int_equal(tls_trust_facts(all)->n_cas, N);
	began = now_s();
	assert_false(tls_trust_is_tighter(all, again));
	assert_false(tls_trust_is_tighter(fewer, all));
	assert_true(tls_trust_is_tighter(all, fewer));
	print_message("comparing %d CAs three times: %.1f ms\n", N, (now_s() - began) * 1e3);
	assert_true(now_s() - began < 0.1);
	for (i = 0; certs[i]; i++)
		X509_free(certs[i]);
	free(certs);
	tls_trust_put(all);
	tls_trust_put(again);
	tls_trust_put(fewer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_are_told),
		cmocka_unit_test(a_bundle_is_checked),
		cmocka_unit_test(broken_files_are_refused),
		cmocka_unit_test(a_file_that_is_being_written_is_refused),
		cmocka_unit_test(a_ca_given_twice_is_a_warning),
		cmocka_unit_test(a_crl_revokes),
		cmocka_unit_test(a_der_crl_is_read),
		cmocka_unit_test(crls_are_checked),
		cmocka_unit_test(a_stale_crl_warns_and_still_revokes),
		cmocka_unit_test(a_crl_without_end_is_never_stale),
		cmocka_unit_test(the_digest_is_of_the_contents),
		cmocka_unit_test(a_crl_signed_again_is_no_change),
		cmocka_unit_test(a_ca_out_of_its_time_can_be_a_warning),
		cmocka_unit_test(a_crl_of_the_next_minutes_is_taken),
		cmocka_unit_test(a_revoked_ca_of_the_bundle_is_told),
		cmocka_unit_test(half_a_million_entries),
		cmocka_unit_test(thousands_of_cas),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
