/* What the checks of rules share: config_rules.c, config_actions.c and config_http.c; nobody else includes it. */
#ifndef SLUICE_CONTROL_CONFIG_RULES_PARTS_H
#define SLUICE_CONTROL_CONFIG_RULES_PARTS_H

#include "control/config_read.h"

/* How many parts of the host and the path templates of a rule can name. */
struct config_captures {
	bool has_host, has_path;
	uint32_t host, path;
};

/* A target group, or actions that say it: one of them. */
void config_check_target(struct config_checker *checker,
	const struct config_target_group *const *field, uint32_t n_actions, struct config_mark mark,
	const char *actions);
void config_check_actions(struct config_checker *checker, const struct config_listener *listener,
	const struct config_action *actions, uint32_t n, const char *list,
	const struct config_captures *captures);
void config_check_rewrite(struct config_checker *checker, const struct config_rewrite *rewrite,
	const struct config_captures *captures);
/* `captures` NULL: values are no templates. `n_others`: edits of the listener that come on top. */
void config_check_edits(struct config_checker *checker, const struct config_header_edits *edits,
	const char *section, uint32_t n_others, const struct config_captures *captures);

/* config_http.c */
void config_check_http(struct config_checker *checker, const struct config_listener *listener);
void config_check_rate_limit(struct config_checker *checker, const struct config_rate_limit *limit);

#endif
