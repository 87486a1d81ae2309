/* The verdict on a first flight: see judge.h. */
#include "gate/judge.h"
#include "gate/ja4_list.h"
#include "net/proxyproto.h"
#include "tls/server.h"

#include <errno.h>
#include <string.h>

enum {
	RECORD_HANDSHAKE = 22,
	MESSAGE_HEADER_BYTES = 4,
	V4_PREFIX_BYTES = 3, /* /24 */
	V6_SOURCE_BYTES = 8, /* /64: one site's host or many, as it likes */
	V6_PREFIX_BYTES = 7, /* /56 */
};

/* What the stages hand on. */
struct flight {
	const struct gate_policy *policy;
	struct gate_limits *limits;
	uint64_t now_us;
	struct gate_judgement *judgement;
	/* Key of the name's limit: the listener's name for it ("*.example.com" for all that is below),
	 * so that nobody gets more by inventing names. Empty for unknown names, and for none. */
	struct slice known_name;
	char name_buffer[GATE_LIMIT_KEY_BYTES_MAX];
};

/* --- PROXY header: 0 when it is over, be it that there is none */
static int take_proxy_header(struct flight *flight, const void *bytes, size_t len)
{
	struct gate_judgement *judgement = flight->judgement;
	enum gate_proxy_in wanted = flight->policy->spec.proxy_in;
	struct proxyproto header;
	int r;

	if (wanted == GATE_PROXY_OFF)
		return 0;
	r = proxyproto_parse(bytes, len, &header, NULL);
	if (r == -EAGAIN)
		return r;
	if (r == -ENOMSG) {
		if (wanted == GATE_PROXY_REQUIRE)
			judgement->reason = GATE_proxy_header_missing;
		return 0;
	}
	if (r < 0) {
		judgement->reason = GATE_proxy_header_bad;
		return 0;
	}
	judgement->proxy_bytes = (size_t)r;
	if (header.has_addrs) {
		judgement->client = header.src;
		judgement->local = header.dst;
		addr_unmap(&judgement->client);
		addr_unmap(&judgement->local);
	}
	return 0;
}

/* --- ClientHello */
static enum gate_reason reason_of_fault(enum clienthello_fault fault)
{
	switch (fault) {
	case CLIENTHELLO_not_tls:
	case CLIENTHELLO_plain_http:
	case CLIENTHELLO_sslv2:
		return GATE_not_tls;
	default:
		return GATE_hello_malformed;
	}
}

static int take_hello(
	struct gate_judgement *judgement, const void *bytes, size_t len, void *scratch)
{
	int r = clienthello_parse(bytes, len, scratch, &judgement->hello, &judgement->fault);

	if (r == -EAGAIN)
		return r;
	if (r < 0) {
		judgement->reason = reason_of_fault(judgement->fault);
		return 0;
	}
	judgement->has_hello = true;
	ja4_compute(&judgement->hello, 't', judgement->ja4);
	return 0;
}

/* --- what the hello asks for; GATE_released: nothing against it */
static enum gate_reason judge_version(const struct flight *flight)
{
	const struct gate_policy_spec *spec = &flight->policy->spec;
	uint16_t version;

	if (!spec->version_max)
		return GATE_released;
	for (version = spec->version_max; version >= spec->version_min && version; version--)
		if (clienthello_offers_version(&flight->judgement->hello, version))
			return GATE_released;
	return GATE_version_refused;
}

static enum gate_name_kind match_name(const struct gate_policy *policy, struct slice name)
{
	uint32_t value;

	if (!policy->spec.tls)
		return gate_names_match(policy->names, name, &value);
	switch (tls_server_match_name(policy->spec.tls, name)) {
	case TLS_NAME_EXACT:
		return GATE_NAME_EXACT;
	case TLS_NAME_WILDCARD:
		return GATE_NAME_WILDCARD;
	case TLS_NAME_UNKNOWN:
		break;
	}
	return GATE_NAME_UNKNOWN;
}

/* "a.b.example.com" as "*.b.example.com". */
static struct slice wildcard_of(struct slice name, char *buffer)
{
	const char *dot = memchr(name.ptr, '.', name.len);
	size_t rest = name.len - (size_t)(dot - name.ptr);

	memmove(buffer + 1, dot, rest);
	buffer[0] = '*';
	return (struct slice){buffer, rest + 1};
}

static enum gate_reason judge_name(struct flight *flight)
{
	const struct gate_policy_spec *spec = &flight->policy->spec;
	struct slice name = flight->judgement->hello.server_name;
	enum gate_name_kind kind;

	if (!name.len)
		return spec->refuse_missing_name ? GATE_name_missing : GATE_released;
	kind = match_name(flight->policy, name);
	if (kind == GATE_NAME_UNKNOWN)
		return spec->refuse_unknown_name ? GATE_name_unknown : GATE_released;
	if (!spec->per_name.rate_per_s ||
		!gate_name_normalise(name, flight->name_buffer, &flight->known_name))
		return GATE_released;
	if (kind == GATE_NAME_WILDCARD)
		flight->known_name = wildcard_of(flight->known_name, flight->name_buffer);
	return GATE_released;
}

static enum gate_reason judge_alpn(const struct flight *flight)
{
	const struct gate_policy_spec *spec = &flight->policy->spec;
	const struct clienthello *hello = &flight->judgement->hello;
	size_t i;

	if (!spec->n_alpn || !hello->alpn.len)
		return GATE_released;
	for (i = 0; i < spec->n_alpn; i++)
		if (clienthello_offers_alpn(hello, slice_of(spec->alpn[i])))
			return GATE_released;
	return GATE_alpn_refused;
}

static enum gate_reason judge_ja4(const struct flight *flight)
{
	const struct gate_policy *policy = flight->policy;
	const char *ja4 = flight->judgement->ja4;

	if (policy->ja4_deny && gate_ja4_list_has(policy->ja4_deny, ja4))
		return GATE_ja4_denied;
	if (policy->ja4_allow && !gate_ja4_list_has(policy->ja4_allow, ja4))
		return GATE_ja4_not_allowed;
	return GATE_released;
}

/* --- limits */
static bool charge(const struct flight *flight, const struct gate_limit *limit,
	enum gate_limit_kind kind, struct slice key)
{
	return gate_limits_charge(flight->limits, limit, kind, flight->policy->spec.listener_id,
		key.ptr, key.len, flight->now_us);
}

/* An IPv4 and an IPv6 key differ in length. */
static struct slice address_key(const union addr *addr, size_t v4_bytes, size_t v6_bytes)
{
	if (addr->any.sa_family == AF_INET6)
		return (struct slice){(const char *)&addr->v6.sin6_addr, v6_bytes};
	return (struct slice){(const char *)&addr->v4.sin_addr, v4_bytes};
}

/* The narrow ones first and the listener's last: who is over a limit of its own must not spend the
 * budget of others. */
static enum gate_reason judge_limits(const struct flight *flight)
{
	const struct gate_policy_spec *spec = &flight->policy->spec;
	union addr client = flight->judgement->client;

	if (!flight->limits)
		return GATE_released;
	addr_unmap(&client);
	if (!charge(flight, &spec->per_source, GATE_LIMIT_SOURCE,
		    address_key(&client, sizeof(client.v4.sin_addr), V6_SOURCE_BYTES)))
		return GATE_source_handshake_limit;
	if (!charge(flight, &spec->per_prefix, GATE_LIMIT_PREFIX,
		    address_key(&client, V4_PREFIX_BYTES, V6_PREFIX_BYTES)))
		return GATE_prefix_handshake_limit;
	if (!charge(flight, &spec->per_ja4, GATE_LIMIT_JA4, slice_of(flight->judgement->ja4)))
		return GATE_ja4_handshake_limit;
	if (!charge(flight, &spec->per_name, GATE_LIMIT_NAME, flight->known_name))
		return GATE_name_handshake_limit;
	if (!charge(flight, &spec->per_listener, GATE_LIMIT_LISTENER, SLICE("")))
		return GATE_listener_handshake_limit;
	return GATE_released;
}

static enum gate_reason judge_hello(struct flight *flight)
{
	enum gate_reason reason = judge_version(flight);

	if (reason == GATE_released)
		reason = judge_name(flight);
	if (reason == GATE_released)
		reason = judge_alpn(flight);
	if (reason == GATE_released)
		reason = judge_ja4(flight);
	if (reason != GATE_released)
		return reason;
	reason = judge_limits(flight);
	if (reason == GATE_released || !flight->policy->spec.dry_run)
		return reason;
	flight->judgement->would_be = reason;
	return GATE_released;
}

int gate_judge(const struct gate_policy *policy, struct gate_limits *limits,
	const union addr *client, const void *bytes, size_t len, void *scratch, uint64_t now_us,
	struct gate_judgement *ret)
{
	struct flight flight;
	int r;

	flight.policy = policy;
	flight.limits = limits;
	flight.now_us = now_us;
	flight.judgement = ret;
	flight.known_name = SLICE("");
	*ret = (struct gate_judgement){
		.reason = GATE_released,
		.would_be = GATE_released,
		.client = *client,
	};
	r = take_proxy_header(&flight, bytes, len);
	if (r < 0 || ret->reason != GATE_released)
		return r;
	r = take_hello(
		ret, (const uint8_t *)bytes + ret->proxy_bytes, len - ret->proxy_bytes, scratch);
	if (r < 0 || !ret->has_hello)
		return r;
	ret->reason = judge_hello(&flight);
	return 0;
}

/* What the message lacks, from the first byte of the stream's hello; each of its bytes takes at
 * least one of the stream. */
static size_t hello_lacks(const uint8_t *bytes, size_t len)
{
	uint8_t head[MESSAGE_HEADER_BYTES];
	size_t at = 0, have = 0, total = MESSAGE_HEADER_BYTES, record, here, i;

	while (at + CLIENTHELLO_RECORD_HEADER_BYTES <= len) {
		if (bytes[at] != RECORD_HANDSHAKE)
			return 1;
		record = (size_t)bytes[at + 3] << 8 | bytes[at + 4];
		at += CLIENTHELLO_RECORD_HEADER_BYTES;
		here = record < len - at ? record : len - at;
		for (i = 0; i < here && have + i < sizeof(head); i++)
			head[have + i] = bytes[at + i];
		have += here;
		at += here;
	}
	if (have >= sizeof(head))
		total += (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	return have < total ? total - have : 1;
}

size_t gate_judge_needs(const struct gate_judgement *judgement, const void *bytes, size_t len)
{
	return len + hello_lacks((const uint8_t *)bytes + judgement->proxy_bytes,
			     len - judgement->proxy_bytes);
}

/* A fatal alert in a record of TLS 1.2, the version that every client reads (RFC 8446 5.1). */
size_t gate_alert(const struct gate_policy *policy, const struct gate_judgement *judgement,
	uint8_t ret_record[static GATE_ALERT_BYTES])
{
	uint8_t alert = gate_reason_rows[judgement->reason].alert;

	if (!policy->spec.refuse_by_alert || !alert)
		return 0;
	memcpy(ret_record, (const uint8_t[]){21, 3, 3, 0, 2, 2, alert}, GATE_ALERT_BYTES);
	return GATE_ALERT_BYTES;
}
