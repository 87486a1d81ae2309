/* Help, from the tables. */
#include "sluicectl.h"

#include <string.h>

void print_help(FILE *out)
{
	fputs("usage: sluicectl [options] command\n\ncommands:\n", out);
	for (const struct command *command = commands; command->name; command++) {
		char left[64];

		snprintf(left, sizeof(left), "%s %s", command->name, command->arguments);
		fprintf(out, "  %-26s %s\n", left, command->help);
	}
	fputs("\noptions:\n", out);
	for (const struct option_row *row = option_rows; row->name; row++) {
		const char *argument = row->argument ? row->argument : "";
		char left[64], letter[8] = "    ";

		if (row->key < KEY_REASON)
			snprintf(letter, sizeof(letter), "-%c, ", row->key);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, row->name,
			*argument && *argument != '[' ? " " : "", argument);
		fprintf(out, "  %-26s %s\n", left, row->help);
	}
	fputs("\nexit codes: 0 done, 1 the daemon refused, 2 wrong usage, 3 no daemon answers\n",
		out);
}

int run_help(const struct invocation *invocation)
{
	print_help(stdout);
	return EXIT_OK;
}
