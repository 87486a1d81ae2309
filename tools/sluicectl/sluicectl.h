/* The parts of sluicectl: what was asked for on the command line, and who does it. One thread. */
#ifndef SLUICECTL_H
#define SLUICECTL_H

#include "client.h"
#include "control/render.h"
#include "core/attr.h"
#include <stdbool.h>
#include <stdio.h>

#define DEFAULT_SOCKET "/run/sluice/admin.sock"

/* Exit codes; part of the interface. */
enum {
	EXIT_OK = 0,
	EXIT_REFUSED = 1,     /* the daemon, or the kernel, said no */
	EXIT_USAGE = 2,       /* the command line is wrong */
	EXIT_UNREACHABLE = 3, /* no daemon answers */
};

enum output { OUTPUT_TABLE, OUTPUT_WIDE, OUTPUT_JSON, OUTPUT_YAML };

static inline bool is_table(enum output output)
{
	return output == OUTPUT_TABLE || output == OUTPUT_WIDE;
}

typedef void render_function(yyjson_val *root, const struct render_look *look, FILE *out);

struct invocation;

enum { ARGUMENTS_MAX = 4096 }; /* as many changes of a list as there may be in one request */

struct command {
	const char *name;
	const char *path;        /* of a view, else NULL */
	render_function *render; /* of a view, else NULL */
	int (*run)(const struct invocation *invocation);
	int max_arguments;
	const char *arguments;
	const char *words; /* for the completion of the first one */
	const char *help;
};

#define LIST_WORDS "list add del import export"
#define LIST_USAGE "list, add, del PREFIX..., import FILE, export"

#define CERTS_USAGE                                                                                \
	"show NAME, put NAME --cert FILE --key FILE|--pkcs12 FILE, delete NAME, "                  \
	"add|remove LISTENER NAME..., default LISTENER NAME, history"
#define OBJECTS_USAGE                                                                              \
	"[KIND], show KIND NAME, put|patch KIND NAME FILE, delete KIND NAME, move LISTENER/RULE PRIORITY"
#define CHANGING "reload certs trust objects rollback"

enum { CRL_FILES_MAX = 32, HEADERS_MAX = 100 };

struct invocation {
	const struct command *command;
	struct client_where where;
	enum output output;
	double watch_s; /* 0: once */
	bool all, dry_run, help;
	uint32_t expires_s;  /* 0: never */
	const char *reason, *source; /* NULL: any */
	const char *listener, *client, *state, *limit; /* NULL: any, the default */
	const char *pin_dir, *existing; /* NULL: the default, as configured */
	/* NULL: not given */
	const char *cert_file, *key_file, *chain_file, *ca_file, *pkcs12_file, *password_file;
	const char *http_method, *url, *crl_files[CRL_FILES_MAX], *headers[HEADERS_MAX];
	int n_crl_files, n_headers;
	const char *sigalgs, *tls; /* NULL: those of a modern client */
	char **arguments; /* of the command */
	int n_arguments;
};

/* Options without a letter. */
enum {
	KEY_REASON = 256,
	KEY_SOURCE,
	KEY_PIN_DIR,
	KEY_LISTENER,
	KEY_CLIENT,
	KEY_STATE,
	KEY_LIMIT,
	KEY_EXISTING,
	KEY_CERT,
	KEY_KEY,
	KEY_CHAIN,
	KEY_PKCS12,
	KEY_PASSWORD,
	KEY_CA,
	KEY_CRL,
	KEY_SIGALGS,
	KEY_TLS,
	KEY_METHOD,
	KEY_URL,
	KEY_HEADER,
	KEY_ADDRESS,
	KEY_CLIENT_CERT,
	KEY_CLIENT_KEY,
	KEY_SERVER_CA,
	KEY_TOKEN_FILE,
	KEY_OWN,
};

struct option_row {
	int key; /* its letter, or above them: it has none */
	const char *name;
	const char *argument; /* NULL: none; in brackets: may be left out */
	const char *words;    /* for the completion */
	const char *commands; /* it is for, separated by spaces; VIEWS: all views; NULL: all */
	const char *help;
};

/* table.c: the rows of commands.def, each list ended by a row without a name. */
extern const struct command commands[];
extern const struct option_row option_rows[];
const struct command *command_find(const char *name);
/* One that begins with the word, or that the word begins with; NULL: there is none. */
const struct command *command_like(const char *word);
bool option_is_for(const struct option_row *row, const struct command *command);
/* What each of them does; the exit code. In the file that has its subject for a name, or actions.c. */
#define COMMAND(name, function, max, arguments, words, help)                                       \
	int function(const struct invocation *invocation);
#include "commands.def"

/* show.c */
struct render_look look_now(const struct invocation *invocation);
int run_view(const struct invocation *invocation);
/* The first thousand, again and again. */
int run_certs_view(const struct invocation *invocation);
int run_trust_view(const struct invocation *invocation);
/* actions.c */
/* Asks, prints the answer; returns the exit code. */
int run_request(const struct invocation *invocation, const struct client_request *request,
	render_function *render);
/* help.c */
void print_help(FILE *out);
void print_help_of(const struct command *command, FILE *out);
/* main.c: says what is wrong with the command line. EXIT_USAGE. */
int usage(const char *what, const char *which);
int no_command(const char *word);

#endif
