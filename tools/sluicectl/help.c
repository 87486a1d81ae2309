/* Help and completion, from the tables. */
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

static void put_words(void)
{
	for (const struct command *command = commands; command->name; command++)
		printf("%s ", command->name);
	for (const struct option_row *row = option_rows; row->name; row++)
		printf("--%s ", row->name);
}

/* What comes after an option or a command that takes words or a file. */
static void put_cases(void)
{
	for (const struct option_row *row = option_rows; row->name; row++) {
		if (!row->argument || row->argument[0] == '[')
			continue;
		printf("\t--%s", row->name);
		if (row->key < KEY_REASON)
			printf("|-%c", row->key);
		if (*row->words)
			printf(") COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")); return ;;\n",
				row->words);
		else
			puts(") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;");
	}
	for (const struct command *command = commands; command->name; command++)
		if (*command->words)
			printf("\t%s) COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")); return ;;\n",
				command->name, command->words);
	puts("\timport) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;");
	puts("\thits) COMPREPLY=($(compgen -W \"on off\" -- \"$cur\")); return ;;");
}

int run_completion(const struct invocation *invocation)
{
	if (invocation->n_arguments == 0 || strcmp(invocation->arguments[0], "bash") != 0) {
		fputs("sluicectl: completion: which shell? There is: sluicectl completion bash\n",
			stderr);
		return EXIT_USAGE;
	}
	puts("_sluicectl()\n{");
	puts("\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}");
	puts("\tcase $prev in");
	put_cases();
	puts("\tesac");
	printf("\tCOMPREPLY=($(compgen -W \"");
	put_words();
	puts("\" -- \"$cur\"))\n}\ncomplete -F _sluicectl sluicectl");
	return EXIT_OK;
}
