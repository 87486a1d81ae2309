/*
 * Keys of a direction in the kernel's words (linux/tls.h): given to it, and the sequence number asked
 * back. See ktls.c, which decides.
 */
#include "tls/ktls_kernel.h"

#include "tls/detached.h"
#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/socket.h>

union crypto_info {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 gcm128;
	struct tls12_crypto_info_aes_gcm_256 gcm256;
	struct tls12_crypto_info_chacha20_poly1305 chacha;
};

static const struct {
	uint16_t type;
	uint8_t size;
} crypto[RECORD_CIPHERS] = {
	[RECORD_AES_128_GCM] = {TLS_CIPHER_AES_GCM_128,
		sizeof(struct tls12_crypto_info_aes_gcm_128)},
	[RECORD_AES_256_GCM] = {TLS_CIPHER_AES_GCM_256,
		sizeof(struct tls12_crypto_info_aes_gcm_256)},
	[RECORD_CHACHA20] = {TLS_CIPHER_CHACHA20_POLY1305,
		sizeof(struct tls12_crypto_info_chacha20_poly1305)},
};

/* TLS 1.2 counts the explicit nonce on by itself; TLS 1.3 has the rest of the IV in its place. */
static void put_gcm(const struct record_key *key, uint8_t *iv, uint8_t *salt, uint8_t *seq)
{
	uint64_t number = htobe64(key->seq), explicit = htobe64(key->explicit_start + key->seq);

	memcpy(salt, key->iv, TLS_CIPHER_AES_GCM_128_SALT_SIZE);
	memcpy(iv,
		key->is_tls13 ? key->iv + TLS_CIPHER_AES_GCM_128_SALT_SIZE
			      : (const uint8_t *)&explicit,
		TLS_CIPHER_AES_GCM_128_IV_SIZE);
	memcpy(seq, &number, sizeof(number));
}

static void put_key(const struct record_key *key, union crypto_info *ret_info)
{
	uint64_t number = htobe64(key->seq);

	*ret_info = (union crypto_info){.info = {key->is_tls13 ? TLS_1_3_VERSION : TLS_1_2_VERSION,
						crypto[key->cipher].type}};
	switch ((enum record_cipher)key->cipher) {
	case RECORD_AES_128_GCM:
		put_gcm(key, ret_info->gcm128.iv, ret_info->gcm128.salt, ret_info->gcm128.rec_seq);
		memcpy(ret_info->gcm128.key, key->key, sizeof(ret_info->gcm128.key));
		break;
	case RECORD_AES_256_GCM:
		put_gcm(key, ret_info->gcm256.iv, ret_info->gcm256.salt, ret_info->gcm256.rec_seq);
		memcpy(ret_info->gcm256.key, key->key, sizeof(ret_info->gcm256.key));
		break;
	default:
		memcpy(ret_info->chacha.iv, key->iv, sizeof(ret_info->chacha.iv));
		memcpy(ret_info->chacha.key, key->key, sizeof(ret_info->chacha.key));
		memcpy(ret_info->chacha.rec_seq, &number, sizeof(number));
		break;
	}
}

static int option_of(enum tls_direction direction)
{
	return direction == TLS_TX ? OPTION_TLS_TX : OPTION_TLS_RX;
}

int ktls_give_key(struct tls_stream *ts, enum tls_direction direction)
{
	struct record_key *key = direction == TLS_TX ? &ts->tx : &ts->rx, ours;
	union crypto_info info;
	int r;

	put_key(key, &info);
	r = setsockopt(ts->base.watch.fd, SOL_TLS, option_of(direction), &info,
		    crypto[key->cipher].size) < 0
		    ? -errno
		    : 0;
	OPENSSL_cleanse(&info, sizeof(info));
	if (r < 0)
		return r;
	ours = *key;
	record_key_clear(&ts->tls->ciphers, &ours); /* from the cipher contexts */
	OPENSSL_cleanse(key->key, sizeof(key->key));
	OPENSSL_cleanse(key->iv, sizeof(key->iv));
	return 0;
}

int ktls_key_seq(const struct tls_stream *ts, uint64_t *ret_seq)
{
	union crypto_info info = {.info = {0}};
	socklen_t len = crypto[ts->tx.cipher].size;
	const uint8_t *seq = ts->tx.cipher == RECORD_AES_128_GCM   ? info.gcm128.rec_seq
			     : ts->tx.cipher == RECORD_AES_256_GCM ? info.gcm256.rec_seq
								   : info.chacha.rec_seq;
	uint64_t number;

	if (getsockopt(ts->base.watch.fd, SOL_TLS, OPTION_TLS_TX, &info, &len) < 0)
		return -errno;
	memcpy(&number, seq, sizeof(number));
	OPENSSL_cleanse(&info, sizeof(info));
	*ret_seq = be64toh(number);
	return 0;
}
