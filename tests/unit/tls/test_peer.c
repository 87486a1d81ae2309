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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_long_serial_number_is_one_line),
		cmocka_unit_test(serial_numbers_of_every_kind),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
