/* What stands in the extensions of a ClientHello: see clienthello_ext.h. */
#include "tls/clienthello_ext.h"

/* Those that are looked into. */
enum {
	EXT_SERVER_NAME = 0,
	EXT_SUPPORTED_GROUPS = 10,
	EXT_SIGNATURE_ALGORITHMS = 13,
	EXT_ALPN = 16,
	EXT_PRE_SHARED_KEY = 41,
	EXT_EARLY_DATA = 42,
	EXT_SUPPORTED_VERSIONS = 43,
	EXT_SIGNATURE_ALGORITHMS_CERT = 50,
	EXT_KEY_SHARE = 51,
	EXT_ENCRYPTED_CLIENT_HELLO = 0xfe0d,
};

enum {
	NAME_TYPE_HOST = 0,
	LABEL_BYTES_MAX = 63,
	PSK_BINDER_BYTES_MIN = 32,
};

static uint16_t load_be16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

/* A non-empty list of code points behind its length, which takes one byte or two. */
static bool read_codes(struct slice body, size_t length_bytes, struct slice *ret_codes)
{
	const uint8_t *bytes = (const uint8_t *)body.ptr;
	size_t n;

	if (body.len <= length_bytes)
		return false;
	n = length_bytes == 2 ? load_be16(bytes) : bytes[0];
	if (n != body.len - length_bytes || n % 2)
		return false;
	*ret_codes = (struct slice){body.ptr + length_bytes, n};
	return true;
}

/* Takes a vector behind its length of one byte or two off the front. */
static bool cut_vector(struct slice *rest, size_t length_bytes, struct slice *ret_vector)
{
	const uint8_t *bytes = (const uint8_t *)rest->ptr;
	size_t n;

	if (rest->len < length_bytes)
		return false;
	n = length_bytes == 2 ? load_be16(bytes) : bytes[0];
	if (n > rest->len - length_bytes)
		return false;
	*ret_vector = (struct slice){rest->ptr + length_bytes, n};
	*rest = (struct slice){ret_vector->ptr + n, rest->len - length_bytes - n};
	return true;
}

/* Letters of any case, digits, '-' and '_': what stands in the DNS for hosts, and a bit more. */
static bool is_label_byte(uint8_t c)
{
	uint8_t low = c | 0x20;

	return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool is_host_name(struct slice name)
{
	size_t i, label_len = 0;

	if (name.len > CLIENTHELLO_SERVER_NAME_MAX)
		return false;
	for (i = 0; i < name.len; i++) {
		if (name.ptr[i] == '.') {
			if (!label_len)
				return false;
			label_len = 0;
		} else if (!is_label_byte((uint8_t)name.ptr[i]) || ++label_len > LABEL_BYTES_MAX) {
			return false;
		}
	}
	return label_len > 0;
}

/* RFC 6066 3: a list, but of one host_name in practice, and OpenSSL insists on that. A trailing dot
 * is forbidden and sent all the same by clients that were given one. */
static bool read_server_name(struct slice body, struct slice *ret_name)
{
	struct slice list, name;

	if (!cut_vector(&body, 2, &list) || body.len || !list.len || list.ptr[0] != NAME_TYPE_HOST)
		return false;
	list = (struct slice){list.ptr + 1, list.len - 1};
	if (!cut_vector(&list, 2, &name) || list.len || !name.len)
		return false;
	if (name.ptr[name.len - 1] == '.')
		name.len--;
	if (!is_host_name(name))
		return false;
	*ret_name = name;
	return true;
}

/* RFC 7301 3.1 */
static bool read_alpn(struct slice body, struct slice *ret_list)
{
	struct slice list, rest, name;

	if (!cut_vector(&body, 2, &list) || body.len || !list.len)
		return false;
	for (rest = list; rest.len;)
		if (!cut_vector(&rest, 1, &name) || !name.len)
			return false;
	*ret_list = list;
	return true;
}

/* RFC 8446 4.2.8: empty asks for a HelloRetryRequest. */
static bool read_key_shares(struct slice body, struct slice *ret_list)
{
	struct slice list, rest, key;

	if (!cut_vector(&body, 2, &list) || body.len)
		return false;
	for (rest = list; rest.len;) {
		if (rest.len < 2)
			return false;
		rest = (struct slice){rest.ptr + 2, rest.len - 2};
		if (!cut_vector(&rest, 2, &key) || !key.len)
			return false;
	}
	*ret_list = list;
	return true;
}

/* RFC 8446 4.2.11: identities, and a binder for each. */
static bool is_psk_sound(struct slice body)
{
	struct slice identities, binders, item;
	size_t n = 0;

	if (!cut_vector(&body, 2, &identities) || !cut_vector(&body, 2, &binders) || body.len)
		return false;
	for (; identities.len; n++) {
		if (!cut_vector(&identities, 2, &item) || !item.len || identities.len < 4)
			return false;
		identities = (struct slice){identities.ptr + 4, identities.len - 4}; /* the age */
	}
	if (!n)
		return false;
	for (; binders.len; n--)
		if (!n || !cut_vector(&binders, 1, &item) || item.len < PSK_BINDER_BYTES_MIN)
			return false;
	return n == 0;
}

static enum clienthello_fault expect(bool is_sound, enum clienthello_fault fault)
{
	return likely(is_sound) ? CLIENTHELLO_OK : fault;
}

enum clienthello_fault clienthello_ext_read(
	struct clienthello *hello, uint16_t type, struct slice body)
{
	switch (type) {
	case EXT_SERVER_NAME:
		return expect(
			read_server_name(body, &hello->server_name), CLIENTHELLO_sni_malformed);
	case EXT_ALPN:
		return expect(read_alpn(body, &hello->alpn), CLIENTHELLO_alpn_malformed);
	case EXT_SUPPORTED_VERSIONS:
		return expect(
			read_codes(body, 1, &hello->versions), CLIENTHELLO_versions_malformed);
	case EXT_SUPPORTED_GROUPS:
		return expect(read_codes(body, 2, &hello->groups), CLIENTHELLO_groups_malformed);
	case EXT_SIGNATURE_ALGORITHMS:
		return expect(read_codes(body, 2, &hello->signature_algorithms),
			CLIENTHELLO_signatures_malformed);
	case EXT_SIGNATURE_ALGORITHMS_CERT:
		return expect(read_codes(body, 2, &hello->signature_algorithms_cert),
			CLIENTHELLO_signatures_malformed);
	case EXT_KEY_SHARE:
		return expect(
			read_key_shares(body, &hello->key_shares), CLIENTHELLO_key_share_malformed);
	case EXT_PRE_SHARED_KEY:
		hello->has_psk = true;
		return expect(is_psk_sound(body), CLIENTHELLO_psk_malformed);
	case EXT_EARLY_DATA:
		hello->has_early_data = true;
		return expect(!body.len, CLIENTHELLO_early_data_malformed);
	case EXT_ENCRYPTED_CLIENT_HELLO:
		hello->has_ech = true;
		return CLIENTHELLO_OK;
	default:
		return CLIENTHELLO_OK;
	}
}
