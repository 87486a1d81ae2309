/* Certificates: the inventory, which one a client gets, and changing them. */
#include "answer.h"
#include "change.h"
#include "client.h"
#include "sluicectl.h"

#include "core/mem.h"
#include "request_target.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE_TIMEOUT_S = 30 };

static const char path[] = "/v1/certificates";

/* --- the inventory */

/* The next page, or the only one. 0, or an exit code. */
static int ask_page(const struct invocation *invocation, uint64_t after, struct answer *ret_answer)
{
	struct client_request request = {
		.where = &invocation->where, .method = "GET", .timeout_s = PAGE_TIMEOUT_S};
	char *target = target_add(target_new(path), "limit", "256"), number[24];
	struct err err;
	int rc;

	snprintf(number, sizeof(number), "%llu", (unsigned long long)after);
	if (after)
		target = target_add(target, "after", number);
	request.target = target;
	rc = client_ask(&request, ret_answer, &err);
	free(target);
	if (rc == 0)
		return EXIT_OK;
	fprintf(stderr, "sluicectl: %s\n", err.text);
	return EXIT_UNREACHABLE;
}

/* Adds the rows of further pages to those of the first one, in `doc`. */
static int add_pages(const struct invocation *invocation, uint64_t next, yyjson_mut_doc *doc)
{
	yyjson_mut_val *list = yyjson_mut_obj_get(yyjson_mut_doc_get_root(doc), "certificates");
	int code = EXIT_OK;

	while (next && code == EXIT_OK) {
		struct answer answer;
		yyjson_val *root, *row;
		size_t i, n;

		code = ask_page(invocation, next, &answer);
		if (code != EXIT_OK)
			break;
		root = yyjson_doc_get_root(answer.doc);
		next = yyjson_get_uint(yyjson_obj_get(root, "next"));
		yyjson_arr_foreach(yyjson_obj_get(root, "certificates"), i, n, row)
			yyjson_mut_arr_append(list, yyjson_val_mut_copy(doc, row));
		if (answer.status >= 300)
			code = EXIT_REFUSED;
		client_answer_free(&answer);
	}
	return code;
}

/* All pages as one answer. */
static int list(const struct invocation *invocation)
{
	struct render_look look = look_now(invocation);
	struct answer first;
	yyjson_mut_doc *doc;
	uint64_t next;
	int code = ask_page(invocation, 0, &first);

	if (code != EXIT_OK)
		return code;
	next = yyjson_get_uint(yyjson_obj_get(yyjson_doc_get_root(first.doc), "next"));
	if (first.status < 300 && next) {
		doc = yyjson_doc_mut_copy(first.doc, NULL);
		code = add_pages(invocation, next, doc);
		yyjson_mut_obj_remove_key(yyjson_mut_doc_get_root(doc), "next");
		client_answer_free(&first);
		first.status = 200;
		first.text = yyjson_mut_write(doc,
			YYJSON_WRITE_PRETTY_TWO_SPACES | YYJSON_WRITE_NEWLINE_AT_END, &first.len);
		first.doc = yyjson_mut_doc_imut_copy(doc, NULL);
		yyjson_mut_doc_free(doc);
	}
	if (code == EXIT_OK)
		code = answer_print(&first, invocation, render_certs, &look, stdout);
	client_answer_free(&first);
	return code;
}

static int ask(const struct invocation *invocation, char *target, render_function *render)
{
	struct client_request request = {
		.where = &invocation->where,
		.method = "GET",
		.target = target,
		.timeout_s = PAGE_TIMEOUT_S,
	};
	int code = run_request(invocation, &request, render);

	free(target);
	return code;
}

static int show(const struct invocation *invocation, char **words, int n)
{
	if (n != 1)
		return usage("certs show: which one?", n ? words[1] : "");
	return ask(invocation, target_add(target_new(path), "name", words[0]), render_cert);
}

static int choose(const struct invocation *invocation, char **words, int n)
{
	char *target = target_new("/v1/certificate-choice");

	if (n != 1) {
		free(target);
		return usage("certs for: which server name?", n ? words[1] : "");
	}
	target = target_add(target, "host", words[0]);
	if (invocation->listener)
		target = target_add(target, "listener", invocation->listener);
	if (invocation->sigalgs)
		target = target_add(target, "sigalgs", invocation->sigalgs);
	if (invocation->tls)
		target = target_add(target, "tls", invocation->tls);
	return ask(invocation, target, render_choice);
}

/* --- changing */

static bool has_all_files(const struct invocation *invocation)
{
	if (invocation->pkcs12_file)
		return !invocation->cert_file && !invocation->key_file && !invocation->chain_file;
	return invocation->cert_file && invocation->key_file;
}

static bool add_files(
	const struct invocation *invocation, yyjson_mut_doc *doc, yyjson_mut_val *root)
{
	const struct {
		const char *member, *path;
	} texts[] = {{"certificate", invocation->cert_file}, {"key", invocation->key_file},
		{"chain", invocation->chain_file}, {"password", invocation->password_file}};

	if (invocation->pkcs12_file &&
		!change_add_base64(doc, root, "pkcs12", invocation->pkcs12_file))
		return false;
	for (size_t i = 0; i < array_len(texts); i++)
		if (texts[i].path && !change_add_file(doc, root, texts[i].member, texts[i].path))
			return false;
	return true;
}

static int put(const struct invocation *invocation, char **words, int n)
{
	yyjson_mut_doc *doc;

	if (n != 1 || !has_all_files(invocation))
		return usage("certs put NAME --cert FILE --key FILE [--chain FILE] is the way, or "
			     "--pkcs12 FILE, not",
			n ? words[0] : "");
	doc = change_doc();
	if (!add_files(invocation, doc, yyjson_mut_doc_get_root(doc))) {
		yyjson_mut_doc_free(doc);
		return EXIT_REFUSED;
	}
	return change_send(invocation, "PUT", change_target(path, words[0], NULL), doc);
}

static int delete(const struct invocation *invocation, char **words, int n)
{
	if (n != 1)
		return usage("certs delete: which one?", n ? words[1] : "");
	return change_send(invocation, "DELETE", change_target(path, words[0], NULL), NULL);
}

/* "add", "remove" with a list; "default" with one. */
static int associate(const struct invocation *invocation, char **words, int n)
{
	const char *verb = words[-1];
	bool is_default = strcmp(verb, "default") == 0;
	yyjson_mut_doc *doc;
	yyjson_mut_val *root, *list;
	char *target;

	if (n < 2 || (is_default && n > 2))
		return usage("certs add|remove LISTENER NAME..., certs default LISTENER NAME, not",
			verb);
	doc = change_doc();
	root = yyjson_mut_doc_get_root(doc);
	if (is_default) {
		yyjson_mut_obj_add_str(doc, root, "default", words[1]);
	} else {
		list = yyjson_mut_obj_add_arr(doc, root, verb);
		for (int i = 1; i < n; i++)
			yyjson_mut_arr_add_str(doc, list, words[i]);
	}
	target = change_target("/v1/listeners", words[0], "certificates");
	return change_send(invocation, "POST", target, doc);
}

static int history(const struct invocation *invocation, char **words, int n)
{
	return run_history(invocation);
}

int run_certs(const struct invocation *invocation)
{
	static const struct {
		const char *name;
		int (*run)(const struct invocation *invocation, char **words, int n);
		bool changes, has_files;
	} verbs[] = {{"show", show, false, false}, {"for", choose, false, false},
		{"put", put, true, true}, {"delete", delete, true, false},
		{"add", associate, true, false}, {"remove", associate, true, false},
		{"default", associate, true, false}, {"history", history, false, false}};
	bool has_files = invocation->cert_file || invocation->key_file || invocation->chain_file ||
			 invocation->pkcs12_file || invocation->password_file;

	if (invocation->watch_s > 0 && invocation->n_arguments > 0)
		return usage("--watch is for certs alone, not for certs", invocation->arguments[0]);
	if (invocation->n_arguments == 0 &&
		(has_files || invocation->dry_run || invocation->existing))
		return usage("certs alone changes nothing: what is to be done?", "");
	if ((invocation->listener || invocation->sigalgs || invocation->tls) &&
		(invocation->n_arguments == 0 || strcmp(invocation->arguments[0], "for") != 0))
		return usage("--listener, --sigalgs and --tls are for certs for", "");
	if (invocation->n_arguments == 0)
		return invocation->watch_s > 0 ? run_certs_view(invocation) : list(invocation);
	for (size_t i = 0; i < array_len(verbs); i++) {
		if (strcmp(invocation->arguments[0], verbs[i].name) != 0)
			continue;
		if (!verbs[i].changes && (invocation->dry_run || invocation->existing))
			return usage("--dry-run and --existing are not for certs", verbs[i].name);
		if (!verbs[i].has_files && has_files)
			return usage(
				"--cert, --key, --chain, --pkcs12 and --password-file are not for certs",
				verbs[i].name);
		return verbs[i].run(
			invocation, invocation->arguments + 1, invocation->n_arguments - 1);
	}
	return usage(
		"of certs there is show, for, put, delete, add, remove, default and history, not",
		invocation->arguments[0]);
}
