/* Completion for shells, from the tables. */
#include "sluicectl.h"

#include <string.h>

/* --- bash */

static void put_bash_words(void)
{
	for (const struct command *command = commands; command->name; command++)
		printf("%s ", command->name);
	for (const struct option_row *row = option_rows; row->name; row++)
		printf("--%s ", row->name);
}

/* What comes after an option or a command that takes words or a file. */
static void put_bash_cases(void)
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
			puts(") return ;;"); /* files, by "complete" */
	}
	for (const struct command *command = commands; command->name; command++)
		if (*command->words)
			printf("\t%s) COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")); return ;;\n",
				command->name, command->words);
	puts("\thits) COMPREPLY=($(compgen -W \"on off\" -- \"$cur\")); return ;;");
}

/* Behind a command and its first word there are files, by "complete", and options. */
static void put_bash_rest(void)
{
	puts("\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n\t\tcase $word in");
	printf("\t\t%s", commands->name);
	for (const struct command *command = commands + 1; command->name; command++)
		printf("|%s", command->name);
	puts(") [[ $cur == -* ]] || return ;;\n\t\tesac\n\tdone");
}

static void put_bash(void)
{
	puts("_sluicectl()\n{");
	puts("\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word");
	puts("\tCOMPREPLY=()");
	puts("\tif [[ $cur == = ]]; then cur=; fi"); /* "--output=json" is three words */
	puts("\tif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi");
	puts("\tcase $prev in");
	put_bash_cases();
	puts("\tesac");
	put_bash_rest();
	printf("\tCOMPREPLY=($(compgen -W \"");
	put_bash_words();
	puts("\" -- \"$cur\"))\n}\ncomplete -o bashdefault -o default -F _sluicectl sluicectl");
}

/* --- zsh */

/* Within single quotes; what means something to _arguments (in brackets) is escaped. */
static void put_quoted(const char *text, const char *special)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", stdout);
		else if (strchr(special, *text))
			printf("\\%c", *text);
		else
			putchar(*text);
	}
}

/* "[help]:ARGUMENT:(words)" */
static void put_zsh_about(const struct option_row *row)
{
	putchar('[');
	put_quoted(row->help, "[]\\");
	putchar(']');
	if (row->argument) {
		fputs(row->argument[0] == '[' ? "::" : ":", stdout);
		put_quoted(row->argument, ":[]=\\");
		if (*row->words)
			printf(":(%s)", row->words);
		else
			printf(":%s", row->argument[0] == '[' ? " " : "_files");
	}
	puts("'");
}

static void put_zsh_options(void)
{
	for (const struct option_row *row = option_rows; row->name; row++) {
		bool may_lack = row->argument && row->argument[0] == '[';

		printf("\t\t'--%s%s", row->name, !row->argument ? "" : may_lack ? "=-" : "=");
		put_zsh_about(row);
		if (row->key >= KEY_REASON)
			continue;
		printf("\t\t'-%c%s", row->key, !row->argument ? "" : may_lack ? "-" : "+");
		put_zsh_about(row);
	}
}

static void put_zsh_commands(void)
{
	for (const struct command *command = commands; command->name; command++) {
		printf("\t\t'%s:", command->name);
		put_quoted(command->help, "");
		puts("'");
	}
}

static void put_zsh_words(void)
{
	for (const struct command *command = commands; command->name; command++)
		if (*command->words)
			printf("\t\t%s) (( CURRENT == 2 )) && [[ $words[2] != -* ]] && compadd -- %s && return ;;\n",
				command->name, command->words);
}

/* Options may stand behind the command, too, whose words _arguments counts from there. */
static void put_zsh(void)
{
	puts("#compdef sluicectl\n_sluicectl()\n{\n\tlocal context state line");
	puts("\tlocal -a commands options\n\tcommands=(");
	put_zsh_commands();
	puts("\t)\n\toptions=(");
	put_zsh_options();
	puts("\t)\n\t_arguments -C $options '1: :->command' '*:: :->rest' && return");
	puts("\tcase $state in\n\tcommand) _describe command commands ;;");
	puts("\trest)\n\t\tcase $words[1] in");
	put_zsh_words();
	puts("\t\tesac\n\t\t_arguments $options '*: :_files' ;;");
	puts("\tesac\n}");
	/* In a folder of fpath this file is the function, the first time; else it is sourced. */
	puts("if [[ $funcstack[1] == _sluicectl ]]; then");
	puts("\t_sluicectl \"$@\"\nelse\n\tcompdef _sluicectl sluicectl\nfi");
}

int run_completion(const struct invocation *invocation)
{
	const char *shell = invocation->n_arguments > 0 ? invocation->arguments[0] : "";

	if (strcmp(shell, "bash") == 0)
		put_bash();
	else if (strcmp(shell, "zsh") == 0)
		put_zsh();
	else
		return usage(
			"completion for which shell? bash or zsh, not", *shell ? shell : "none");
	return EXIT_OK;
}
