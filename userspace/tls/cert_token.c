/* Certificates whose keys are in tokens: see cert_token.h. State and key change together. */
#define LOG_MODULE "certificates"
#include "tls/cert_parts.h"

#include "core/log.h"
#include "core/mem.h"
#include "tls/token.h"
#include "tls/token_thread.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Of all certificates' open keys and their states; nobody waits for anything under it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void locked_state(struct cert *cert, enum cert_state state)
{
	atomic_store_explicit(&cert->state, (uint8_t)state, memory_order_relaxed);
}

bool cert_token_has(const struct cert *cert, const struct key *key)
{
	return !cert_is_in_token(cert) ||
	       atomic_load_explicit(&cert->open_key, memory_order_relaxed) == key;
}

struct key *cert_token_key(struct cert *cert)
{
	struct key *key;

	pthread_mutex_lock(&lock);
	key = atomic_load_explicit(&cert->open_key, memory_order_relaxed);
	if (key)
		key_get(key);
	else
		locked_state(cert, CERT_BAD);
	pthread_mutex_unlock(&lock);
	return key;
}

/* `key` (NULL: none) is taken over. */
static void set_key(struct cert *cert, struct key *key)
{
	struct key *old;

	pthread_mutex_lock(&lock);
	old = atomic_exchange_explicit(&cert->open_key, key, memory_order_relaxed);
	locked_state(cert, key ? CERT_GOOD : CERT_BAD);
	pthread_mutex_unlock(&lock);
	key_put(old);
}

bool cert_token_failed(struct cert *cert, const struct evp_pkey_st *used)
{
	struct key *key;
	bool is_it;

	pthread_mutex_lock(&lock);
	key = atomic_load_explicit(&cert->open_key, memory_order_relaxed);
	is_it = key && key_is(key, used);
	if (is_it) {
		atomic_store_explicit(&cert->open_key, NULL, memory_order_relaxed);
		locked_state(cert, CERT_BAD);
	}
	pthread_mutex_unlock(&lock);
	if (is_it)
		key_put(key);
	return is_it;
}

void cert_token_fini(struct cert *cert)
{
	key_put(atomic_load_explicit(&cert->open_key, memory_order_acquire));
}

bool cert_is_token_away(int error)
{
	return error == -ENOKEY || error == -EACCES || error == -EIO || error == -ENOPKG ||
	       error == -ETIMEDOUT;
}

/* --- opening */
struct opening {
	struct token_task task;
	struct cert *cert; /* counted */
	int result;
	struct err err;
};

/* The last time it is looked at with its leaf: nobody else asks whether they belong together. */
static int check(struct cert *cert, const struct key *key, struct err *err)
{
	const uint8_t *der = cert_record_leaf(&cert->record);
	X509 *leaf = d2i_X509(NULL, &der, cert->record.leaf_len);
	int r = leaf ? cert_check_key(cert, key, leaf, err)
		     : err_set(err, -EINVAL, "the certificate is damaged");

	X509_free(leaf);
	return r;
}

static int open_key(struct cert *cert, struct err *err)
{
	char *path = cert_source_path(cert->source, cert_key_file(cert));
	struct key *key = NULL;
	int r = key_open(
		cert_record_key(&cert->record), cert->record.key_identity, path, &key, err);

	free(path);
	if (r == 0)
		r = check(cert, key, err);
	if (r < 0) {
		key_put(key);
		key = NULL;
	}
	set_key(cert, key);
	return r;
}

static void warn(struct cert *cert, const struct err *err)
{
	char name[CERT_NAME_BYTES];

	if (*err->text)
		log_warn("certificate %s: %s", cert_name(cert, name), err->text);
}

static void tell(struct token_task *task)
{
	const struct opening *opening = container_of(task, struct opening, task);
	struct cert *cert = opening->cert;
	char name[CERT_NAME_BYTES];

	if (opening->result == 0) {
		log_info("certificate %s is served again: its token signs", cert_name(cert, name));
		warn(cert, &opening->err);
	} else if (cert_is_news(cert) || opening->result != cert->token_result) {
		log_error("certificate %s is served to nobody until its token signs: %s",
			cert_name(cert, name), opening->err.text);
	}
	cert->token_result = (int16_t)opening->result;
}

static void run(struct token_task *task)
{
	struct opening *opening = container_of(task, struct opening, task);
	struct cert *cert = opening->cert;

	opening->result = open_key(cert, &opening->err);
	if (opening->result == 0)
		atomic_store_explicit(&cert->was_told, false, memory_order_relaxed);
	if (task->tell)
		atomic_store_explicit(&cert->is_asking, false, memory_order_release);
}

static void end(struct token_task *task)
{
	struct opening *opening = container_of(task, struct opening, task);

	cert_put(opening->cert);
	free(opening);
}

static struct opening *opening_new(struct cert *cert, bool is_waited_for)
{
	struct opening *opening = mem_zalloc(sizeof(*opening));

	opening->task =
		(struct token_task){.run = run, .tell = is_waited_for ? NULL : tell, .end = end};
	opening->cert = cert_get(cert);
	return opening;
}

int cert_token_open(struct cert *cert, struct err *err)
{
	struct opening *opening = opening_new(cert, true);
	int r = token_thread_do(&opening->task);

	if (r == -ETIMEDOUT)
		err_set(err, r, "the token has not answered for %d seconds",
			TOKEN_ANSWER_MS / 1000);
	else if (r < 0)
		err_set(err, r, "the token cannot be asked: %s", strerror(-r));
	if (r < 0)
		return r;
	r = opening->result;
	if (r < 0)
		*err = opening->err;
	else
		warn(cert, &opening->err);
	token_thread_end(&opening->task);
	return r;
}

void cert_token_ask(struct cert *cert)
{
	struct opening *opening;

	if (atomic_exchange_explicit(&cert->is_asking, true, memory_order_acquire))
		return;
	opening = opening_new(cert, false);
	if (token_thread_begin(&opening->task) == 0)
		return;
	end(&opening->task);
	atomic_store_explicit(&cert->is_asking, false, memory_order_relaxed);
}
