/*
 * sluicectl: looks into and steers a running sluiced through its admin socket. See sluicectl(1).
 * This file reads the command line; commands.def lists what there is.
 */
#include "sluicectl.h"
#include "core/version.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum { OPTIONS_MAX = 32 };

static const double watch_default_s = 2, watch_min_s = 0.1, watch_max_s = 86400;

/* What getopt wants, from the table. */
struct getopt_tables {
	struct option options[OPTIONS_MAX + 1]; /* ends with zeroes */
	char letters[3 * OPTIONS_MAX + 1];
};

static void make_getopt_tables(struct getopt_tables *ret_tables)
{
	struct option *option = ret_tables->options;
	char *letter = ret_tables->letters;

	*ret_tables = (struct getopt_tables){0};
	for (const struct option_row *row = option_rows; row->name; row++, option++) {
		option->name = row->name;
		option->val = row->key;
		option->has_arg = !row->argument            ? no_argument
				  : row->argument[0] == '[' ? optional_argument
							    : required_argument;
		if (row->key >= KEY_PIN_DIR)
			continue;
		*letter++ = (char)row->key;
		for (int colons = option->has_arg; colons > 0; colons--)
			*letter++ = ':'; /* one: required, two: optional, as the constants are */
	}
}

static int usage(const char *what, const char *which)
{
	fprintf(stderr,
		*which ? "sluicectl: %s \"%s\": see sluicectl help\n"
		       : "sluicectl: %s%s: see sluicectl help\n",
		what, which);
	return -EINVAL;
}

static int read_output(const char *word, enum output *ret_output)
{
	if (strcmp(word, "table") == 0)
		*ret_output = OUTPUT_TABLE;
	else if (strcmp(word, "json") == 0)
		*ret_output = OUTPUT_JSON;
	else if (strcmp(word, "yaml") == 0)
		*ret_output = OUTPUT_YAML;
	else
		return usage("the output is table, json or yaml, not", word);
	return 0;
}

static int read_watch(const char *word, double *ret_seconds)
{
	double seconds = watch_default_s;
	char *end = NULL;

	if (word) {
		seconds = strtod(word, &end);
		if (end == word || *end || !(seconds >= watch_min_s && seconds <= watch_max_s))
			return usage("--watch takes seconds, 0.1 to 86400, not", word);
	}
	*ret_seconds = seconds;
	return 0;
}

/* 0, 1 (done: help or version was printed), or -EINVAL. */
static int read_option(int key, struct invocation *invocation)
{
	switch (key) {
	case 's':
		invocation->socket_path = optarg;
		return 0;
	case 'o':
		return read_output(optarg, &invocation->output);
	case 'w':
		return read_watch(optarg, &invocation->watch_s);
	case 'a':
		invocation->all = true;
		return 0;
	case 'n':
		invocation->dry_run = true;
		return 0;
	case KEY_PIN_DIR:
		invocation->pin_dir = optarg;
		return 0;
	case 'h':
		print_help(stdout);
		return 1;
	case 'V':
		puts("sluicectl " SLUICE_VERSION);
		return 1;
	default:
		fputs("see sluicectl help\n", stderr); /* getopt has said what is wrong */
		return -EINVAL;
	}
}

/* Options that mean nothing to a command are mistakes: they are refused, not ignored. */
static int check(const struct invocation *invocation)
{
	const struct command *command = invocation->command;

	if (invocation->watch_s > 0 && !command->path)
		return usage("--watch is for views, not for", command->name);
	if (invocation->dry_run && command->run != run_reload)
		return usage("--dry-run is for reload, not for", command->name);
	if (invocation->pin_dir && command->run != run_purge)
		return usage("--pin-dir is for purge, not for", command->name);
	if (invocation->argument && command->run != run_completion)
		return usage("what is meant by", invocation->argument);
	return 0;
}

static int read_command(int argc, char **argv, struct invocation *invocation)
{
	if (optind == argc)
		return usage("no command is given", "");
	invocation->command = command_find(argv[optind]);
	if (!invocation->command)
		return usage("there is no such command", argv[optind]);
	if (optind + 1 < argc)
		invocation->argument = argv[optind + 1];
	if (optind + 2 < argc)
		return usage("what is meant by", argv[optind + 2]);
	return check(invocation);
}

int main(int argc, char **argv)
{
	const char *socket_path = getenv("SLUICE_SOCKET");
	struct invocation invocation = {
		.socket_path = socket_path && *socket_path ? socket_path : DEFAULT_SOCKET,
	};
	struct getopt_tables tables;
	int key, rc;

	make_getopt_tables(&tables);
	while ((key = getopt_long(argc, argv, tables.letters, tables.options, NULL)) != -1) {
		rc = read_option(key, &invocation);
		if (rc)
			return rc > 0 ? EXIT_OK : EXIT_USAGE;
	}
	if (read_command(argc, argv, &invocation) < 0)
		return EXIT_USAGE;
	rc = invocation.command->run(&invocation);
	if (fflush(stdout) == EOF || ferror(stdout)) {
		fprintf(stderr, "sluicectl: standard output: %s\n", strerror(errno));
		return rc ? rc : EXIT_REFUSED;
	}
	return rc;
}
