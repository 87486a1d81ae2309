/* Help, from the tables. */
#include "sluicectl.h"

#include <string.h>

static void print_command(const struct command *command, FILE *out)
{
	char left[64];

	snprintf(left, sizeof(left), "%s %s", command->name, command->arguments);
	fprintf(out, "  %-26s %s\n", left, command->help);
}

static void print_option(const struct option_row *row, FILE *out)
{
	const char *argument = row->argument ? row->argument : "";
	char left[64], letter[8] = "    ";

	if (row->key < KEY_REASON)
		snprintf(letter, sizeof(letter), "-%c, ", row->key);
	snprintf(left, sizeof(left), "%s--%s%s%s", letter, row->name,
		*argument && *argument != '[' ? " " : "", argument);
	fprintf(out, "  %-26s %s\n", left, row->help);
}

static void print_options(const struct command *command, FILE *out)
{
	fputs("\noptions:\n", out);
	for (const struct option_row *row = option_rows; row->name; row++)
		if (!command || option_is_for(row, command))
			print_option(row, out);
	fputs("\nexit codes: 0 done, 1 the daemon refused, 2 wrong usage, 3 no daemon answers\n",
		out);
}

void print_help(FILE *out)
{
	fputs("usage: sluicectl [options] command\n\ncommands:\n", out);
	for (const struct command *command = commands; command->name; command++)
		print_command(command, out);
	print_options(NULL, out);
}

void print_help_of(const struct command *command, FILE *out)
{
	fprintf(out, "usage: sluicectl [options] %s%s%s\n\n%s\n", command->name,
		*command->arguments ? " " : "", command->arguments, command->help);
	print_options(command, out);
}

int run_help(const struct invocation *invocation)
{
	const struct command *command;

	if (invocation->n_arguments == 0) {
		print_help(stdout);
		return EXIT_OK;
	}
	command = command_find(invocation->arguments[0]);
	if (!command)
		return no_command(invocation->arguments[0]);
	print_help_of(command, stdout);
	return EXIT_OK;
}
