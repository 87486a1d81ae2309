/* Checks of how target groups choose their targets: see config_read.h. */
#include "control/config_read.h"

#include "http/syntax.h"

static const char *word_of(const char *setting, uint32_t value)
{
	static char text[64];
	const char *words =
		config_setting_find(SECTION_config_target_group, slice_of(setting))->words;
	struct slice word = {"", 0};
	uint32_t i;

	for (i = 0; i <= value && config_word_next(&words, &word); i++)
		;
	snprintf(text, sizeof(text), "%.*s", (int)word.len, word.ptr);
	return text;
}

static void check_hash_name(struct config_checker *checker, const struct config_hash *hash)
{
	bool wants_name = hash->key != CONFIG_HASH_SOURCE_IP;

	if (wants_name && !config_is_given(checker->config, &hash->name))
		config_refuse(checker, &hash->key, hash->mark, "hash.name",
			"is required with key header, cookie and query");
	else if (!wants_name && hash->name)
		config_refuse(checker, &hash->name, hash->mark, "hash.name",
			"has no effect with key source_ip");
	else if (hash->name && hash->key != CONFIG_HASH_QUERY &&
		 !syntax_is_token(slice_of(hash->name)))
		config_refuse(checker, &hash->name, hash->mark, "hash.name",
			"is not the name of a header or cookie");
}

/* A default is no harm: the configuration in effect is shown with all of them. */
static void check_hash(struct config_checker *checker, const struct config_target_group *g)
{
	const struct config_hash *hash = &g->hash;

	if (hash->key > CONFIG_HASH_QUERY || g->algorithm > CONFIG_CONSISTENT_HASH)
		return; /* has its error */
	if (g->algorithm != CONFIG_CONSISTENT_HASH) {
		if (hash->key != CONFIG_HASH_SOURCE_IP || hash->name)
			config_refuse(checker, &hash->key, hash->mark, "hash",
				"has no effect with algorithm %s (only with consistent_hash)",
				word_of("algorithm", g->algorithm));
		return;
	}
	if (hash->key != CONFIG_HASH_SOURCE_IP && g->protocol != CONFIG_HTTP &&
		g->protocol != CONFIG_HTTPS)
		config_refuse(checker, &hash->key, hash->mark, "hash.key",
			"must be source_ip in a group of protocol %s, which sees no requests",
			word_of("protocol", g->protocol));
	else
		check_hash_name(checker, hash);
	if (g->slow_start_ms)
		config_refuse(checker, &g->slow_start_ms, g->mark, "slow_start",
			"has no effect with algorithm consistent_hash");
}

static void check_fail_open(struct config_checker *checker, const struct config_target_group *g)
{
	if (g->fail_open)
		return;
	if (g->fail_open_below > 1)
		config_refuse(checker, &g->fail_open_below, g->mark, "fail_open_below",
			"has no effect with fail_open: false");
	if (g->fail_open_below_percent)
		config_refuse(checker, &g->fail_open_below_percent, g->mark,
			"fail_open_below_percent", "has no effect with fail_open: false");
}

static void check_outliers(struct config_checker *checker, const struct config_target_group *g)
{
	const struct config_outliers *outliers = &g->outliers;

	if (outliers->max_ejection_ms && outliers->max_ejection_ms < outliers->ejection_ms)
		config_refuse(checker, &outliers->max_ejection_ms,
			config_mark(checker->config, &outliers->ejection_ms, outliers->mark),
			"outlier_detection.max_ejection_time",
			"is shorter than ejection_time (%u ms, ejection_time %u ms)",
			outliers->max_ejection_ms, outliers->ejection_ms);
}

static void check_stickiness(struct config_checker *checker, const struct config_target_group *g)
{
	const struct config_stickiness *sticky = &g->stickiness;

	if (sticky->type > CONFIG_STICKY_APP)
		return; /* has its error */
	if (sticky->cookie && !syntax_is_token(slice_of(sticky->cookie)))
		config_refuse(checker, &sticky->cookie, sticky->mark, "stickiness.cookie",
			"is not the name of a cookie");
	if (sticky->app_cookie && !syntax_is_token(slice_of(sticky->app_cookie)))
		config_refuse(checker, &sticky->app_cookie, sticky->mark, "stickiness.app_cookie",
			"is not the name of a cookie");
	if (sticky->type == CONFIG_STICKY_APP &&
		!config_is_given(checker->config, &sticky->app_cookie))
		config_refuse(checker, &sticky->type, sticky->mark, "stickiness.app_cookie",
			"is required with type app_cookie");
	if (sticky->type != CONFIG_STICKY_APP && sticky->app_cookie)
		config_refuse(checker, &sticky->app_cookie, sticky->mark, "stickiness.app_cookie",
			"has no effect without type app_cookie");
	if (sticky->cookie && sticky->app_cookie && !strcmp(sticky->cookie, sticky->app_cookie))
		config_refuse(checker, &sticky->cookie, sticky->mark, "stickiness.cookie",
			"is the name of the application's cookie: they must be two");
}

void config_check_targets(const struct config *config, struct config_errors *errors)
{
	struct config_checker checker = {.config = config, .errors = errors};
	uint32_t i;

	for (i = 0; i < config->target_groups_count; i++) {
		const struct config_target_group *group = &config->target_groups[i];

		if (group->protocol > CONFIG_TCP)
			continue;
		config_path_enter(&checker.path, "target_groups");
		config_path_item(&checker.path, group->name, i);
		check_hash(&checker, group);
		check_fail_open(&checker, group);
		check_outliers(&checker, group);
		check_stickiness(&checker, group);
		config_path_cut(&checker.path, 0);
	}
}
