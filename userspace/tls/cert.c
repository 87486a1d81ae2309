/* Certificates as objects: see cert.h. */
#include "tls/cert_parts.h"

#include "core/mem.h"
#include "tls/certstore.h"
#include "tls/staple.h"
#include "tls/vault.h"
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- sources */
struct cert_source *cert_source_new(
	const char *name, const char *directory, const char *password_path)
{
	struct key_password_source password = {.path = password_path};

	return cert_source_new_of(name, directory, &password);
}

struct cert_source *cert_source_new_of(
	const char *name, const char *directory, const struct key_password_source *password)
{
	struct cert_source *source = mem_zalloc(sizeof(*source));

	atomic_init(&source->refs, 1);
	source->name = mem_strdup(name);
	source->directory = directory ? mem_strdup(directory) : NULL;
	key_password_source_copy(password, &source->password);
	return source;
}

struct cert_source *cert_source_get(struct cert_source *source)
{
	atomic_fetch_add_explicit(&source->refs, 1, memory_order_relaxed);
	return source;
}

void cert_source_put(struct cert_source *source)
{
	if (atomic_fetch_sub_explicit(&source->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(source->name);
	free(source->directory);
	key_password_source_fini(&source->password);
	free(source);
}

char *cert_source_path(const struct cert_source *source, struct slice file)
{
	return source->directory ? mem_printf("%s/%.*s", source->directory, (int)file.len, file.ptr)
				 : mem_strndup(file.ptr, file.len);
}

/* --- records */
static size_t payload_bytes(const struct cert_record *record)
{
	return (size_t)record->names_len + record->cert_file_len + record->key_file_len +
	       record->leaf_len + record->key_len;
}

size_t cert_record_bytes(const struct cert_record *record)
{
	return sizeof(*record) + payload_bytes(record);
}

static bool are_names_sound(const struct cert_record *record)
{
	uint32_t at = 0, n = 0;

	for (; at < record->names_len; at += 1u + record->bytes[at], n++)
		if (!record->bytes[at] || record->bytes[at] > CERTSTORE_NAME_MAX + 2)
			return false;
	return at == record->names_len && n == record->facts.n_names;
}

/* Of a bool that comes from outside. */
static bool is_bool(const bool *value)
{
	return *(const uint8_t *)value <= 1;
}

bool cert_record_is_sound(const struct cert_record *record, size_t len)
{
	return len >= sizeof(*record) && record->names_len <= CERT_NAMES_BYTES_MAX &&
	       record->leaf_len && record->key_len && record->cert_file_len &&
	       record->key_file_len && record->cert_file_len <= CERT_FILE_BYTES_MAX &&
	       record->key_file_len <= CERT_FILE_BYTES_MAX && cert_record_bytes(record) == len &&
	       record->facts.key_kind < KEY_KINDS && is_bool(&record->facts.is_self_signed) &&
	       is_bool(&record->facts.must_staple) && is_bool(&record->facts.is_in_token) &&
	       is_bool(&record->is_key_plain) && is_bool(&record->is_key_volatile) &&
	       key_der_is_token(cert_record_key(record), record->key_len) ==
		       record->facts.is_in_token &&
	       are_names_sound(record);
}

static size_t bytes_with(size_t payload)
{
	return offsetof(struct cert, record) + sizeof(struct cert_record) + payload;
}

size_t cert_bytes(const struct cert *cert)
{
	return bytes_with(payload_bytes(&cert->record));
}

static struct cert *alloc(struct cert_source *source, size_t payload)
{
	static atomic_uint last_number;
	struct cert *cert = vault_alloc(bytes_with(payload));

	memset(cert, 0, bytes_with(0));
	atomic_init(&cert->refs, 1);
	cert->number = atomic_fetch_add(&last_number, 1);
	cert->source = cert_source_get(source);
	return cert;
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t len)
{
	if (len)
		memcpy(at, bytes, len);
	return at + len;
}

struct cert *cert_new(struct cert_source *source, const struct cert_content *content)
{
	struct cert_record record = {
		.facts = content->facts,
		.identity = content->identity,
		.key_identity = content->key_identity,
		.names_len = content->names_len,
		.leaf_len = content->leaf_len,
		.key_len = content->key_len,
		.cert_file_len = (uint16_t)strlen(content->cert_file),
		.key_file_len = (uint16_t)strlen(content->key_file),
		.is_key_plain = content->is_key_plain,
		.is_key_volatile = content->is_key_volatile,
	};
	struct cert *cert = alloc(source, payload_bytes(&record));
	uint8_t *at = cert->record.bytes;

	cert->chain = content->chain;
	record.facts.is_in_token = key_der_is_token(content->key, content->key_len);
	memcpy(&cert->record, &record, sizeof(record));
	at = put(at, content->names, content->names_len);
	at = put(at, content->cert_file, record.cert_file_len);
	at = put(at, content->key_file, record.key_file_len);
	at = put(at, content->leaf, content->leaf_len);
	put(at, content->key, content->key_len);
	return cert;
}

struct cert *cert_new_of_record(struct cert_source *source, const struct cert_record *record,
	struct certchain *chain, enum cert_state state)
{
	struct cert *cert = alloc(source, payload_bytes(record));

	cert->chain = chain;
	atomic_init(&cert->state, (uint8_t)state);
	memcpy(&cert->record, record, cert_record_bytes(record));
	return cert;
}

struct cert *cert_get(struct cert *cert)
{
	atomic_fetch_add_explicit(&cert->refs, 1, memory_order_relaxed);
	return cert;
}

void cert_put(struct cert *cert)
{
	if (atomic_fetch_sub_explicit(&cert->refs, 1, memory_order_acq_rel) != 1)
		return;
	cert_token_fini(cert);
	staple_put(atomic_load(&cert->staple));
	certchain_put(cert->chain);
	cert_source_put(cert->source);
	vault_free(cert, cert_bytes(cert));
}

/* --- what is in it */
const struct cert_facts *cert_facts(const struct cert *cert)
{
	return &cert->record.facts;
}

enum cert_state cert_state(const struct cert *cert)
{
	return (enum cert_state)atomic_load_explicit(&cert->state, memory_order_relaxed);
}

bool cert_is_news(struct cert *cert)
{
	return !atomic_exchange_explicit(&cert->was_told, true, memory_order_relaxed);
}

bool cert_is_in_token(const struct cert *cert)
{
	return cert->record.facts.is_in_token;
}

const struct cert_source *cert_source(const struct cert *cert)
{
	return cert->source;
}

struct slice cert_file(const struct cert *cert)
{
	const struct cert_record *record = &cert->record;

	return (struct slice){
		(const char *)record->bytes + record->names_len, record->cert_file_len};
}

struct slice cert_key_file(const struct cert *cert)
{
	struct slice before = cert_file(cert);

	return (struct slice){before.ptr + before.len, cert->record.key_file_len};
}

uint64_t cert_identity(const struct cert *cert)
{
	return cert->record.identity;
}

uint64_t cert_key_identity(const struct cert *cert)
{
	return cert->record.key_identity;
}

void cert_fingerprint(const struct cert *cert, uint8_t *ret_fingerprint)
{
	SHA256(cert_record_leaf(&cert->record), cert->record.leaf_len, ret_fingerprint);
}

const struct staple *cert_staple(const struct cert *cert)
{
	return atomic_load_explicit(&cert->staple, memory_order_acquire);
}

struct staple *cert_staple_exchange(struct cert *cert, struct staple *staple)
{
	return atomic_exchange_explicit(&cert->staple, staple, memory_order_acq_rel);
}

/* "eu/a.example.crt" is "eu/a.example". */
static size_t stem_len(struct slice file)
{
	const char *dot = memrchr(file.ptr, '.', file.len);

	return dot ? (size_t)(dot - file.ptr) : file.len;
}

const char *cert_name(const struct cert *cert, char *buf)
{
	struct slice file = cert_file(cert);

	if (cert->source->directory)
		snprintf(buf, CERT_NAME_BYTES, "%s/%.*s", cert->source->name, (int)stem_len(file),
			file.ptr);
	else
		snprintf(buf, CERT_NAME_BYTES, "%s", cert->source->name);
	return buf;
}

bool cert_next_name(const struct cert *cert, uint32_t *cursor, struct slice *ret_name)
{
	const uint8_t *at = cert->record.bytes + *cursor;

	if (*cursor >= cert->record.names_len)
		return false;
	*ret_name = (struct slice){(const char *)at + 1, *at};
	*cursor += 1u + *at;
	return true;
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static unsigned int kind_rank(enum key_kind kind)
{
	static const unsigned int ranks[KEY_KINDS] = {
		[KEY_ECDSA] = 0, [KEY_ED25519] = 1, [KEY_RSA] = 2};

	return ranks[kind];
}

bool cert_is_better(const struct cert *a, const struct cert *b)
{
	const struct cert_facts *x = cert_facts(a), *y = cert_facts(b);
	int order = compare_u64(kind_rank(x->key_kind), kind_rank(y->key_kind));

	if (!order)
		order = compare_u64(y->hash_bits, x->hash_bits);
	if (!order)
		order = compare_u64(y->key_bits, x->key_bits);
	if (!order)
		order = compare_u64((uint64_t)y->not_after_unix_s, (uint64_t)x->not_after_unix_s);
	return order ? order < 0 : a->number < b->number;
}

bool cert_is_expired(const struct cert *cert, int64_t now_unix_s)
{
	return now_unix_s > cert->record.facts.not_after_unix_s;
}

bool cert_is_not_yet_valid(const struct cert *cert, int64_t now_unix_s)
{
	return now_unix_s < cert->record.facts.not_before_unix_s;
}

const char *cert_date_text(int64_t at_unix_s, char *ret_text)
{
	time_t at = (time_t)at_unix_s;
	struct tm tm;

	if (!gmtime_r(&at, &tm) || !strftime(ret_text, CERT_DATE_BYTES, "%Y-%m-%d %H:%M UTC", &tm))
		snprintf(ret_text, CERT_DATE_BYTES, "(unreadable)");
	return ret_text;
}

bool cert_warning(const struct cert *cert, int64_t now_unix_s, struct err *ret_text)
{
	const struct cert_facts *facts = cert_facts(cert);
	char date[CERT_DATE_BYTES], name[CERT_NAME_BYTES];
	char *path = NULL;
	bool is_expired = cert_is_expired(cert, now_unix_s);

	if (!is_expired && !cert_is_not_yet_valid(cert, now_unix_s) && facts->n_names)
		return false;
	path = cert_source_path(cert->source, cert_file(cert));
	cert_name(cert, name);
	if (is_expired)
		err_set(ret_text, 0, "certificate %s (%s) expired on %s: renew it", name, path,
			cert_date_text(facts->not_after_unix_s, date));
	else if (cert_is_not_yet_valid(cert, now_unix_s))
		err_set(ret_text, 0, "certificate %s (%s) is not valid before %s", name, path,
			cert_date_text(facts->not_before_unix_s, date));
	else
		err_set(ret_text, 0,
			"certificate %s (%s) has no DNS name: it is served as a default only", name,
			path);
	free(path);
	return true;
}
