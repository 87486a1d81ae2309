/* Texts of clients' certificates, as they go into headers: whatever the certificate says. */
#include "client_pki.h"
#include "tls/peer.h"

enum { LONG_BYTES = 40 };

static struct identity root;

static int group_setup(void **state)
{
	root = identity_new(&(struct identity_request){.cn = "Root"});
	return 0;
}

static int group_teardown(void **state)
{
	identity_free(&root);
	return 0;
}

static void assert_printable(struct slice text)
{
	size_t i;

	for (i = 0; i < text.len; i++)
		assert_in_range((unsigned char)text.ptr[i], ' ', '~');
}

/* OpenSSL's text of it has a backslash and a line end every 35 bytes. */
static void a_long_serial_number_is_one_line(void **state)
{
	struct identity client =
		identity_new(&(struct identity_request){.cn = "client", .issuer = &root});
	uint8_t bytes[LONG_BYTES];
	char expected[2 * LONG_BYTES + 1] = "";
	struct tls_peer *peer;
	size_t i;

	for (i = 0; i < sizeof(bytes); i++) {
		bytes[i] = (uint8_t)(i + 0x70);
		snprintf(expected + 2 * i, 3, "%02X", bytes[i]);
	}
	assert_true(ASN1_STRING_set(X509_get_serialNumber(client.cert), bytes, (int)sizeof(bytes)));
	peer = tls_peer_new(client.cert, NULL);
	assert_non_null(peer);
	assert_printable(peer->serial);
	assert_int_equal(peer->serial.len, 2 * LONG_BYTES);
	assert_memory_equal(peer->serial.ptr, expected, peer->serial.len);
	tls_peer_free(peer);
	identity_free(&client);
}

static void serial_numbers_of_every_kind(void **state)
{
	static const struct {
		long serial;
		const char *text;
	} cases[] = {{0, "00"}, {1, "01"}, {-1, "-01"}, {666, "029A"}, {0x7fffffff, "7FFFFFFF"}};
	struct identity client =
		identity_new(&(struct identity_request){.cn = "client", .issuer = &root});
	struct tls_peer *peer;
	size_t i;

	for (i = 0; i < array_len(cases); i++) {
		assert_true(ASN1_INTEGER_set(X509_get_serialNumber(client.cert), cases[i].serial));
		peer = tls_peer_new(client.cert, NULL);
		assert_non_null(peer);
		assert_true(slice_eq(peer->serial, slice_of(cases[i].text)));
		tls_peer_free(peer);
	}
	identity_free(&client);
}

/* T61String: each byte becomes six characters. */
static void names_are_bounded(void **state)
{
	static const int sizes[] = {300, 1900, 2100, 20000};
	uint8_t *bytes = malloc(20000);
	size_t i;

	memset(bytes, 0xe9, 20000);
	for (i = 0; i < array_len(sizes); i++) {
		struct identity client =
			identity_new(&(struct identity_request){.cn = "client", .issuer = &root});
		X509_NAME *name = X509_NAME_new();
		bool is_long = sizes[i] > TLS_PEER_NAME_BYTES_MAX;
		struct tls_peer *peer;

		assert_true(X509_NAME_add_entry_by_NID(
			name, NID_commonName, V_ASN1_T61STRING, bytes, 60, -1, 0));
		X509_NAME_ENTRY_set_data(
			X509_NAME_get_entry(name, 0), V_ASN1_T61STRING, bytes, sizes[i]);
		assert_true(
			X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, 0))->length == sizes[i]);
		assert_true(X509_set_subject_name(client.cert, name));
		assert_int_equal(tls_peer_has_long_names(client.cert), is_long);
		peer = tls_peer_new_brief(client.cert);
		assert_non_null(peer);
		assert_true(is_long ? !peer->subject.len : peer->subject.len > 6 * 250);
		assert_in_range(peer->subject.len, 0, 7 * TLS_PEER_NAME_BYTES_MAX);
		assert_printable(peer->subject);
		assert_int_equal(peer->leaf.len + peer->chain.len, 0);
		assert_true(slice_eq(peer->issuer, SLICE("CN=Root")));
		tls_peer_free(peer);
		X509_NAME_free(name);
		identity_free(&client);
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_long_serial_number_is_one_line),
		cmocka_unit_test(serial_numbers_of_every_kind),
		cmocka_unit_test(names_are_bounded),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
