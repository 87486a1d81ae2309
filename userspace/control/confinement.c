/* Rights of the daemon: see confinement.h. */
#define LOG_MODULE "daemon"
#include "control/confinement.h"

#include "core/confine.h"
#include "core/log.h"
#include "core/mem.h"
#include "tls/ktls.h"
#include "tls/token.h"

#include <stdlib.h>
#include <string.h>

static bool is_without_libraries; /* since the start */

static const struct config_certificate *find_token_key(const struct config *config)
{
	for (uint32_t i = 0; i < config->certificates_count; i++)
		if (config->certificates[i].key_path &&
			token_is_uri(config->certificates[i].key_path))
			return &config->certificates[i];
	return NULL;
}

bool confinement_forbids(const struct config *config, struct config_errors *errors)
{
	const struct config_certificate *found =
		is_without_libraries ? find_token_key(config) : NULL;

	if (found)
		config_errors_add(errors, found->mark, "key",
			"is in a token, for which workers need calls of the kernel that they have given "
			"up at the start, when there was no such key: restart sluiced");
	return found;
}

int confinement_begin(const struct config *config, struct err *err)
{
	bool shares = config->xdp.mode != CONFIG_XDP_OFF &&
		      config->xdp.dispatcher != CONFIG_DISPATCHER_NEVER;
	bool has_libraries = find_token_key(config);
	const char *why;
	int r;

	is_without_libraries = !has_libraries && confine_can_filter(&why) &&
			       config->confinement.system_calls == CONFINE_CALLS_ENFORCE;
	/* The kernel loads its module for whoever may configure networks: workers may not. */
	(void)ktls_kernel_exists();
	r = confine_process(shares, err);
	return r < 0 ? r : confine_calls(config->confinement.system_calls, has_libraries, err);
}

/* Whether there are, or will be, programs of others beside ours. */
static bool shares_interfaces(const struct dataplane *dp, const struct config *config)
{
	struct dataplane_report *report = mem_zalloc(sizeof(*report));
	bool shares = config->xdp.mode != CONFIG_XDP_OFF &&
		      config->xdp.dispatcher == CONFIG_DISPATCHER_ALWAYS;

	dataplane_report(dp, report);
	for (size_t i = 0; i < report->interface_count; i++)
		shares |= report->interfaces[i].dispatcher;
	free(report);
	return shares;
}

int confinement_end(const struct dataplane *dp, const struct config *config, struct err *err)
{
	char text[CONFINE_TEXT_BYTES];
	const char *why;
	int r = shares_interfaces(dp, config) ? 0 : confine_process(false, err);

	if (r < 0)
		return r;
	if (config->confinement.system_calls != CONFINE_CALLS_OFF && !confine_can_filter(&why))
		log_warn("calls of the kernel are not filtered: %s", why);
	if (strcmp(confine_missing(text), "none") != 0)
		log_warn("without capabilities: %s", text);
	log_info("capabilities: %s; of workers: none", confine_held(text));
	return 0;
}

const char *confinement_calls(const struct config *config, const char **ret_why)
{
	enum confine_calls calls = config->confinement.system_calls;

	*ret_why = "confinement.system_calls is off";
	if (calls == CONFINE_CALLS_OFF || !confine_can_filter(ret_why))
		return "all calls of the kernel are allowed";
	*ret_why = "confinement.system_calls is log";
	if (calls == CONFINE_CALLS_LOG)
		return "calls of the kernel without a use are logged";
	*ret_why = "a key is in a PKCS#11 token, whose library workers run";
	if (!is_without_libraries)
		return "workers make the calls of the kernel that a library may need";
	*ret_why = NULL;
	return "each thread makes the calls of the kernel that it has a use for";
}
