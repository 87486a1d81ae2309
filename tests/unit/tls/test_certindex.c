/* The index: what is written is read again; damaged anywhere it is refused, never believed. */
#include "pki.h"

#include "tls/certindex.h"
#include "tls/certindex_file.h"
#include "tls/files.h"
#include <errno.h>
#include <sys/stat.h>

static struct pki pki;
static struct cert_source *source;
static struct cert *certs[3];
static char *path;

static struct cert *read_pair(const char *crt, const char *key)
{
	struct cert *cert;
	struct err err;

	assert_int_equal(cert_read(source, crt, key, &cert, &err), 0);
	return cert;
}

static int setup(void **state)
{
	pki_init(&pki);
	source = cert_source_new("dir", pki.dir, NULL);
	pki_issue(&pki, &(struct pki_request){.file = "a", .sans = "DNS:a.test,DNS:*.a.test"});
	pki_issue(
		&pki, &(struct pki_request){.file = "b", .sans = "DNS:b.test", .append = "ca.crt"});
	pki_issue(&pki, &(struct pki_request){.file = "locked", .password = "x"});
	pki_write(&pki, "pw", "x\n");
	certs[0] = read_pair("a.crt", "a.key");
	certs[1] = read_pair("b.crt", "b.key");
	asprintf(&path, "%s/index", pki.dir);
	return 0;
}

static int teardown(void **state)
{
	cert_put(certs[0]);
	cert_put(certs[1]);
	cert_source_put(source);
	free(path);
	pki_fini(&pki);
	return 0;
}

static void write_index(void)
{
	struct certindex_writer *writer;
	struct err err = {""};

	assert_int_equal(certindex_writer_new(path, &writer, &err), 0);
	certindex_writer_directory(writer, "/first");
	certindex_writer_add(writer, certs[0]);
	certindex_writer_directory(writer, pki.dir);
	certindex_writer_add(writer, certs[0]);
	certindex_writer_add(writer, certs[1]);
	assert_int_equal(certindex_writer_end(writer, &err), 0);
}

static uint8_t *load(size_t *ret_len)
{
	FILE *in = fopen(path, "re");
	uint8_t *bytes = malloc(65536);

	assert_non_null(in);
	*ret_len = fread(bytes, 1, 65536, in);
	fclose(in);
	return bytes;
}

static void test_what_is_written_is_read(void **state)
{
	struct cert_description texts;
	struct certindex *index;
	struct stat about;
	struct cert *cert;
	struct err err = {""};

	assert_int_equal(cert_check(certs[1], &err), 0);
	write_index();
	assert_int_equal(stat(path, &about), 0);
	assert_int_equal(about.st_mode & 07777, 0600);
	assert_int_equal(certindex_open(path, &index, &err), 0);
	assert_int_equal(certindex_len(index), 3);
	assert_null(certindex_find(index, source, pki.dir, SLICE("c.crt")));
	assert_null(certindex_find(index, source, "/first", SLICE("b.crt")));
	assert_null(certindex_find(index, source, "/other", SLICE("a.crt")));
	cert = certindex_find(index, source, pki.dir, SLICE("b.crt"));
	assert_non_null(cert);
	assert_int_equal(cert_identity(cert), cert_identity(certs[1]));
	assert_int_equal(cert_key_identity(cert), cert_key_identity(certs[1]));
	assert_int_equal(cert_state(cert), CERT_GOOD);
	certindex_free(index); /* a certificate has all it needs */
	assert_int_equal(cert_check(cert, &err), 0);
	cert_describe(cert, &texts);
	assert_string_equal(texts.name, "dir/b");
	assert_string_equal(texts.key_type, "ECDSA P-256");
	cert_description_fini(&texts);
	cert_put(cert);
}

/* Keys that were encrypted in their files are not in ours. */
static void test_encrypted_keys_stay_out(void **state)
{
	struct cert_source *locked;
	struct certindex_writer *writer;
	struct certindex *index;
	struct cert *cert;
	struct err err = {""};

	locked = cert_source_new("locked", pki.dir, pki_path(&pki, "pw"));
	assert_int_equal(cert_read(locked, "locked.crt", "locked.key", &cert, &err), 0);
	assert_int_equal(certindex_writer_new(path, &writer, &err), 0);
	certindex_writer_directory(writer, pki.dir);
	certindex_writer_add(writer, cert);
	assert_int_equal(certindex_writer_end(writer, &err), 0);
	assert_int_equal(certindex_open(path, &index, &err), 0);
	assert_int_equal(certindex_len(index), 0);
	certindex_free(index);
	cert_put(cert);
	cert_source_put(locked);
}

/* Every bit of the file, every length: refused for the checksum or the header. */
static void test_any_damage_is_seen(void **state)
{
	struct certindex *index = NULL;
	struct err err = {""};
	uint8_t *bytes;
	size_t len, i;

	write_index();
	bytes = load(&len);
	for (i = 0; i < 8 * len; i += i < 8 * 256 ? 1 : 5) {
		bytes[i / 8] ^= (uint8_t)(1u << i % 8);
		assert_int_equal(certindex_parse(bytes, len, true, &index, &err), -EINVAL);
		bytes[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	for (i = 0; i < len; i++)
		assert_int_equal(certindex_parse(bytes, i, true, &index, &err), -EINVAL);
	assert_null(index);
	assert_int_equal(certindex_parse(bytes, len, true, &index, &err), 0);
	certindex_free(index);
	free(bytes);
}

/* As the views do: of one that cannot be parsed as well. */
static void look_at(struct cert *cert)
{
	struct cert_description texts;
	struct err err;

	cert_describe(cert, &texts);
	assert_non_null(texts.subject);
	assert_non_null(texts.fingerprint_sha256);
	cert_description_fini(&texts);
	(void)cert_warning(cert, time(NULL), &err);
	(void)cert_check_strength(cert, UINT16_MAX, &err);
	cert_put(cert);
}

/* Behind a right checksum, too, nothing is believed that cannot be: with sanitizers this is the
 * test that no length leads out of the file. */
static void test_damage_with_a_right_checksum(void **state)
{
	struct certindex *index;
	struct err err = {""};
	struct cert *cert;
	uint8_t *bytes;
	size_t len, i, refused = 0;
	unsigned int value;

	write_index();
	bytes = load(&len);
	for (i = 0; i < len; i++)
		for (value = 1; value < 256; value += 51) {
			bytes[i] ^= (uint8_t)value;
			index = NULL;
			if (certindex_parse(bytes, len, false, &index, &err) < 0) {
				refused++;
			} else {
				cert = certindex_find(index, source, pki.dir, SLICE("b.crt"));
				if (cert && cert_check(cert, &err) < 0)
					assert_int_equal(cert_state(cert), CERT_BAD);
				if (cert)
					look_at(cert);
				certindex_free(index);
			}
			bytes[i] ^= (uint8_t)value;
		}
	assert_in_range(refused, 100, 5 * len);
	free(bytes);
}

/* What another version of sluice, or of OpenSSL, wrote is made anew. */
static void test_another_maker(void **state)
{
	struct certindex *index;
	struct err err = {""};
	uint8_t *bytes;
	size_t len;

	write_index();
	bytes = load(&len);
	((struct certindex_header *)bytes)->maker ^= 1;
	assert_int_equal(certindex_parse(bytes, len, true, &index, &err), -EINVAL);
	assert_non_null(strstr(err.text, "another version"));
	free(bytes);
}

/* Whoever keeps keys in memory does not want them on a disk. */
static void test_volatile_keys_stay_out(void **state)
{
	char folder[] = "/dev/shm/sluice-test-XXXXXX", command[512];
	struct cert_source *memory;
	struct certindex_writer *writer;
	struct certindex *index;
	struct cert *cert;
	struct err err = {""};

	if (!mkdtemp(folder))
		skip();
	snprintf(command, sizeof(command), "cp %s/a.* %s/", pki.dir, folder);
	assert_int_equal(system(command), 0);
	if (!tls_file_is_volatile(folder) || tls_file_is_volatile(pki.dir))
		skip();
	memory = cert_source_new("memory", folder, NULL);
	assert_int_equal(cert_read(memory, "a.crt", "a.key", &cert, &err), 0);
	assert_int_equal(certindex_writer_new(path, &writer, &err), 0);
	certindex_writer_directory(writer, folder);
	certindex_writer_add(writer, cert);
	assert_int_equal(certindex_writer_end(writer, &err), 0);
	assert_int_equal(certindex_open(path, &index, &err), 0);
	assert_int_equal(certindex_len(index), 0);
	certindex_free(index);
	cert_put(cert);
	cert_source_put(memory);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

/* Two processes with the same path: neither takes away what the other is writing. */
static void test_one_writer_at_a_time(void **state)
{
	struct certindex_writer *first, *second;
	struct certindex *index;
	struct err err = {""};
	char left[256];

	unlink(path);
	assert_int_equal(certindex_writer_new(path, &first, &err), 0);
	assert_int_equal(certindex_writer_new(path, &second, &err), -EBUSY);
	certindex_writer_directory(first, pki.dir);
	certindex_writer_add(first, certs[0]);
	assert_int_equal(certindex_writer_sync(first, &err), 0);
	assert_int_equal(certindex_writer_end(first, &err), 0);
	assert_int_equal(certindex_open(path, &index, &err), 0);
	assert_int_equal(certindex_len(index), 1);
	certindex_free(index);
	/* what one that was killed left there is in nobody's way */
	snprintf(left, sizeof(left), "index.new");
	pki_write(&pki, left, "half of an index, with keys");
	write_index();
	assert_int_equal(certindex_open(path, &index, &err), 0);
	certindex_free(index);
	assert_int_equal(certindex_writer_new(path, &first, &err), 0);
	certindex_writer_abort(first);
	assert_int_equal(access(pki_path(&pki, left), F_OK), -1);
}

static void expect_refused(const char *text)
{
	struct certindex *index;
	struct err err = {""};

	assert_true(certindex_open(path, &index, &err) < 0);
	if (!strstr(err.text, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.text);
}

static void test_files_that_are_none(void **state)
{
	struct certindex_writer *writer;
	struct certindex *index;
	struct err err = {""};

	write_index();
	assert_int_equal(chmod(path, 0640), 0);
	expect_refused("for nobody else");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(certindex_open(path, &index, &err), -ENOENT);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	expect_refused("symbolic link");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	expect_refused("no regular file");
	assert_int_equal(rmdir(path), 0);
	pki_write(&pki, "index", "nothing");
	assert_int_equal(chmod(path, 0600), 0);
	expect_refused("cut off");
	assert_int_equal(certindex_writer_new("/no/such/folder/index", &writer, &err), -ENOENT);
	assert_non_null(strstr(err.text, "cannot write /no/such/folder/index.new"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_written_is_read),
		cmocka_unit_test(test_encrypted_keys_stay_out),
		cmocka_unit_test(test_any_damage_is_seen),
		cmocka_unit_test(test_damage_with_a_right_checksum),
		cmocka_unit_test(test_another_maker),
		cmocka_unit_test(test_volatile_keys_stay_out),
		cmocka_unit_test(test_one_writer_at_a_time),
		cmocka_unit_test(test_files_that_are_none),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
