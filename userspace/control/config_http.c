/* Do settings of HTTP that are no rules make sense? See config_rules_parts.h. */
#include "control/config_rules_parts.h"

#include "http/alt_svc.h"

void config_check_http(struct config_checker *checker, const struct config_listener *listener)
{
	const struct config_listener_http *http = &listener->http;

	if (http->alt_svc && !alt_svc_is_good(slice_of(http->alt_svc)))
		config_refuse(checker, &http->alt_svc, http->mark, "http.alt_svc",
			"is not a value of Alt-Svc, like: h3=\":443\"; ma=86400");
}

void config_check_rate_limit(struct config_checker *checker, const struct config_rate_limit *limit)
{
	if (!limit->mark.line || limit->requests_per_second || limit->client.requests_per_second ||
		config_is_unread(checker, &limit->requests_per_second) ||
		config_is_unread(checker, &limit->client.requests_per_second))
		return;
	config_refuse(checker, &limit->requests_per_second, limit->mark,
		"rate_limit.requests_per_second",
		"(or client.requests_per_second) is required: without one nothing is limited");
}
