/* Which certificate a client would get of a listener, and why: the rules of certstore_lookup(), told.
 * See views.h. */
#include "control/views_parts.h"

#include "control/admin_request.h"
#include "control/config_policy.h"
#include "core/clock.h"
#include "tls/certstore.h"
#include "tls/policy.h"

#include <stdlib.h>
#include <string.h>

enum { CANDIDATES_MAX = 64, CODES_MAX = 64, SIGALGS_BYTES = 1024 };

/* What is asked. */
struct question {
	char host[CERTSTORE_NAME_MAX + 2], listener[CONFIG_NAME_MAX + 1], sigalgs[SIGALGS_BYTES];
	uint16_t version;
	uint8_t schemes[2 * CODES_MAX];
	size_t n_schemes; /* 0: all of the policy */
};

static void add_code(uint8_t *codes, size_t *n, uint16_t code)
{
	if (*n == CODES_MAX)
		return;
	codes[2 * *n] = (uint8_t)(code >> 8);
	codes[2 * *n + 1] = (uint8_t)code;
	++*n;
}

/* False: nobody knows the name. */
static bool add_scheme(struct question *question, struct slice name)
{
	size_t n, i;
	const struct tls_policy_algorithm *known = tls_policy_algorithms(TLS_POLICY_SCHEMES, &n);

	for (i = 0; i < n; i++)
		if (slice_eq_nocase(name, slice_of(known[i].name))) {
			add_code(question->schemes, &question->n_schemes, known[i].code);
			return true;
		}
	return false;
}

static bool read_sigalgs(struct question *question)
{
	const char *at = question->sigalgs;
	size_t len;

	while (*at) {
		len = strcspn(at, ":,");
		if (!add_scheme(question, (struct slice){at, len}))
			return false;
		at += len + (at[len] != '\0');
	}
	return true;
}

static bool read_version(struct slice query, uint16_t *ret_version)
{
	char text[8];
	int given = admin_query_text(query, "tls", text, sizeof(text));

	*ret_version = given > 0 && strcmp(text, "1.2") == 0 ? TLS_VERSION_1_2 : TLS_VERSION_1_3;
	return given == 0 || (given > 0 && (strcmp(text, "1.2") == 0 || strcmp(text, "1.3") == 0));
}

static bool read_question(struct slice query, struct question *question, struct admin_reply *reply)
{
	if (admin_query_text(query, "host", question->host, sizeof(question->host)) <= 0)
		admin_reply_error(reply, 400, "bad_request", "host is a server name");
	else if (admin_query_text(
			 query, "listener", question->listener, sizeof(question->listener)) < 0)
		admin_reply_error(reply, 400, "bad_request", "listener is a name");
	else if (!read_version(query, &question->version))
		admin_reply_error(reply, 400, "bad_request", "tls is 1.2 or 1.3");
	else if (admin_query_text(query, "sigalgs", question->sigalgs, sizeof(question->sigalgs)) <
			 0 ||
		 !read_sigalgs(question))
		admin_reply_error(reply, 400, "bad_request",
			"sigalgs are signature algorithms as OpenSSL calls them, with : between "
			"them: ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256");
	else
		return true;
	return false;
}

/* --- the answer */

/* A client of this listener; lists that it does not say are those of the policy. */
struct client {
	struct cert_offer offer;
	struct tls_policy policy;
	uint8_t schemes[2 * CODES_MAX], ciphers[2 * CODES_MAX];
};

static size_t codes_of(
	const struct tls_policy *policy, enum tls_policy_list list, uint8_t *ret_codes)
{
	size_t n = 0;

	for (size_t i = 0; i < policy->count[list]; i++)
		add_code(ret_codes, &n, tls_policy_at(policy, list, i)->code);
	return n;
}

static bool make_client(struct client *client, const struct question *question,
	const struct config *config, const struct config_listener *listener)
{
	struct cert_offer *offer = &client->offer;
	struct tls_policy whole;

	if (!config_policy_of_listener(config, listener, &whole))
		return false;
	tls_policy_offered(&whole, &client->policy);
	*offer = (struct cert_offer){
		.policy = &client->policy,
		.security_bits = tls_policy_security_bits(&client->policy),
		.version = question->version,
		.now_unix_s = clock_unix_s(),
		.schemes = question->n_schemes ? question->schemes : client->schemes,
		.ciphers = client->ciphers,
	};
	offer->n_schemes = question->n_schemes
				   ? question->n_schemes
				   : codes_of(&client->policy, TLS_POLICY_SCHEMES, client->schemes);
	offer->n_ciphers = codes_of(&client->policy, TLS_POLICY_CIPHERS, client->ciphers);
	/* Within the policy's versions it is the newest that both have. */
	if (offer->version > client->policy.version_max)
		offer->version = client->policy.version_max;
	return true;
}

/* What `cert` lacks that `best`, which is served, has. */
static const char *why_not(const struct certstore_candidate *candidate,
	const struct certstore_candidate *best, const struct cert_offer *offer)
{
	const struct cert_facts *facts = cert_facts(candidate->cert);
	const struct cert_facts *other = best ? cert_facts(best->cert) : facts;

	if (cert_state(candidate->cert) == CERT_BAD)
		return "passed over: bad, the log says why";
	if (facts->security_bits < offer->security_bits)
		return "passed over: too weak for the listener's security policy";
	if (best && candidate->match != best->match && candidate->match == CERTSTORE_NO_MATCH)
		return "only for names that no certificate has";
	if (certoffer_score(facts, offer) == 0)
		return "the client cannot use its kind of key";
	if (best && candidate->match == CERTSTORE_WILDCARD && best->match == CERTSTORE_EXACT)
		return "an exact name goes before a wildcard";
	if (certoffer_score(facts, offer) == 1 && certoffer_score(other, offer) == 2)
		return "the client may not verify the signature of its CA";
	if (cert_is_expired(candidate->cert, offer->now_unix_s))
		return "expired";
	if (facts->key_kind != other->key_kind)
		return "ECDSA goes before Ed25519, that before RSA";
	if (facts->hash_bits != other->hash_bits)
		return "a stronger hash of the signature goes before";
	if (facts->key_bits != other->key_bits)
		return "a larger key goes before";
	return "the other one is valid longer, or was there first";
}

static const char *why_chosen(
	const struct certstore_candidate *candidate, const struct cert_offer *offer)
{
	if (certoffer_score(cert_facts(candidate->cert), offer) == 0)
		return "served, though this client cannot use it: there is no better one";
	if (cert_is_expired(candidate->cert, offer->now_unix_s))
		return "served, though expired: there is no better one";
	switch (candidate->match) {
	case CERTSTORE_EXACT:
		return "served: it has the very name";
	case CERTSTORE_WILDCARD:
		return "served: its wildcard has the name";
	case CERTSTORE_NO_MATCH:
		break;
	}
	return "served: no certificate has the name, and this is the default";
}

static const char *match_word(enum certstore_match match)
{
	return match == CERTSTORE_EXACT      ? "exact"
	       : match == CERTSTORE_WILDCARD ? "wildcard"
					     : "default";
}

static void put_candidate(const struct certstore_candidate *candidate, size_t rank,
	const struct certstore_candidate *best, const struct cert_offer *offer,
	const struct view_list *list)
{
	struct view row = view_list_object(list);
	struct cert_description texts;

	cert_describe(candidate->cert, &texts);
	view_number(&row, "rank", rank);
	view_text(&row, "name", texts.name);
	view_text(&row, "match", match_word(candidate->match));
	view_text(&row, "key_type", texts.key_type);
	view_signed(&row, "not_after", cert_facts(candidate->cert)->not_after_unix_s);
	view_bool(&row, "chosen", candidate == best);
	view_text(&row, "why",
		candidate == best ? why_chosen(candidate, offer) : why_not(candidate, best, offer));
	cert_description_fini(&texts);
}

/* The one that is served comes first, whatever kind of match it is. */
static void put_candidates(const struct certstore *store, const struct question *question,
	const struct cert_offer *offer, const struct view *row)
{
	struct certstore_candidate list[CANDIDATES_MAX], *best = NULL;
	struct slice host = slice_of(question->host);
	struct cert *chosen = certstore_lookup(store, host, offer);
	size_t i, rank = 1, n = certstore_candidates(store, host, offer, list, CANDIDATES_MAX);
	struct view_list rows;
	char name[CERT_NAME_BYTES];

	for (i = 0; i < n && !best; i++)
		if (list[i].cert == chosen)
			best = &list[i];
	view_text(row, "chosen", chosen ? cert_name(chosen, name) : NULL);
	rows = view_list(row, "candidates");
	if (best)
		put_candidate(best, rank++, best, offer, &rows);
	for (i = 0; i < n; i++)
		if (list[i].cert != chosen)
			put_candidate(&list[i], rank++, best, offer, &rows);
}

static void put_listener(const struct build *build, uint32_t index, const struct question *question,
	const struct view_list *list)
{
	const struct config_listener *config = &build->config->listeners[index];
	struct client client;
	struct view row;

	if (!build->built[index].certs || !make_client(&client, question, build->config, config))
		return;
	row = view_list_object(list);
	view_text(&row, "name", config->name);
	view_text(&row, "policy", client.policy.name);
	put_candidates(build->built[index].certs, question, &client.offer, &row);
}

void view_certificate_choice(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	const struct build *build = ((struct daemon *)arg)->build;
	struct question question = {.version = TLS_VERSION_1_3};
	struct view_list list;
	yyjson_mut_doc *doc;
	struct view root;

	if (!read_question(call->query, &question, reply))
		return;
	doc = admin_doc_new();
	root = (struct view){doc, yyjson_mut_doc_get_root(doc)};
	list = view_list(&root, "listeners");
	for (uint32_t i = 0; i < build->n_listeners; i++)
		if (!question.listener[0] ||
			strcmp(build->config->listeners[i].name, question.listener) == 0)
			put_listener(build, i, &question, &list);
	if (question.listener[0] && yyjson_mut_arr_size(list.list) == 0) {
		yyjson_mut_doc_free(doc);
		admin_reply_error(reply, 404, "not_found", "there is no listener %s with TLS",
			question.listener);
		return;
	}
	admin_reply_finish(reply, 200, doc);
}
