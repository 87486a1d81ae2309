/* Keys in tokens: see token.h. */
#include "tls/token.h"

#include "core/mem.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Under `lock`; made once, and there until the process ends. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *module_path;
static OSSL_LIB_CTX *library;

bool token_is_uri(const char *text)
{
	return !strncmp(text, "pkcs11:", strlen("pkcs11:"));
}

void token_set_module(const char *path)
{
	pthread_mutex_lock(&lock);
	if (!library) {
		free(module_path);
		module_path = path ? mem_strdup(path) : NULL;
	}
	pthread_mutex_unlock(&lock);
}

static int failed(struct err *err, int r, const char *what, const char *uri)
{
	const char *text = NULL; /* the provider's own are in the place of data */
	unsigned long error = ERR_peek_last_error_data(&text, NULL);

	if (error && (!text || !*text))
		text = ERR_reason_error_string(error);

	err_set(err, r, "%s %s%s%s", what, uri, text ? ": " : "", text ? text : "");
	ERR_clear_error();
	return r;
}

/* Its own key material must not be kept by the provider, or a token that is gone would go unnoticed. */
static bool load_providers(OSSL_LIB_CTX *context)
{
	char never[] = "never";
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string("pkcs11-module-cache-keys", never, strlen(never)),
		OSSL_PARAM_END,
		OSSL_PARAM_END,
	};

	if (module_path)
		params[1] = OSSL_PARAM_construct_utf8_string(
			"pkcs11-module-path", module_path, strlen(module_path));
	return OSSL_PROVIDER_load(context, "default") &&
	       OSSL_PROVIDER_load_ex(context, "pkcs11", params) &&
	       EVP_set_default_properties(context, "?provider!=pkcs11");
}

static int refuse_to_ask(UI *ui)
{
	return 0;
}

/* Where it has no PIN (a session that was lost, a key that wants one for each signature) the provider
 * falls back to OpenSSL's default, which would ask on the terminal, and wait. */
static bool locked_silence(void)
{
	static UI_METHOD *nobody;

	if (!nobody)
		nobody = UI_create_method("sluice: nobody to ask");
	if (!nobody || UI_method_set_opener(nobody, refuse_to_ask) < 0)
		return false;
	UI_set_default_method(nobody);
	return true;
}

static int locked_library(struct err *err)
{
	OSSL_LIB_CTX *made;

	if (library)
		return 0;
	made = locked_silence() ? OSSL_LIB_CTX_new() : NULL;
	if (made && load_providers(made)) {
		library = made;
		return 0;
	}
	OSSL_LIB_CTX_free(made);
	return failed(err, -ENOPKG,
		"cannot load OpenSSL's provider pkcs11 (package pkcs11-provider) with the module",
		module_path ? module_path
			    : "of its own configuration (pkcs11.module names another)");
}

static int get_library(OSSL_LIB_CTX **ret_library, struct err *err)
{
	int r;

	pthread_mutex_lock(&lock);
	r = locked_library(err);
	*ret_library = library;
	pthread_mutex_unlock(&lock);
	return r;
}

/* --- the PIN */
struct asking {
	const struct token_pin *pin;
	bool gives, was_asked; /* it says the PIN; somebody wanted it */
};

static int give_pin(UI *ui, UI_STRING *string)
{
	struct asking *asking = UI_get0_user_data(ui);

	if (UI_get_string_type(string) != UIT_PROMPT)
		return 1;
	asking->was_asked = true;
	return asking->gives && *asking->pin->text &&
	       UI_set_result(ui, string, asking->pin->text) == 0;
}

static int say_yes(UI *ui)
{
	return 1;
}

static int say_nothing(UI *ui, UI_STRING *string)
{
	return 1;
}

static UI_METHOD *pin_method(void)
{
	UI_METHOD *method = UI_create_method("sluice");

	if (!method)
		return NULL;
	UI_method_set_opener(method, say_yes);
	UI_method_set_writer(method, say_nothing);
	UI_method_set_reader(method, give_pin);
	UI_method_set_closer(method, say_yes);
	return method;
}

/* --- keys */
static EVP_PKEY *first_key(OSSL_STORE_CTX *store)
{
	OSSL_STORE_INFO *info;
	EVP_PKEY *key = NULL;

	while (!key && !OSSL_STORE_eof(store) && !OSSL_STORE_error(store)) {
		info = OSSL_STORE_load(store);
		if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
			key = OSSL_STORE_INFO_get1_PKEY(info);
		OSSL_STORE_INFO_free(info);
	}
	return key;
}

static EVP_PKEY *open_key(OSSL_LIB_CTX *context, const char *uri, struct asking *asking)
{
	UI_METHOD *method = pin_method();
	OSSL_STORE_CTX *store = NULL;
	EVP_PKEY *key = NULL;

	if (method)
		store = OSSL_STORE_open_ex(
			uri, context, "provider=pkcs11", method, asking, NULL, NULL, NULL);
	if (store && OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY))
		key = first_key(store);
	OSSL_STORE_close(store);
	UI_destroy_method(method);
	return key;
}

/* --- PINs that were refused */
enum { REFUSED_MAX = 64, DIGEST_BYTES = 32 };

/* Of the thread for tokens alone. */
static struct refused {
	uint8_t digest[DIGEST_BYTES]; /* of token and PIN; zeros: none */
	uint64_t identity;
} refused[REFUSED_MAX];
static uint32_t next_refused;

/* Attributes that name the key, not the token: all keys of a token share its PIN. */
static bool is_of_key(const char *attribute)
{
	return !strncmp(attribute, "object=", 7) || !strncmp(attribute, "id=", 3) ||
	       !strncmp(attribute, "type=", 5);
}

static void digest_pin(const char *uri, const char *pin, uint8_t ret_digest[DIGEST_BYTES])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	const char *at = uri + strlen("pkcs11:");
	size_t len;

	if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
		abort();
	for (; *at; at += at[len] ? len + 1 : len) {
		len = strcspn(at, ";?&");
		if (!is_of_key(at) && (EVP_DigestUpdate(context, at, len) != 1 ||
					      EVP_DigestUpdate(context, ";", 1) != 1))
			abort();
	}
	if (EVP_DigestUpdate(context, pin, strlen(pin)) != 1 ||
		EVP_DigestFinal_ex(context, ret_digest, NULL) != 1)
		abort();
	EVP_MD_CTX_free(context);
}

static struct refused *find_refused(const uint8_t *digest)
{
	uint32_t i;

	for (i = 0; i < REFUSED_MAX; i++)
		if (!memcmp(refused[i].digest, digest, DIGEST_BYTES))
			return &refused[i];
	return NULL;
}

static void note_refused(const uint8_t *digest, uint64_t identity)
{
	struct refused *row = find_refused(digest);

	if (!row)
		row = &refused[next_refused++ % REFUSED_MAX];
	memcpy(row->digest, digest, DIGEST_BYTES);
	row->identity = identity;
}

/* With the PIN in it: allocated, wiped by the caller. */
static char *uri_with_pin(const char *uri, const char *pin)
{
	size_t len = strlen(uri), used;
	char *text = mem_alloc(len + strlen("?pin-value=") + 3 * strlen(pin) + 1);

	used = (size_t)sprintf(text, "%s%cpin-value=", uri, strchr(uri, '?') ? '&' : '?');
	for (; *pin; pin++)
		used += (size_t)sprintf(text + used, "%%%02x", (unsigned int)(uint8_t)*pin);
	return text;
}

/*
 * The provider does not say that a token has refused a PIN, but it remembers: it does not use one that
 * stands in a URI again, and asks for another one. A login that failed for other reasons is tried
 * again here.
 */
static EVP_PKEY *open_again(
	OSSL_LIB_CTX *context, const char *uri, const struct token_pin *pin, bool *ret_is_refused)
{
	struct asking asking = {.pin = pin};
	char *text = uri_with_pin(uri, pin->text);
	EVP_PKEY *key = open_key(context, text, &asking);

	OPENSSL_cleanse(text, strlen(text));
	free(text);
	*ret_is_refused = asking.was_asked;
	return key;
}

static int pin_refused(struct err *err, const char *uri)
{
	ERR_clear_error();
	return err_set(err, -EACCES,
		"the token refuses the PIN, which is not tried again before it or its file has "
		"changed: %s",
		uri);
}

static int log_in_and_open(OSSL_LIB_CTX *context, const char *uri, const struct token_pin *pin,
	EVP_PKEY **ret_key, struct err *err)
{
	struct asking asking = {.pin = pin, .gives = true};
	uint8_t digest[DIGEST_BYTES];
	struct refused *row;
	bool is_refused = false;

	digest_pin(uri, pin->text, digest);
	row = find_refused(digest);
	if (row && row->identity == pin->identity)
		return pin_refused(err, uri);
	*ret_key = open_key(context, uri, &asking);
	if (!*ret_key && asking.was_asked && *pin->text)
		*ret_key = open_again(context, uri, pin, &is_refused);
	if (*ret_key) {
		if (row)
			memset(row, 0, sizeof(*row));
		return 0;
	}
	if (!is_refused)
		return failed(err, -ENOKEY,
			asking.was_asked && !*pin->text
				? "the token wants a PIN (key_password_file) for"
				: "no token that is there has the private key:",
			uri);
	note_refused(digest, pin->identity);
	return pin_refused(err, uri);
}

/* --- what it can do */
static bool signs_with(EVP_PKEY *key, const char *hash, int padding)
{
	static const uint8_t some[] = "sluice";
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t signature[1024];
	size_t len = sizeof(signature);
	EVP_PKEY_CTX *how;
	bool is_so = context &&
		     EVP_DigestSignInit_ex(context, &how, hash, NULL, NULL, key, NULL) == 1 &&
		     (!padding || EVP_PKEY_CTX_set_rsa_padding(how, padding) == 1) &&
		     EVP_DigestSign(context, signature, &len, some, sizeof(some)) == 1;

	EVP_MD_CTX_free(context);
	return is_so;
}

/* RSA: as TLS 1.3 wants it, or as older clients do. */
static bool can_sign(EVP_PKEY *key, struct err *ret_warning)
{
	if (EVP_PKEY_is_a(key, "ED25519"))
		return signs_with(key, NULL, 0);
	if (!EVP_PKEY_is_a(key, "RSA"))
		return signs_with(key, "SHA256", 0);
	if (signs_with(key, "SHA256", RSA_PKCS1_PSS_PADDING))
		return true;
	if (!signs_with(key, "SHA256", RSA_PKCS1_PADDING))
		return false;
	err_set(ret_warning, 0, "its token makes no RSA-PSS signatures: TLS 1.3 fails with it");
	return true;
}

int token_open_key(
	const char *uri, const struct token_pin *pin, struct evp_pkey_st **ret_key, struct err *err)
{
	OSSL_LIB_CTX *context;
	EVP_PKEY *key = NULL;
	int r = get_library(&context, err);

	if (r < 0)
		return r;
	ERR_clear_error();
	err->text[0] = '\0';
	r = log_in_and_open(context, uri, pin, &key, err);
	if (r < 0)
		return r;
	if (!can_sign(key, err)) {
		EVP_PKEY_free(key);
		return failed(err, -EIO, "the token does not sign with", uri);
	}
	ERR_clear_error();
	*ret_key = key;
	return 0;
}
