/* Any bytes as a configuration: either a list of errors, or a configuration that is the same after
 * being shown and read again. */
#include "control/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config *parse(const char *text, size_t len, struct config_errors *errors)
{
	struct config *config = NULL;
	int r = config_parse(text, len, "/fuzz/sluice.yaml", &config, errors);

	if ((r < 0) != (config_errors_total(errors) > 0) || (r == 0) != (config != NULL))
		abort();
	return config;
}

static char *show(const struct config *config)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		abort();
	config_show(config, false, out);
	fclose(out);
	return text;
}

static void check_round_trip(const struct config *config)
{
	char *first = show(config), *second;
	struct config_errors errors;
	struct config *again;

	config_errors_init(&errors);
	again = parse(first, strlen(first), &errors);
	if (!again) {
		config_errors_print(&errors, stderr);
		abort();
	}
	second = show(again);
	if (strcmp(first, second) != 0 || config_is_restart_needed(config, again, NULL))
		abort();
	free(first);
	free(second);
	config_free(again);
	config_errors_fini(&errors);
}

static void print_nowhere(struct config_errors *errors)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		abort();
	config_errors_print(errors, out);
	fclose(out);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_errors errors;
	struct config *config;

	config_errors_init(&errors);
	config = parse((const char *)data, size, &errors);
	if (config)
		check_round_trip(config);
	print_nowhere(&errors);
	config_errors_fini(&errors);
	config_free(config);
	return 0;
}
