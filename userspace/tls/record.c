/* Records: see record.h. */
#include "tls/record.h"
#include "core/slice.h"

#include <endian.h>
#include <errno.h>
#include <linux/tls.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

enum { GATHER_MAX = 2048 };

static const struct {
	const char *name;
	uint8_t key_bytes;
} algorithms[RECORD_CIPHERS] = {
	[RECORD_AES_128_GCM] = {"AES-128-GCM", 16},
	[RECORD_AES_256_GCM] = {"AES-256-GCM", 32},
	[RECORD_CHACHA20] = {"ChaCha20-Poly1305", 32},
};

int record_ciphers_init(struct record_ciphers *ciphers)
{
	int i;

	*ciphers = (struct record_ciphers){0};
	for (i = 0; i < RECORD_CIPHERS; i++) {
		ciphers->cipher[i] = EVP_CIPHER_fetch(NULL, algorithms[i].name, NULL);
		ciphers->seal[i] = EVP_CIPHER_CTX_new();
		ciphers->open[i] = EVP_CIPHER_CTX_new();
		if (!ciphers->cipher[i] || !ciphers->seal[i] || !ciphers->open[i] ||
			!EVP_EncryptInit_ex2(
				ciphers->seal[i], ciphers->cipher[i], NULL, NULL, NULL) ||
			!EVP_DecryptInit_ex2(
				ciphers->open[i], ciphers->cipher[i], NULL, NULL, NULL)) {
			record_ciphers_fini(ciphers);
			return -ENOMEM;
		}
	}
	return 0;
}

void record_ciphers_fini(struct record_ciphers *ciphers)
{
	int i;

	for (i = 0; i < RECORD_CIPHERS; i++) {
		EVP_CIPHER_CTX_free(ciphers->seal[i]);
		EVP_CIPHER_CTX_free(ciphers->open[i]);
		EVP_CIPHER_free(ciphers->cipher[i]);
	}
	*ciphers = (struct record_ciphers){0};
}

static uint64_t load_be64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, 8);
	return be64toh(value);
}

static void store_be64(uint8_t *bytes, uint64_t value)
{
	value = htobe64(value);
	memcpy(bytes, &value, 8);
}

/* The two AES-GCM structures differ in the length of the key only. */
static void gcm_key_set(struct record_key *key, const uint8_t *salt, const uint8_t *iv,
	const uint8_t *secret_key, size_t key_bytes, const uint8_t *seq)
{
	memcpy(key->iv, salt, TLS_CIPHER_AES_GCM_128_SALT_SIZE);
	memcpy(key->iv + TLS_CIPHER_AES_GCM_128_SALT_SIZE, iv, TLS_CIPHER_AES_GCM_128_IV_SIZE);
	memcpy(key->key, secret_key, key_bytes);
	if (!key->is_tls13) /* else the secret is there, known before the key */
		key->explicit_start = load_be64(iv);
	key->seq = load_be64(seq);
}

int record_key_set(struct record_ciphers *ciphers, struct record_key *key, const void *crypto_info)
{
	const struct tls_crypto_info *info = crypto_info;
	const struct tls12_crypto_info_aes_gcm_128 *gcm128 = crypto_info;
	const struct tls12_crypto_info_aes_gcm_256 *gcm256 = crypto_info;
	const struct tls12_crypto_info_chacha20_poly1305 *chacha = crypto_info;

	key->is_tls13 = info->version == TLS_1_3_VERSION;
	switch (info->cipher_type) {
	case TLS_CIPHER_AES_GCM_128:
		gcm_key_set(key, gcm128->salt, gcm128->iv, gcm128->key, sizeof(gcm128->key),
			gcm128->rec_seq);
		key->cipher = RECORD_AES_128_GCM;
		break;
	case TLS_CIPHER_AES_GCM_256:
		gcm_key_set(key, gcm256->salt, gcm256->iv, gcm256->key, sizeof(gcm256->key),
			gcm256->rec_seq);
		key->cipher = RECORD_AES_256_GCM;
		break;
	case TLS_CIPHER_CHACHA20_POLY1305:
		memcpy(key->iv, chacha->iv, sizeof(key->iv));
		memcpy(key->key, chacha->key, sizeof(chacha->key));
		key->seq = load_be64(chacha->rec_seq);
		key->cipher = RECORD_CHACHA20;
		break;
	default:
		return -EOPNOTSUPP;
	}
	key->id = ++ciphers->last_id;
	return 0;
}

/* HKDF-Expand-Label (RFC 8446 7.1) with an empty context, for results of one hash at most. */
static int expand_label(
	const struct record_key *key, const char *label, uint8_t *ret_bytes, size_t len)
{
	const EVP_MD *hash = key->secret_len == 48 ? EVP_sha384() : EVP_sha256();
	uint8_t info[32] = {(uint8_t)(len >> 8), (uint8_t)len, (uint8_t)(6 + strlen(label))};
	size_t info_len = 3 + 6 + strlen(label);
	uint8_t block[EVP_MAX_MD_SIZE];

	memcpy(info + 3, "tls13 ", 6);
	memcpy(info + 9, label, strlen(label));
	info[info_len++] = 0; /* length of the context */
	info[info_len++] = 1; /* number of the block */
	if (!HMAC(hash, key->secret, key->secret_len, info, info_len, block, NULL))
		return -ENOMEM;
	memcpy(ret_bytes, block, len);
	OPENSSL_cleanse(block, sizeof(block));
	return 0;
}

int record_key_update(struct record_ciphers *ciphers, struct record_key *key)
{
	if (!key->secret_len)
		return -EOPNOTSUPP;
	if (expand_label(key, "traffic upd", key->secret, key->secret_len) < 0 ||
		expand_label(key, "key", key->key, algorithms[key->cipher].key_bytes) < 0 ||
		expand_label(key, "iv", key->iv, sizeof(key->iv)) < 0)
		return -ENOMEM;
	key->seq = 0;
	key->id = ++ciphers->last_id;
	return 0;
}

/* A context keeps the last key it was given, here of a stream that is gone: gives it zeros. */
static void context_forget(EVP_CIPHER_CTX *ctx, uint64_t *context_key, uint64_t id)
{
	static const uint8_t zeros[32];

	if (*context_key != id)
		return;
	*context_key = 0;
	(void)EVP_CipherInit_ex2(ctx, NULL, zeros, zeros, -1, NULL);
}

void record_key_clear(struct record_ciphers *ciphers, struct record_key *key)
{
	if (key->id) {
		context_forget(
			ciphers->seal[key->cipher], &ciphers->seal_key[key->cipher], key->id);
		context_forget(
			ciphers->open[key->cipher], &ciphers->open_key[key->cipher], key->id);
	}
	OPENSSL_cleanse(key, sizeof(*key));
}

bool record_key_is_old(const struct record_key *key)
{
	return key->cipher != RECORD_CHACHA20 && key->seq >= RECORD_KEY_OLD;
}

bool record_key_is_used_up(const struct record_key *key)
{
	return key->cipher != RECORD_CHACHA20 && key->seq >= RECORD_KEY_MAX;
}

static bool has_explicit_nonce(const struct record_key *key)
{
	return !key->is_tls13 && key->cipher != RECORD_CHACHA20;
}

/* The implicit nonce of TLS 1.3 and of ChaCha20 in 1.2: IV xor sequence number. */
static void implicit_nonce(const struct record_key *key, uint8_t *ret_nonce)
{
	uint8_t seq[8];
	int i;

	store_be64(seq, key->seq);
	memcpy(ret_nonce, key->iv, 12);
	for (i = 0; i < 8; i++)
		ret_nonce[4 + i] ^= seq[i];
}

/* Additional data. TLS 1.3: the header. TLS 1.2: sequence number, type, version, length. */
static int additional_data(
	const struct record_key *key, const uint8_t *header, size_t content_len, uint8_t *ret_aad)
{
	if (key->is_tls13) {
		memcpy(ret_aad, header, RECORD_HEADER_BYTES);
		return RECORD_HEADER_BYTES;
	}
	store_be64(ret_aad, key->seq);
	memcpy(ret_aad + 8, header, 3);
	ret_aad[11] = (uint8_t)(content_len >> 8);
	ret_aad[12] = (uint8_t)content_len;
	return 13;
}

/* Gives the context the nonce, and the key if it has another one. A context that failed has none:
 * never the key of one stream for the record of another. */
static bool context_start(EVP_CIPHER_CTX *ctx, uint64_t *context_key, const struct record_key *key,
	const uint8_t *nonce)
{
	bool has_key = *context_key == key->id;

	*context_key = 0;
	/* RFC 8446 5.3: the sequence number must not wrap. */
	if (key->seq == UINT64_MAX ||
		!EVP_CipherInit_ex2(ctx, NULL, has_key ? NULL : key->key, nonce, -1, NULL))
		return false;
	*context_key = key->id;
	return true;
}

/* What is next, at most `max` bytes of it. */
static struct slice next_piece(struct iov_cursor *from, size_t max)
{
	struct slice piece;

	while (from->offset == from->iov->iov_len) {
		from->iov++;
		from->offset = 0;
	}
	piece.ptr = (const char *)from->iov->iov_base + from->offset;
	piece.len = from->iov->iov_len - from->offset;
	piece.len = piece.len < max ? piece.len : max;
	from->offset += piece.len;
	return piece;
}

static bool seal_pieces(EVP_CIPHER_CTX *ctx, struct iov_cursor *from, size_t len, uint8_t *out)
{
	struct slice piece;
	int done;

	for (; len; len -= piece.len, out += piece.len) {
		piece = next_piece(from, len);
		if (!EVP_EncryptUpdate(ctx, out, &done, (const uint8_t *)piece.ptr, (int)piece.len))
			return false;
	}
	return true;
}

static void gather(struct iov_cursor *from, size_t len, uint8_t *out)
{
	struct slice piece;

	for (; len; len -= piece.len, out += piece.len) {
		piece = next_piece(from, len);
		memcpy(out, piece.ptr, piece.len);
	}
}

/* The content of TLS 1.3 with its type behind it. Copied together where that is less than what each
 * piece, and a block that begins in the middle, cost. */
static bool seal_typed(
	EVP_CIPHER_CTX *ctx, struct iov_cursor *from, size_t len, uint8_t type, uint8_t *out)
{
	int done;

	if (len > GATHER_MAX)
		return seal_pieces(ctx, from, len, out) &&
		       EVP_EncryptUpdate(ctx, out + len, &done, &type, 1);
	gather(from, len, out);
	out[len] = type;
	return EVP_EncryptUpdate(ctx, out, &done, out, (int)len + 1);
}

int record_seal(struct record_ciphers *ciphers, struct record_key *key, enum record_type type,
	struct iov_cursor *from, size_t len, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = ciphers->seal[key->cipher];
	size_t explicit_len = has_explicit_nonce(key) ? RECORD_EXPLICIT_NONCE_BYTES : 0;
	size_t body = explicit_len + len + (key->is_tls13 ? 1 : 0) + RECORD_TAG_BYTES;
	uint8_t nonce[12], aad[13];
	uint8_t *content = out + RECORD_HEADER_BYTES + explicit_len;
	int aad_len, done;

	out[0] = key->is_tls13 ? RECORD_DATA : (uint8_t)type;
	out[1] = 3;
	out[2] = 3;
	out[3] = (uint8_t)(body >> 8);
	out[4] = (uint8_t)body;
	if (explicit_len) {
		memcpy(nonce, key->iv, 4);
		store_be64(nonce + 4, key->explicit_start + key->seq);
		memcpy(out + RECORD_HEADER_BYTES, nonce + 4, 8);
	} else {
		implicit_nonce(key, nonce);
	}
	aad_len = additional_data(key, out, len, aad);
	if (!context_start(ctx, &ciphers->seal_key[key->cipher], key, nonce) ||
		!EVP_EncryptUpdate(ctx, NULL, &done, aad, aad_len) ||
		!(key->is_tls13 ? seal_typed(ctx, from, len, (uint8_t)type, content)
				: seal_pieces(ctx, from, len, content)))
		return -EIO;
	content += len + (key->is_tls13 ? 1 : 0);
	if (!EVP_EncryptFinal_ex(ctx, content, &done) ||
		!EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, RECORD_TAG_BYTES, content))
		return -EIO;
	key->seq++;
	return (int)(RECORD_HEADER_BYTES + body);
}

int record_length(const uint8_t *bytes, size_t have)
{
	size_t body;

	if (have < RECORD_HEADER_BYTES)
		return 0;
	body = (size_t)bytes[3] << 8 | bytes[4];
	if (bytes[1] != 3)
		return -EBADMSG;
	return body > RECORD_BODY_MAX ? -EMSGSIZE : (int)(RECORD_HEADER_BYTES + body);
}

size_t record_content_offset(const struct record_key *key)
{
	return RECORD_HEADER_BYTES + (has_explicit_nonce(key) ? RECORD_EXPLICIT_NONCE_BYTES : 0);
}

size_t record_overhead(const struct record_key *key)
{
	return record_content_offset(key) + RECORD_TAG_BYTES + (key->is_tls13 ? 1 : 0);
}

size_t record_room(const struct record_key *key, size_t record_len)
{
	size_t around = record_overhead(key);

	return record_len > around ? record_len - around : 0;
}

/* The content type of TLS 1.3 is the last byte that is not zero (RFC 8446 5.4). How long this
 * takes tells how much padding there was, which the RFC leaves open (appendix E.3). */
static int strip_padding(const uint8_t *content, size_t len, uint8_t last, uint8_t *ret_type)
{
	while (!last && len)
		last = content[--len];
	if (!last)
		return -EPROTO;
	*ret_type = last;
	return (int)len;
}

int record_open(struct record_ciphers *ciphers, struct record_key *key, const uint8_t *record,
	size_t record_len, uint8_t *out, uint8_t *ret_type)
{
	EVP_CIPHER_CTX *ctx = ciphers->open[key->cipher];
	size_t offset = record_content_offset(key), len = record_room(key, record_len);
	const uint8_t *content = record + offset;
	uint8_t nonce[12], aad[13], last = 0, tag[RECORD_TAG_BYTES];
	int aad_len, done;

	if (key->is_tls13 && record[0] != RECORD_DATA)
		return -EPROTO;
	if (record_len < offset + RECORD_TAG_BYTES + (key->is_tls13 ? 1 : 0))
		return -EBADMSG;
	if (len > RECORD_PLAIN_MAX) /* padding counts (RFC 8446 5.4), the type does not */
		return -EMSGSIZE;
	if (has_explicit_nonce(key)) {
		memcpy(nonce, key->iv, 4);
		memcpy(nonce + 4, record + RECORD_HEADER_BYTES, 8);
	} else {
		implicit_nonce(key, nonce);
	}
	*ret_type = record[0];
	aad_len = additional_data(key, record, len, aad);
	memcpy(tag, record + record_len - RECORD_TAG_BYTES, RECORD_TAG_BYTES);
	if (!context_start(ctx, &ciphers->open_key[key->cipher], key, nonce) ||
		!EVP_DecryptUpdate(ctx, NULL, &done, aad, aad_len) ||
		!EVP_DecryptUpdate(ctx, out, &done, content, (int)len) ||
		(key->is_tls13 && !EVP_DecryptUpdate(ctx, &last, &done, content + len, 1)) ||
		!EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, RECORD_TAG_BYTES, tag) ||
		EVP_DecryptFinal_ex(ctx, tag, &done) <= 0)
		return -EBADMSG;
	key->seq++;
	return key->is_tls13 ? strip_padding(out, len, last, ret_type) : (int)len;
}
