/* The table of settings itself: rows that contradict themselves, enums that do not fit their words,
 * and the search for what a mistyped word may have meant. */
#include "config_case.h"
#include "control/config_settings.h"

static uint32_t count_words(const char *words)
{
	struct slice word;
	uint32_t count = 0;

	while (config_word_next(&words, &word))
		count++;
	return count;
}

static void rows_are_whole(void **state)
{
	for (enum setting_section section = 0; section < SECTION_COUNT; section++) {
		const struct setting *row;
		uint32_t rows = 0;

		assert_true(config_sections[section].size > 0);
		for_each_setting(row, section)
		{
			rows++;
			assert_non_null(row->help);
			assert_true(strlen(row->help) >= 8);
			assert_int_equal(row->help[strlen(row->help) - 1], '.');
			assert_false(row->required && row->def);
			assert_true(row->offset >= sizeof(struct config_mark));
			if (row->type == SETTING_ENUM)
				assert_int_equal(row->size, sizeof(uint32_t));
			if (row->type == SETTING_ENUM && !row->required)
				assert_non_null(row->def);
			if (row->type >= SETTING_INT && row->type <= SETTING_PERCENT) {
				assert_true(row->max > row->min);
				assert_true(row->required || row->def);
				assert_true(row->size == 8 || row->max <= UINT32_MAX);
			}
			if (row->type == SETTING_SECTION)
				assert_int_equal(row->size, config_sections[row->child].size);
			assert_ptr_equal(config_setting_find(section, slice_of(row->name)), row);
		}
		assert_in_range(rows, 1, SETTING_ROWS_MAX);
	}
}

static const struct setting *row_of(enum setting_section section, const char *name)
{
	const struct setting *row = config_setting_find(section, slice_of(name));

	assert_non_null(row);
	return row;
}

/* The last word stands for the last value of the enum. */
static void words_fit_their_enums(void **state)
{
	static const struct {
		enum setting_section section;
		const char *name;
		uint32_t last;
	} rows[] = {
		{SECTION_config_listener, "protocol", CONFIG_TCP},
		{SECTION_config_target_group, "protocol", CONFIG_TCP},
		{SECTION_config_health_check, "protocol", CONFIG_CHECK_GRPCS},
		{SECTION_config_target_group, "protocol_version", CONFIG_GRPC},
		{SECTION_config_target_group, "algorithm", CONFIG_CONSISTENT_HASH},
		{SECTION_config_hash, "key", CONFIG_HASH_QUERY},
		{SECTION_config_group_dns, "family", CONFIG_FAMILY_V6},
		{SECTION_config_stickiness, "type", CONFIG_STICKY_APP},
		{SECTION_config_listener, "proxy_protocol", CONFIG_PROXY_IN_REQUIRE},
		{SECTION_config_target_group, "proxy_protocol", CONFIG_PROXY_OUT_V2},
		{SECTION_config_listener, "x_forwarded_for", CONFIG_XFF_REMOVE},
		{SECTION_config_listener_http, "desync_mode", CONFIG_DESYNC_STRICTEST},
		{SECTION_config_listener_http, "header_names", CONFIG_NAMES_REFUSE},
		{SECTION_config_listener_http, "forwarded", CONFIG_RFC7239_REMOVE},
		{SECTION_config_listener_http, "x_forwarded_proto", CONFIG_XFP_REMOVE},
		{SECTION_config_listener_http, "request_id", CONFIG_REQUEST_ID_SET},
		{SECTION_config_redirect, "status", CONFIG_REDIRECT_308},
		{SECTION_config_listener_tls, "min_version", CONFIG_TLS_1_3},
		{SECTION_config_security_policy, "max_version", CONFIG_TLS_1_3},
		{SECTION_config_listener_tls, "ktls", CONFIG_KTLS_REQUIRE},
		{SECTION_config_listener_tls, "existing", CONFIG_EXISTING_CLOSE},
		{SECTION_config_group_tls, "ktls", CONFIG_KTLS_REQUIRE},
		{SECTION_config_xdp, "mode", CONFIG_XDP_OFF},
		{SECTION_config_xdp, "handover", CONFIG_HANDOVER_NONE},
		{SECTION_config_xdp, "dispatcher", CONFIG_DISPATCHER_NEVER},
		{SECTION_config_listener, "syn_cookies", CONFIG_SYN_OFF},
		{SECTION_config_gate, "mode", CONFIG_GATE_OFF},
		{SECTION_config_gate, "unknown_name", CONFIG_NAME_REFUSE},
		{SECTION_config_gate, "refusal", CONFIG_REFUSAL_RESET},
		{SECTION_config_client_auth, "mode", CONFIG_CLIENT_AUTH_PASSTHROUGH},
		{SECTION_config_log, "level", CONFIG_LOG_DEBUG},
		{SECTION_config_confinement, "system_calls", CONFINE_CALLS_OFF},
		{SECTION_config_certificate, "ocsp", CONFIG_OCSP_OFF},
	};

	for (size_t i = 0; i < array_len(rows); i++)
		assert_int_equal(count_words(row_of(rows[i].section, rows[i].name)->words),
			rows[i].last + 1);
}

static const char *nearest_of(const char *wanted, const char *words)
{
	static char text[NEAREST_TEXT_BYTES];
	struct nearest nearest;
	struct slice word;

	nearest_init(&nearest, slice_of(wanted));
	while (config_word_next(&words, &word))
		nearest_offer(&nearest, word);
	return nearest_text(&nearest, text, sizeof(text));
}

static void nearest_word_is_found(void **state)
{
	assert_string_equal(nearest_of("adress", "name address"), " (did you mean \"address\"?)");
	assert_string_equal(nearest_of("NAME", "name address"), " (did you mean \"name\"?)");
	assert_string_equal(nearest_of("nmae", "same name"), " (did you mean \"name\"?)");
	assert_string_equal(nearest_of("x", "name address"), "");
	assert_string_equal(nearest_of("handshake", "header keep_alive"), "");
	assert_string_equal(nearest_of("", "a bc"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_whole),
		cmocka_unit_test(words_fit_their_enums),
		cmocka_unit_test(nearest_word_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
