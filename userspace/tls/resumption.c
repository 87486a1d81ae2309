/* Sessions that clients had: see resumption.h. */
#include "tls/resumption.h"

#include "core/clock.h"
#include "tls/cert.h"
#include "tls/client_auth.h"
#include "tls/context.h"
#include "tls/stream_state.h"
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

/* In the ticket, for any node that has the keys: little endian, as all hosts of ours are. */
struct ticket_facts {
	uint8_t version;
	uint8_t pad[7];
	int64_t since_unix_s; /* the full handshake */
	int64_t until_unix_s; /* the first end of the certificates that the client showed */
	uint64_t names; /* of the certificate it was shown: cert_names_id() */
};

_Static_assert(sizeof(struct ticket_facts) == 32, "it is the same on every node");

enum { TICKET_VERSION = 1 };

static int64_t unix_s(const ASN1_TIME *time)
{
	struct tm tm;

	return ASN1_TIME_to_tm(time, &tm) ? (int64_t)timegm(&tm) : 0;
}

/* The client's own certificate does not count where its expiry is ignored. */
static int64_t chain_end(const struct client_auth *auth, const SSL *ssl)
{
	const STACK_OF(X509) *chain =
		client_auth_verifies(auth) ? SSL_get0_verified_chain(ssl) : NULL;
	int64_t end = INT64_MAX, ends;
	int i;

	for (i = auth->spec.ignore_expiry; chain && i < sk_X509_num(chain); i++) {
		ends = unix_s(X509_get0_notAfter(sk_X509_value(chain, i)));
		end = ends < end ? ends : end;
	}
	return end;
}

/* A ticket is about to be made; a session that goes on keeps what it has. */
static int note_facts(SSL *ssl, void *arg)
{
	const struct resumption *resumption = arg;
	struct tls_stream *ts = tls_bio_stream(ssl);
	struct ticket_facts facts = {
		.version = TICKET_VERSION,
		.since_unix_s = clock_unix_s(),
		.until_unix_s = chain_end(resumption->auth, ssl),
		.names = cert_names_id(ts->cert),
	};

	if (SSL_session_reused(ssl))
		return 1;
	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &facts, sizeof(facts));
}

static bool is_still_good(
	const struct resumption *resumption, const struct tls_stream *ts, SSL_SESSION *session)
{
	int64_t now_unix_s = clock_unix_s();
	struct ticket_facts facts;
	void *bytes;
	size_t len;

	if (!SSL_SESSION_get0_ticket_appdata(session, &bytes, &len) || len != sizeof(facts))
		return false;
	memcpy(&facts, bytes, sizeof(facts));
	return facts.version == TICKET_VERSION && now_unix_s < facts.until_unix_s &&
	       now_unix_s - facts.since_unix_s < resumption->age_max_s &&
	       facts.names == cert_names_id(ts->cert) &&
	       client_auth_may_resume(resumption->auth, session);
}

static SSL_TICKET_RETURN judge_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
	size_t name_len, SSL_TICKET_STATUS status, void *arg)
{
	struct tls_stream *ts = tls_bio_stream(ssl);

	switch (status) {
	case SSL_TICKET_NONE:
	case SSL_TICKET_EMPTY:
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	case SSL_TICKET_NO_DECRYPT:
		ts->ticket_shown = true;
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	case SSL_TICKET_SUCCESS:
	case SSL_TICKET_SUCCESS_RENEW:
		break;
	default:
		return SSL_TICKET_RETURN_ABORT;
	}
	ts->ticket_shown = true;
	if (!is_still_good(arg, ts, session))
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

int resumption_init(struct resumption *resumption, SSL_CTX *ctx, struct err *err)
{
	if (!SSL_CTX_set_session_ticket_cb(ctx, note_facts, judge_ticket, resumption))
		return tls_context_failed(err, "cannot set up session tickets");
	return 0;
}
