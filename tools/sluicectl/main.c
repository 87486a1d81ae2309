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

enum { OPTIONS_MAX = 48 };

static const double watch_default_s = 2, watch_min_s = 0.1, watch_max_s = 86400;
static const double expires_max_s = 10.0 * 365 * 86400;

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
		if (row->key >= KEY_REASON)
			continue;
		*letter++ = (char)row->key;
		for (int colons = option->has_arg; colons > 0; colons--)
			*letter++ = ':'; /* one: required, two: optional, as the constants are */
	}
}

int usage(const char *what, const char *which)
{
	fprintf(stderr,
		*which ? "sluicectl: %s \"%s\": see sluicectl help\n"
		       : "sluicectl: %s%s: see sluicectl help\n",
		what, which);
	return EXIT_USAGE;
}

int no_command(const char *word)
{
	const struct command *like = command_like(word);

	if (!like)
		return usage("there is no such command", word);
	fprintf(stderr,
		"sluicectl: there is no such command \"%s\": is it %s? See sluicectl help\n", word,
		like->name);
	return EXIT_USAGE;
}

static int read_output(const char *word, enum output *ret_output)
{
	if (strcmp(word, "table") == 0)
		*ret_output = OUTPUT_TABLE;
	else if (strcmp(word, "wide") == 0)
		*ret_output = OUTPUT_WIDE;
	else if (strcmp(word, "json") == 0)
		*ret_output = OUTPUT_JSON;
	else if (strcmp(word, "yaml") == 0)
		*ret_output = OUTPUT_YAML;
	else
		return usage("the output is table, wide, json or yaml, not", word);
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

/* "90", "90s", "15m", "12h", "7d". */
static int read_expires(const char *word, uint32_t *ret_seconds)
{
	static const struct {
		const char *unit;
		double seconds;
	} units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
	char *end;
	double number = strtod(word, &end);

	for (size_t i = 0; end > word && i < array_len(units); i++) {
		double seconds = number * units[i].seconds;

		if (strcmp(end, units[i].unit) == 0 && seconds >= 1 && seconds <= expires_max_s) {
			*ret_seconds = (uint32_t)seconds;
			return 0;
		}
	}
	return usage(
		"--expires takes a time such as 90s, 15m, 12h, 7d (ten years at most), not", word);
}

/* Where the text of an option goes; NULL: it is no option that takes one as it is. */
static const char **text_of(int key, struct invocation *invocation)
{
	switch (key) {
	case 's':
		return &invocation->where.socket_path;
	case KEY_ADDRESS:
		return &invocation->where.address;
	case KEY_CLIENT_CERT:
		return &invocation->where.cert_file;
	case KEY_CLIENT_KEY:
		return &invocation->where.key_file;
	case KEY_SERVER_CA:
		return &invocation->where.ca_file;
	case KEY_TOKEN_FILE:
		return &invocation->where.token_file;
	case KEY_REASON:
		return &invocation->reason;
	case KEY_SOURCE:
		return &invocation->source;
	case KEY_PIN_DIR:
		return &invocation->pin_dir;
	case KEY_EXISTING:
		return &invocation->existing;
	case KEY_CERT:
		return &invocation->cert_file;
	case KEY_KEY:
		return &invocation->key_file;
	case KEY_CHAIN:
		return &invocation->chain_file;
	case KEY_PKCS12:
		return &invocation->pkcs12_file;
	case KEY_PASSWORD:
		return &invocation->password_file;
	case KEY_CA:
		return &invocation->ca_file;
	case KEY_SIGALGS:
		return &invocation->sigalgs;
	case KEY_TLS:
		return &invocation->tls;
	case KEY_METHOD:
		return &invocation->http_method;
	case KEY_URL:
		return &invocation->url;
	case KEY_LISTENER:
		return &invocation->listener;
	case KEY_CLIENT:
		return &invocation->client;
	case KEY_STATE:
		return &invocation->state;
	case KEY_LIMIT:
		return &invocation->limit;
	default:
		return NULL;
	}
}

static int add_crl(struct invocation *invocation)
{
	if (invocation->n_crl_files == CRL_FILES_MAX)
		return usage("too many times --crl", "");
	invocation->crl_files[invocation->n_crl_files++] = optarg;
	return 0;
}

static int add_header(struct invocation *invocation)
{
	if (invocation->n_headers == HEADERS_MAX)
		return usage("too many times --header", "");
	invocation->headers[invocation->n_headers++] = optarg;
	return 0;
}

/* 0, EXIT_USAGE, or -1 (done: the version was printed). */
static int read_option(int key, struct invocation *invocation)
{
	const char **text = text_of(key, invocation);

	if (text) {
		*text = optarg;
		return 0;
	}
	switch (key) {
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
	case 'e':
		return read_expires(optarg, &invocation->expires_s);
	case KEY_OWN:
		invocation->where.is_own = true;
		return 0;
	case KEY_CRL:
		return add_crl(invocation);
	case KEY_HEADER:
		return add_header(invocation);
	case 'h':
		invocation->help = true;
		return 0;
	case 'V':
		puts("sluicectl " SLUICE_VERSION);
		return -1;
	default:
		fputs("see sluicectl help\n", stderr); /* getopt has said what is wrong */
		return EXIT_USAGE;
	}
}

/* Options that mean nothing to a command are mistakes: they are refused, not ignored. */
static int check_option(const struct option_row *row, const struct command *command)
{
	char what[128];

	if (option_is_for(row, command))
		return 0;
	snprintf(what, sizeof(what), "--%s is not for", row->name);
	return usage(what, command->name);
}

static bool is_given(int key, struct invocation *invocation)
{
	const char **text = text_of(key, invocation);

	if (text)
		return *text;
	switch (key) {
	case 'w':
		return invocation->watch_s > 0;
	case 'a':
		return invocation->all;
	case 'n':
		return invocation->dry_run;
	case 'e':
		return invocation->expires_s > 0;
	case KEY_CRL:
		return invocation->n_crl_files > 0;
	case KEY_HEADER:
		return invocation->n_headers > 0;
	default:
		return false;
	}
}

static int check_where(const struct client_where *where)
{
	if (!where->cert_file != !where->key_file)
		return usage("--client-cert and --client-key go together", "");
	if (!where->address && (where->cert_file || where->ca_file || where->token_file))
		return usage("--client-cert, --server-ca and --token-file are for --address", "");
	return 0;
}

static int read_command(int argc, char **argv, struct invocation *invocation)
{
	int rc = 0;

	if (optind == argc)
		return usage("no command is given", "");
	invocation->command = command_find(argv[optind]);
	if (!invocation->command)
		return no_command(argv[optind]);
	invocation->arguments = argv + optind + 1;
	invocation->n_arguments = argc - optind - 1;
	if (invocation->n_arguments > invocation->command->max_arguments)
		return usage("what is meant by",
			invocation->arguments[invocation->command->max_arguments]);
	rc = check_where(&invocation->where);
	for (const struct option_row *row = option_rows; row->name && !rc; row++)
		if (is_given(row->key, invocation))
			rc = check_option(row, invocation->command);
	return rc;
}

/* With a command, or with one that is not there: the help of that, or of all. */
static int give_help(int argc, char **argv)
{
	const struct command *command = optind < argc ? command_find(argv[optind]) : NULL;

	if (command)
		print_help_of(command, stdout);
	else
		print_help(stdout);
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	const char *socket_path = getenv("SLUICE_SOCKET");
	struct invocation invocation = {
		.where.socket_path = socket_path && *socket_path ? socket_path : DEFAULT_SOCKET,
	};
	struct getopt_tables tables;
	int key, rc;

	make_getopt_tables(&tables);
	while ((key = getopt_long(argc, argv, tables.letters, tables.options, NULL)) != -1) {
		rc = read_option(key, &invocation);
		if (rc)
			return rc > 0 ? rc : EXIT_OK;
	}
	rc = invocation.help ? 0 : read_command(argc, argv, &invocation);
	if (rc)
		return rc;
	rc = invocation.help ? give_help(argc, argv) : invocation.command->run(&invocation);
	if (fflush(stdout) == EOF || ferror(stdout)) {
		fprintf(stderr, "sluicectl: standard output: %s\n", strerror(errno));
		return rc ? rc : EXIT_REFUSED;
	}
	return rc;
}
