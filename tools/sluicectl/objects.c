/* Objects of any kind: what there is, changing them, history and rollback; trust stores in a form of
 * their own. */
#include "change.h"
#include "client.h"
#include "show.h"
#include "sluicectl.h"

#include "core/mem.h"
#include "request_target.h"
#include "settings_file.h"

#include <stdlib.h>
#include <string.h>

enum { NAMED_WORDS_MAX = 3 }; /* kind, name, file */

static const char path[] = "/v1/objects";

static int ask(const struct invocation *invocation, char *target, render_function *render)
{
	struct shown shown = {invocation, target, render};
	int code = show(&shown);

	free(target);
	return code;
}

static int put(const struct invocation *invocation, const char *method, char **words, int n)
{
	yyjson_mut_doc *settings;

	if (n != 3)
		return usage("objects put|patch KIND NAME FILE is the way, not",
			n > 0 ? words[0] : "nothing");
	settings = settings_file_read(words[2]);
	if (!settings)
		return EXIT_REFUSED;
	return change_send(invocation, method, change_target(path, words[0], words[1]), settings);
}

static int delete(const struct invocation *invocation, char **words, int n)
{
	if (n != 2)
		return usage(
			"objects delete KIND NAME is the way, not", n > 0 ? words[0] : "nothing");
	return change_send(invocation, "DELETE", change_target(path, words[0], words[1]), NULL);
}

/* "web/canary" as the path of that rule's priority; NULL: it is none. */
static char *priority_target(const char *rule)
{
	const char *slash = strchr(rule, '/');
	char *listener, *target, *whole;

	if (!slash || slash == rule || !slash[1])
		return NULL;
	listener = mem_strndup(rule, (size_t)(slash - rule));
	target = change_target("/v1/listeners", listener, "rules");
	whole = change_target(target, slash + 1, "priority");
	free(target);
	free(listener);
	return whole;
}

static int move(const struct invocation *invocation, char **words, int n)
{
	char *target = n == 2 ? priority_target(words[0]) : NULL;
	yyjson_mut_doc *doc;

	if (!target || strlen(words[1]) > 5 || strspn(words[1], "0123456789") != strlen(words[1])) {
		free(target);
		return usage("objects move LISTENER/RULE PRIORITY is the way, not",
			n > 0 ? words[0] : "nothing");
	}
	doc = change_doc();
	yyjson_mut_obj_add_uint(
		doc, yyjson_mut_doc_get_root(doc), "priority", strtoul(words[1], NULL, 10));
	return change_send(invocation, "PUT", target, doc);
}

/* "rules/web/canary", as answers call it, becomes the kind rules and the name web/canary. How many
 * words there are then. */
static int split_name(char **words, int n, char *ret_words[static NAMED_WORDS_MAX])
{
	char *slash = n > 0 && n < NAMED_WORDS_MAX ? strchr(words[0], '/') : NULL;
	int used = 0;

	if (slash && slash > words[0] && slash[1]) {
		*slash = '\0';
		ret_words[used++] = words[0];
		words[0] = slash + 1;
	}
	for (int i = 0; i < n && used < NAMED_WORDS_MAX; i++)
		ret_words[used++] = words[i];
	return used;
}

int run_objects(const struct invocation *invocation)
{
	const char *verb = invocation->n_arguments > 0 ? invocation->arguments[0] : "";
	char *words[NAMED_WORDS_MAX];
	int n = invocation->n_arguments - 1;
	bool changes = strcmp(verb, "put") == 0 || strcmp(verb, "patch") == 0 ||
		       strcmp(verb, "delete") == 0 || strcmp(verb, "move") == 0;

	if (!changes && (invocation->dry_run || invocation->existing))
		return usage("--dry-run and --existing are for put, patch, delete and move", "");
	if (changes && invocation->watch_s > 0)
		return usage("--watch is not for objects", verb);
	if (strcmp(verb, "move") == 0)
		return move(invocation, invocation->arguments + 1, n);
	n = split_name(invocation->arguments + 1, n, words);
	if (strcmp(verb, "put") == 0)
		return put(invocation, "PUT", words, n);
	if (strcmp(verb, "patch") == 0)
		return put(invocation, "PATCH", words, n);
	if (strcmp(verb, "delete") == 0)
		return delete (invocation, words, n);
	if (strcmp(verb, "show") == 0) {
		if (n != 2)
			return usage("objects show KIND NAME is the way, not",
				n > 0 ? words[0] : "nothing");
		return ask(invocation, change_target(path, words[0], words[1]), render_object);
	}
	if (n > 0)
		return usage("of objects there is show, put, patch, delete and move, not", verb);
	return ask(invocation,
		*verb ? target_add(target_new(path), "kind", verb) : target_new(path),
		render_objects);
}

static bool is_version(const char *word)
{
	return *word && strlen(word) < 20 && strspn(word, "0123456789") == strlen(word);
}

int run_history(const struct invocation *invocation)
{
	char **words = invocation->arguments;

	if (invocation->n_arguments == 2 && strcmp(words[0], "show") == 0 && is_version(words[1]))
		return ask(invocation, target_add(target_new("/v1/diff"), "to", words[1]),
			render_diff);
	if (invocation->n_arguments > 0)
		return usage("either nothing follows, or", "show VERSION");
	return ask(invocation, target_new("/v1/history"), render_history);
}

int run_diff(const struct invocation *invocation)
{
	static const char *const names[] = {"from", "to"};
	char *target = target_new("/v1/diff");

	for (int i = 0; i < invocation->n_arguments && i < 2; i++) {
		if (!is_version(invocation->arguments[i])) {
			free(target);
			return usage("a version is a number, not", invocation->arguments[i]);
		}
		target = target_add(target, names[i], invocation->arguments[i]);
	}
	return ask(invocation, target, render_diff);
}

int run_rollback(const struct invocation *invocation)
{
	char *target = target_new("/v1/rollback");

	if (invocation->n_arguments > 0)
		target = target_add(target, "to", invocation->arguments[0]);
	return change_send(invocation, "POST", target, NULL);
}

/* --- trust stores */

static int put_trust(const struct invocation *invocation, const char *name)
{
	yyjson_mut_doc *doc = change_doc();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(doc), *crls;
	bool done = change_add_content(doc, root, "ca", invocation->ca_file);

	if (invocation->n_crl_files) {
		crls = yyjson_mut_obj_add_arr(doc, root, "crls");
		for (int i = 0; i < invocation->n_crl_files && done; i++)
			done = change_add_file(doc, yyjson_mut_arr_add_obj(doc, crls), "content",
				invocation->crl_files[i]);
	}
	if (!done) {
		yyjson_mut_doc_free(doc);
		return EXIT_REFUSED;
	}
	return change_send(invocation, "PUT", change_target(path, "trust_stores", name), doc);
}

int run_trust(const struct invocation *invocation)
{
	char **words = invocation->arguments;
	bool is_put = invocation->n_arguments == 2 && strcmp(words[0], "put") == 0;
	bool is_delete = invocation->n_arguments == 2 && strcmp(words[0], "delete") == 0;

	if (!is_put && (invocation->ca_file || invocation->n_crl_files))
		return usage("--ca and --crl are for trust put", "");
	if (!is_put && !is_delete && (invocation->dry_run || invocation->existing))
		return usage("--dry-run and --existing are for trust put and delete", "");
	if ((is_put || is_delete) && invocation->watch_s > 0)
		return usage("--watch is not for trust", words[0]);
	if (is_put && !invocation->ca_file)
		return usage("trust put NAME --ca FILE [--crl FILE]... is the way", "");
	if (is_put)
		return put_trust(invocation, words[1]);
	if (is_delete)
		return change_send(
			invocation, "DELETE", change_target(path, "trust_stores", words[1]), NULL);
	return run_trust_view(invocation);
}
