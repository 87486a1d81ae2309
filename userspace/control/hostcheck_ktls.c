/* TLS records in the kernel: which ciphers it takes, and whether it takes a new key for one. Tried
 * with a byte on a connection over loopback for each cipher. */
#include "control/hostcheck_parts.h"
#include "tls/ktls.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/tcp.h>
#include <string.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

enum { CIPHERS_TEXT_BYTES = 160 };

/* Big enough for any of them; all begin with `info`, and a key of zeroes does for this. */
union crypto {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 aes_gcm_128;
	struct tls12_crypto_info_aes_gcm_256 aes_gcm_256;
	struct tls12_crypto_info_chacha20_poly1305 chacha20_poly1305;
};

static const struct {
	const char *name;
	uint16_t type;
	socklen_t bytes;
} ciphers[] = {
	{"AES-128-GCM", TLS_CIPHER_AES_GCM_128, sizeof(struct tls12_crypto_info_aes_gcm_128)},
	{"AES-256-GCM", TLS_CIPHER_AES_GCM_256, sizeof(struct tls12_crypto_info_aes_gcm_256)},
	{"ChaCha20-Poly1305", TLS_CIPHER_CHACHA20_POLY1305,
		sizeof(struct tls12_crypto_info_chacha20_poly1305)},
};

static int set_key(int fd, int direction, size_t cipher)
{
	union crypto crypto = {
		.info = {.version = TLS_1_3_VERSION, .cipher_type = ciphers[cipher].type}};

	return setsockopt(fd, SOL_TLS, direction, &crypto, ciphers[cipher].bytes) < 0 ? -errno : 0;
}

static int set_ulp(int fd)
{
	return setsockopt(fd, SOL_TCP, TCP_ULP, "tls", sizeof("tls")) < 0 ? -errno : 0;
}

/* A byte from one end to the other as a record. 0 or -errno. */
static int try_byte(const struct hostcheck_probe *probe)
{
	struct timeval patience = {.tv_sec = 2};
	char byte = 0;

	if (setsockopt(probe->server, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
		send(probe->client, "x", 1, MSG_NOSIGNAL) != 1 ||
		recv(probe->server, &byte, 1, 0) != 1)
		return -errno;
	return byte == 'x' ? 0 : -EBADMSG;
}

static int try_cipher(size_t cipher, int *ret_rekey)
{
	struct hostcheck_probe probe;
	int r = hostcheck_probe_open(&probe);

	if (r == 0)
		r = set_ulp(probe.client);
	if (r == 0)
		r = set_ulp(probe.server);
	if (r == 0)
		r = set_key(probe.client, TLS_TX, cipher);
	if (r == 0)
		r = set_key(probe.server, TLS_RX, cipher);
	if (r == 0)
		r = try_byte(&probe);
	if (r == 0)
		*ret_rekey = set_key(probe.client, TLS_TX, cipher);
	hostcheck_probe_close(&probe);
	return r;
}

static void add_word(char text[static CIPHERS_TEXT_BYTES], const char *word, int code)
{
	size_t len = strlen(text);

	snprintf(text + len, CIPHERS_TEXT_BYTES - len, "%s%s%s%s%s", len ? ", " : "", word,
		code ? " (" : "", code ? strerror(-code) : "", code ? ")" : "");
}

void hostcheck_ktls(struct hostcheck *check)
{
	char good[CIPHERS_TEXT_BYTES] = "", bad[CIPHERS_TEXT_BYTES] = "";
	int rekey = -EOPNOTSUPP, code;
	size_t i;

	if (!ktls_kernel_exists()) {
		hostcheck_row(check, "ktls", false,
			"not in this kernel (module tls): records are made in user space");
		return;
	}
	for (i = 0; i < array_len(ciphers); i++) {
		code = try_cipher(i, &rekey);
		add_word(code ? bad : good, ciphers[i].name, code);
	}
	if (!*good) {
		hostcheck_row(check, "ktls", false,
			"no cipher works: %s: records are made in user space", bad);
		return;
	}
	hostcheck_row(check, "ktls", !*bad, "TX and RX: %s%s%s%s", good, *bad ? "; not " : "", bad,
		*bad ? ": records of these are made in user space" : "");
	if (rekey == 0)
		hostcheck_row(check, "ktls_rekey", true,
			"connections whose keys change (KeyUpdate) stay in the kernel");
	else
		hostcheck_row(check, "ktls_rekey", false,
			"%s: a connection in the kernel whose keys change (KeyUpdate) is closed "
			"(Linux 6.14 and later can go on)",
			strerror(-rekey));
}
