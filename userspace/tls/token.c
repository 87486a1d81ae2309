/* Keys in tokens: see token.h. */
#include "tls/token.h"

#include "core/mem.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <pthread.h>
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

static int failed(struct err *err, const char *what, const char *uri)
{
	const char *text = NULL; /* the provider's own are in the place of data */
	unsigned long error = ERR_peek_last_error_data(&text, NULL);

	if (error && (!text || !*text))
		text = ERR_reason_error_string(error);

	err_set(err, -EINVAL, "%s %s%s%s", what, uri, text ? ": " : "", text ? text : "");
	ERR_clear_error();
	return -EINVAL;
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
	return failed(err,
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
static int give_pin(UI *ui, UI_STRING *string)
{
	const char *pin = UI_get0_user_data(ui);

	if (UI_get_string_type(string) != UIT_PROMPT)
		return 1;
	return pin && UI_set_result(ui, string, pin) == 0;
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

static EVP_PKEY *open_key(OSSL_LIB_CTX *context, const char *uri, const char *pin)
{
	UI_METHOD *method = pin_method();
	OSSL_STORE_CTX *store = NULL;
	EVP_PKEY *key = NULL;

	if (method)
		store = OSSL_STORE_open_ex(
			uri, context, "provider=pkcs11", method, (void *)pin, NULL, NULL, NULL);
	if (store && OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY))
		key = first_key(store);
	OSSL_STORE_close(store);
	UI_destroy_method(method);
	return key;
}

static bool can_sign(EVP_PKEY *key)
{
	static const uint8_t some[] = "sluice";
	const char *hash = EVP_PKEY_is_a(key, "ED25519") ? NULL : "SHA256";
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t signature[1024];
	size_t len = sizeof(signature);
	bool is_so = context &&
		     EVP_DigestSignInit_ex(context, NULL, hash, NULL, NULL, key, NULL) == 1 &&
		     EVP_DigestSign(context, signature, &len, some, sizeof(some)) == 1;

	EVP_MD_CTX_free(context);
	return is_so;
}

int token_open_key(const char *uri, const char *pin, struct evp_pkey_st **ret_key, struct err *err)
{
	OSSL_LIB_CTX *context;
	EVP_PKEY *key;
	int r = get_library(&context, err);

	if (r < 0)
		return r;
	ERR_clear_error();
	key = open_key(context, uri, pin && *pin ? pin : NULL);
	if (!key)
		return failed(err,
			"no token that is there has the private key (or the PIN is wrong):", uri);
	if (!can_sign(key)) {
		EVP_PKEY_free(key);
		return failed(err, "the token does not sign with", uri);
	}
	ERR_clear_error();
	*ret_key = key;
	return 0;
}
