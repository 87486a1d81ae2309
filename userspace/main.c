/* sluiced: command line, then the daemon. See sluiced(8). */
#include "control/build.h"
#include "control/config.h"
#include "control/daemon.h"
#include "control/hostcheck.h"
#include "control/hostprepare.h"
#include "control/object_store.h"
#include "control/upgrade_program.h"
#include "core/crash.h"
#include "core/version.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum { EXIT_USAGE = 2 };
enum {
	OPTION_CHECK = 256,
	OPTION_CHECK_HOST,
	OPTION_PREPARE_HOST,
	OPTION_PRINT,
	OPTION_TAKE_OVER
}; /* beyond the letters */

static const char usage_text[] =
	"usage: sluiced --config FILE            run in the foreground, log to stderr\n"
	"       sluiced --config FILE --take-over   the same, in place of one that runs, if there is one\n"
	"       sluiced --check FILE             check a configuration and the files it names\n"
	"       sluiced --print FILE             the same, and print it with every default\n"
	"       sluiced --check-host [--config FILE]   what this kernel, NIC and CPU allow\n"
	"       sluiced --prepare-host           make of it what takes root, once: BPF file system, tun, sysctls\n"
	"       sluiced --version | --help\n"
	"Manual: sluiced(8), sluice.yaml(5), sluicectl(1)\n";

struct options {
	const char *config_path;
	bool check, check_host, prepare_host, print, take_over;
};

/* NULL: errors were printed. */
static struct config *load(const char *path)
{
	struct config_errors errors;
	struct config *config = NULL;

	config_errors_init(&errors);
	if (config_load_file(path, &config, &errors) < 0) {
		config_errors_print(&errors, stderr);
		config = NULL;
	}
	config_errors_fini(&errors);
	return config;
}

enum { OBJECTS_NAMED_MAX = 20 };

/* Which objects of the API are part of what is checked; each line begins with `mark`. */
static void print_objects(const struct object_store *store, const char *mark)
{
	const struct object_row *row;
	size_t n = 0;

	if (!store->head)
		return;
	printf("%swith version %llu of the objects made through the admin API: %zu\n", mark,
		(unsigned long long)store->head, store->set.n);
	for (size_t i = 0; i < store->rows.n; i++) {
		row = &store->rows.items[i];
		if (row->origin != OBJECT_FROM_FILE && n++ < OBJECTS_NAMED_MAX)
			printf("%s  %s/%s%s\n", mark, row->kind, row->name,
				row->origin == OBJECT_FROM_BOTH ? " (over the file's)" : "");
	}
	if (n > OBJECTS_NAMED_MAX)
		printf("%s  and %zu more\n", mark, n - OBJECTS_NAMED_MAX);
}

/* What a start would make of the file: with what was made through the API. NULL: errors were
 * printed. */
static struct config *load_both(const char *path, struct object_store *store)
{
	struct config *config = load(path);
	struct err warning = {""}, err = {""};

	*store = (struct object_store){0};
	if (!config)
		return NULL;
	if (object_store_peek(store, path, &config, &warning, &err) < 0) {
		fprintf(stderr, "sluiced: %s\n", err.text);
		config_free(config);
		return NULL;
	}
	if (warning.text[0])
		fprintf(stderr, "sluiced: objects made through the admin API: %s%s\n", warning.text,
			store->versions ? "" : ": the file is looked at without them");
	return config;
}

/* False: errors were printed. */
static bool check_files(const struct config *config)
{
	struct config_errors errors;
	bool fine;

	config_errors_init(&errors);
	fine = build_try(config, &errors) == 0;
	if (!fine)
		config_errors_print(&errors, stderr);
	config_errors_fini(&errors);
	return fine;
}

static int check(const struct options *options)
{
	struct object_store store;
	struct config *config = load_both(options->config_path, &store);
	int status = EXIT_FAILURE;

	if (!config)
		return EXIT_FAILURE;
	if (check_files(config)) {
		status = EXIT_SUCCESS;
		if (!options->print)
			printf("%s: valid, %u listeners, %u target groups, %u certificates\n",
				options->config_path, config->listeners_count,
				config->target_groups_count, config->certificates_count);
		print_objects(&store, options->print ? "# " : "");
		if (options->print)
			config_show(config, false, stdout);
	}
	config_free(config);
	object_store_fini(&store);
	return status;
}

static int check_host(const struct options *options)
{
	struct object_store store = {0};
	struct config *config = NULL;
	int status;

	if (options->config_path) {
		config = load_both(options->config_path, &store);
		if (!config)
			return EXIT_FAILURE;
		print_objects(&store, "");
	}
	status = hostcheck_print(stdout, config) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	config_free(config);
	object_store_fini(&store);
	return status;
}

/* Private keys are in this memory: there are no core dumps of it, and a process of the same user
 * cannot look into it. */
static void hide_memory(void)
{
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		fprintf(stderr, "sluiced: cannot keep keys out of core dumps: %s\n",
			strerror(errno));
}

static int usage(FILE *out, int status)
{
	fputs(usage_text, out);
	return status;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct options *ret_options)
{
	static const struct option table[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", optional_argument, NULL, OPTION_CHECK},
		{"check-host", no_argument, NULL, OPTION_CHECK_HOST},
		{"prepare-host", no_argument, NULL, OPTION_PREPARE_HOST},
		{"print", no_argument, NULL, OPTION_PRINT},
		{"take-over", no_argument, NULL, OPTION_TAKE_OVER},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:Vh", table, NULL)) != -1) {
		switch (option) {
		case 'c':
			ret_options->config_path = optarg;
			break;
		case OPTION_CHECK:
			ret_options->check = true;
			if (optarg)
				ret_options->config_path = optarg;
			break;
		case OPTION_CHECK_HOST:
			ret_options->check_host = true;
			break;
		case OPTION_PREPARE_HOST:
			ret_options->prepare_host = true;
			break;
		case OPTION_PRINT:
			ret_options->check = ret_options->print = true;
			break;
		case OPTION_TAKE_OVER:
			ret_options->take_over = true;
			break;
		case 'V':
			printf("sluiced %s\n", SLUICE_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			return usage(stdout, EXIT_SUCCESS);
		default:
			return usage(stderr, EXIT_USAGE);
		}
	}
	/* "--check FILE" and the like read naturally: the file may stand alone. */
	if (optind < argc && !ret_options->config_path)
		ret_options->config_path = argv[optind++];
	if (optind < argc || (!ret_options->config_path &&
				     !(ret_options->check_host || ret_options->prepare_host)))
		return usage(stderr, EXIT_USAGE);
	return -1;
}

static int run(const struct options *options)
{
	struct config *config;

	if (options->prepare_host)
		return hostprepare_print(stdout, &hostprepare_host) < 0 ? EXIT_FAILURE
									: EXIT_SUCCESS;
	if (options->check_host)
		return check_host(options);
	if (options->check)
		return check(options);
	config = load(options->config_path);
	return config ? daemon_run(options->config_path, config, options->take_over) : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	int status = parse(argc, argv, &options);

	if (status >= 0)
		return status;
	upgrade_program_init(argc, argv);
	hide_memory();
	crash_init(SLUICE_VERSION);
	return daemon_end(run(&options));
}
