/* What the tests of the configuration share: a text in, its exact error messages or its effective
 * configuration out. */
#ifndef SLUICE_TESTS_CONFIG_CASE_H
#define SLUICE_TESTS_CONFIG_CASE_H

#include "control/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A configuration that is valid up to what a test adds. */
#define CASE_CERTIFICATE "certificates: [{name: www, cert: /c.pem, key: /k.pem}]\n"
#define CASE_GROUPS      "target_groups: [{name: web, protocol: http}, {name: raw, protocol: tcp}]\n"

static inline char *case_errors_text(struct config_errors *errors)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	config_errors_print(errors, out);
	fclose(out);
	return text;
}

static inline void case_refused_bytes(const char *yaml, size_t len, const char *expected)
{
	struct config *config = NULL;
	struct config_errors errors;
	char *text;
	int r;

	config_errors_init(&errors);
	r = config_parse(yaml, len, "/etc/sluice/t.yaml", &config, &errors);
	text = case_errors_text(&errors);
	assert_string_equal(text, expected);
	assert_true(r < 0);
	assert_null(config);
	free(text);
	config_errors_fini(&errors);
}

/* `expected`: every line, in order. */
static inline void case_refused(const char *yaml, const char *expected)
{
	case_refused_bytes(yaml, strlen(yaml), expected);
}

static inline struct config *case_accepted(const char *yaml)
{
	struct config *config = NULL;
	struct config_errors errors;
	char *text;
	int r;

	config_errors_init(&errors);
	r = config_parse(yaml, strlen(yaml), "/etc/sluice/t.yaml", &config, &errors);
	text = case_errors_text(&errors);
	assert_string_equal(text, "");
	assert_int_equal(r, 0);
	assert_non_null(config);
	free(text);
	config_errors_fini(&errors);
	return config;
}

static inline char *case_shown_as(const struct config *config, bool redact)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	config_show(config, redact, out);
	fclose(out);
	return text;
}

static inline char *case_shown(const struct config *config)
{
	return case_shown_as(config, false);
}

#endif
