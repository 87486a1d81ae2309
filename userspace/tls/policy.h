/*
 * Security policies: which versions, ciphers, groups and signature algorithms of TLS may be used. A
 * policy is a plain value of a few hundred bytes: copied, owned by nobody. Any thread.
 */
#ifndef SLUICE_TLS_POLICY_H
#define SLUICE_TLS_POLICY_H

#include "core/attr.h"
#include "core/err.h"
#include "core/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tls_version {
	TLS_VERSION_1_0 = 0x0301,
	TLS_VERSION_1_1 = 0x0302,
	TLS_VERSION_1_2 = 0x0303,
	TLS_VERSION_1_3 = 0x0304,
};

/* The lists of a policy, each in order of preference. */
enum tls_policy_list {
	TLS_POLICY_CIPHERS, /* of TLS 1.2 and older */
	TLS_POLICY_SUITES,  /* of TLS 1.3 */
	TLS_POLICY_GROUPS,
	TLS_POLICY_SCHEMES, /* signature algorithms */
	TLS_POLICY_LISTS
};

enum tls_policy_signer { TLS_SIGNER_NONE, TLS_SIGNER_ECDSA, TLS_SIGNER_RSA, TLS_SIGNER_TRANSPORT };

/* What a list can hold: a row of policy_algorithms.def. */
struct tls_policy_algorithm {
	const char *name; /* as OpenSSL has it */
	uint16_t code; /* of TLS */
	uint16_t since; /* first version of TLS */
	uint8_t signer; /* ciphers: enum tls_policy_signer */
};

enum { TLS_POLICY_NAME_BYTES = 64, TLS_POLICY_LIST_MAX = 40, TLS_POLICY_TEXT_BYTES = 1024 };

struct tls_policy {
	char name[TLS_POLICY_NAME_BYTES];
	uint16_t version_min, version_max; /* enum tls_version */
	bool server_preference;            /* our order counts, not the client's ... */
	bool chacha_first; /* ... but a client that wants ChaCha20 first gets it */
	bool wants_fips;   /* the algorithms come from a validated module */
	uint8_t count[TLS_POLICY_LISTS];
	uint8_t item[TLS_POLICY_LISTS][TLS_POLICY_LIST_MAX]; /* numbers of algorithms */
	/* Bit n: a group from the n-th on is only taken if the client has none of those before. */
	uint64_t group_breaks;
};

/* --- rows of policies.def */
struct tls_policy_row {
	const char *name, *aliases; /* aliases: separated by spaces */
	uint16_t version_min, version_max;
	const char *lists[TLS_POLICY_LISTS]; /* separated by ':', groups by '/', too */
	unsigned int flags;
	const char *source;
};

enum { TLS_POLICY_CHACHA_FIRST = 1, TLS_POLICY_FIPS = 2 };

extern const struct tls_policy_row tls_policy_rows[];
extern const size_t tls_policy_n_rows;

/* By name or alias, with or without "ELBSecurityPolicy-". False: there is no such row. */
bool tls_policy_find(struct slice name, struct tls_policy *ret_policy) must_check;
/* Whether both say the same, be it under two names. */
bool tls_policy_eq(const struct tls_policy *a, const struct tls_policy *b);
/* Whether `now` lacks a version or an algorithm that `before` has: a client may depend on it. */
bool tls_policy_is_tighter(const struct tls_policy *before, const struct tls_policy *now);
/* The policy that is used where none is named. */
const struct tls_policy *tls_policy_default(void);

/* --- making one */
const struct tls_policy_algorithm *tls_policy_algorithms(enum tls_policy_list list, size_t *ret_n);
static inline const struct tls_policy_algorithm *tls_policy_at(
	const struct tls_policy *policy, enum tls_policy_list list, size_t index)
{
	size_t n;

	return &tls_policy_algorithms(list, &n)[policy->item[list][index]];
}

/* "cipher", "group": what one item of a list is called. */
const char *tls_policy_list_noun(enum tls_policy_list list);
/* "1.2" */
const char *tls_policy_version_text(uint16_t version);
/* Appends. 0, -ENOENT: nobody knows the name, -EEXIST: it is there already. */
int tls_policy_add(
	struct tls_policy *policy, enum tls_policy_list list, struct slice name) must_check;
/* Only these versions from now on. False: none is left. */
bool tls_policy_narrow(
	struct tls_policy *policy, uint16_t version_min, uint16_t version_max) must_check;
/* Whether some handshake can succeed, with this OpenSSL. 0, or -EINVAL and why not. */
int tls_policy_check(const struct tls_policy *policy, struct err *err) must_check;

/* --- what this OpenSSL can of it */
bool tls_policy_is_available(enum tls_policy_list list, size_t algorithm);
/* The policy without what it cannot, and without versions for which nothing is left. */
void tls_policy_offered(const struct tls_policy *policy, struct tls_policy *ret_offered);
/* So many bits of security certificates must have, and all else that is agreed on: 0 where the policy
 * itself has something that every level of OpenSSL but the lowest refuses. */
uint16_t tls_policy_security_bits(const struct tls_policy *offered);
/* Takes the ciphers with RSA key transport out. Whether there were any. */
bool tls_policy_drop_transport(struct tls_policy *policy);
/* The policy wants a validated module, and there is none. */
bool tls_policy_lacks_fips(const struct tls_policy *policy);
/* Names of what it cannot, separated by ", ", cut when long; their number. */
size_t tls_policy_missing(const struct tls_policy *policy, char *ret_text, size_t bytes);

/* A list as OpenSSL reads it, with ':' and '/'. `ret_text` has TLS_POLICY_TEXT_BYTES. */
void tls_policy_list_text(
	const struct tls_policy *policy, enum tls_policy_list list, char *ret_text);

#endif
