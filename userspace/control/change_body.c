/* The body of a request for changes as the changes it asks for: see transaction.h. Loader thread. */
#include "control/transaction.h"

#include "control/admin_request.h"
#include "control/secret_json.h"
#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

enum { CHANGES_MAX = 10000 };

static bool has_only(yyjson_val *object, const char *names)
{
	yyjson_val *key, *value;
	size_t i, n;

	yyjson_obj_foreach(
		object, i, n, key, value) if (!admin_word_is_listed(slice_of(yyjson_get_str(key)),
						      names)) return false;
	return true;
}

static bool is_text_or_absent(yyjson_val *object, const char *name)
{
	yyjson_val *value = yyjson_obj_get(object, name);

	return !value || yyjson_is_str(value);
}

/* --- one object */

const char *change_read_settings(struct change_request *request, yyjson_val *root)
{
	request->changes[0].settings = root;
	return NULL;
}

/* --- certificates */

static void add_content(
	yyjson_mut_doc *doc, const char *setting, const char *form, const char *text, size_t len)
{
	yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
	yyjson_mut_val *value = yyjson_mut_obj_add_obj(doc, root, setting);

	yyjson_mut_obj_add_strn(doc, value, form, text, len);
}

/* As text, which the caller frees through secret_json_memory. `cert` NULL: PKCS#12. */
static char *write_settings(yyjson_val *root, const char *cert, size_t cert_len, size_t *ret_len)
{
	const char *bag = yyjson_get_str(yyjson_obj_get(root, "pkcs12"));
	const char *key = yyjson_get_str(yyjson_obj_get(root, "key"));
	const char *password = yyjson_get_str(yyjson_obj_get(root, "password"));
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	char *text;

	yyjson_mut_doc_set_root(doc, yyjson_mut_obj(doc));
	if (cert) {
		add_content(doc, "cert", "content", cert, cert_len);
		add_content(doc, "key", "content", key, strlen(key));
	} else {
		add_content(doc, "pkcs12", "base64", bag, strlen(bag));
	}
	if (password)
		add_content(doc, "key_password_file", "content", password, strlen(password));
	text = yyjson_mut_write_opts(doc, 0, &secret_json_memory, ret_len, NULL);
	yyjson_mut_doc_free(doc);
	return text;
}

/* Certificate and chain in one text. */
static char *join(yyjson_val *root, size_t *ret_len)
{
	const char *cert = yyjson_get_str(yyjson_obj_get(root, "certificate"));
	const char *chain = yyjson_get_str(yyjson_obj_get(root, "chain"));
	size_t len = strlen(cert);
	char *both = mem_printf("%s%s%s", cert, chain && len && cert[len - 1] != '\n' ? "\n" : "",
		chain ? chain : "");

	*ret_len = strlen(both);
	return both;
}

/* The text is the request's body from then on. */
static void read_again(struct change_request *request, const char *text, size_t len)
{
	yyjson_doc_free(request->doc);
	mem_secret_free(request->body, request->body_bytes);
	request->body_bytes = len + YYJSON_PADDING_SIZE;
	request->body = mem_secret_alloc(request->body_bytes);
	memcpy(request->body, text, len);
	request->doc = yyjson_read_opts(request->body, len, YYJSON_READ_INSITU, NULL, NULL);
}

static bool is_pem(yyjson_val *root)
{
	return yyjson_is_str(yyjson_obj_get(root, "certificate")) &&
	       yyjson_is_str(yyjson_obj_get(root, "key")) &&
	       has_only(root, "certificate chain key password") && is_text_or_absent(root, "chain");
}

static bool is_pkcs12(yyjson_val *root)
{
	return yyjson_is_str(yyjson_obj_get(root, "pkcs12")) && has_only(root, "pkcs12 password");
}

/* {certificate, chain, key, password} or {pkcs12, password} as the settings of an object. */
const char *change_read_certificate(struct change_request *request, yyjson_val *root)
{
	size_t cert_len = 0, len;
	char *cert = NULL, *text;

	if ((!is_pem(root) && !is_pkcs12(root)) || !is_text_or_absent(root, "password"))
		return "the body is {\"certificate\": PEM, \"key\": PEM} and may have \"chain\": PEM, "
		       "or is {\"pkcs12\": BASE64}; both may have \"password\"";
	if (is_pem(root))
		cert = join(root, &cert_len);
	text = write_settings(root, cert, cert_len, &len);
	read_again(request, text, len);
	secret_json_memory.free(NULL, text);
	if (cert)
		explicit_bzero(cert, cert_len); /* whatever was in it */
	free(cert);
	request->changes[0].settings = yyjson_doc_get_root(request->doc);
	return NULL;
}

static bool is_list_of_names(yyjson_val *object, const char *name)
{
	yyjson_val *list = yyjson_obj_get(object, name), *item;
	size_t i, n;

	if (list && !yyjson_is_arr(list))
		return false;
	yyjson_arr_foreach(list, i, n, item) if (!yyjson_is_str(item)) return false;
	return true;
}

/* Which ones a listener has. */
const char *change_read_names(struct change_request *request, yyjson_val *root)
{
	if (!has_only(root, "add remove default") || !is_list_of_names(root, "add") ||
		!is_list_of_names(root, "remove") || !is_text_or_absent(root, "default") ||
		yyjson_obj_size(root) == 0)
		return "the body is {\"add\": [NAME...], \"remove\": [NAME...], \"default\": NAME}, or "
		       "a part of it";
	request->changes[0].settings = root;
	return NULL;
}

static bool is_priority(yyjson_val *settings)
{
	yyjson_val *priority = yyjson_obj_get(settings, "priority");

	return has_only(settings, "priority") && yyjson_is_uint(priority) &&
	       yyjson_get_uint(priority) >= 1 && yyjson_get_uint(priority) <= 50000;
}

/* Where a rule is moved to. */
const char *change_read_priority(struct change_request *request, yyjson_val *root)
{
	if (!is_priority(root))
		return "the body is {\"priority\": 1 to 50000}";
	request->changes[0].settings = root;
	return NULL;
}

/* --- several at once */

static bool read_op(yyjson_val *item, enum change_op *ret_op)
{
	static const char *const words[] = {[CHANGE_PUT] = "put",
		[CHANGE_PATCH] = "patch",
		[CHANGE_DELETE] = "delete",
		[CHANGE_MOVE] = "move"};

	for (*ret_op = 0; *ret_op < array_len(words); ++*ret_op)
		if (yyjson_equals_str(yyjson_obj_get(item, "op"), words[*ret_op]))
			return true;
	return false;
}

static bool is_move(const char *kind, yyjson_val *settings)
{
	return strcmp(kind, "rules") == 0 && is_priority(settings);
}

static bool read_change(struct change_request *request, yyjson_val *item)
{
	const char *kind = yyjson_get_str(yyjson_obj_get(item, "kind"));
	const char *name = yyjson_get_str(yyjson_obj_get(item, "name"));
	const char *etag = yyjson_get_str(yyjson_obj_get(item, "if_match"));
	yyjson_val *settings = yyjson_obj_get(item, "settings");
	struct change *change;
	enum change_op op;

	if (!kind || !name || !read_op(item, &op) ||
		(op == CHANGE_MOVE && !is_move(kind, settings)) ||
		!has_only(item, "op kind name settings if_match") ||
		yyjson_is_obj(settings) != (op != CHANGE_DELETE) ||
		!is_text_or_absent(item, "if_match"))
		return false;
	change = change_request_add(request, op, kind, name);
	change->settings = settings;
	change->if_match = etag ? mem_strdup(etag) : NULL;
	return true;
}

static bool read_changes(struct change_request *request, yyjson_val *root)
{
	yyjson_val *item;
	yyjson_val *list = yyjson_obj_get(root, "changes");
	size_t i, n;

	if (!has_only(root, "changes") || yyjson_arr_size(list) == 0 ||
		yyjson_arr_size(list) > CHANGES_MAX)
		return false;
	yyjson_arr_foreach(list, i, n, item) if (!read_change(request, item)) return false;
	return true;
}

const char *change_read_several(struct change_request *request, yyjson_val *root)
{
	if (!read_changes(request, root))
		return "the body is {\"changes\": [{\"op\": \"put\"|\"patch\"|\"delete\"|\"move\" (a rule: "
		       "{\"priority\"}), \"kind\", \"name\", \"settings\" (not to delete), "
		       "\"if_match\" (an ETag)}...]}, at most 10000";
	return NULL;
}

/* --- the body */

/* In memory that is in no core dump; what the connection had of it is wiped. */
static void move_body(struct change_request *request)
{
	size_t len = request->unread.len;

	request->body_bytes = len + YYJSON_PADDING_SIZE;
	request->body = mem_secret_alloc(request->body_bytes);
	memcpy(request->body, request->unread.ptr, len);
	explicit_bzero(request->received, request->received_bytes);
	free(request->received);
	request->received = NULL;
	request->received_bytes = 0;
}

static bool refuse(struct change_refusal *refusal)
{
	refusal->http_status = 400;
	refusal->code = "bad_request";
	return false;
}

bool change_request_read(struct change_request *request, struct change_refusal *ret_refusal)
{
	struct err *text = &ret_refusal->text;
	yyjson_read_err fault;
	const char *wrong = "the body is a JSON object";
	yyjson_val *root;

	if (!request->received)
		return true;
	move_body(request);
	request->doc = yyjson_read_opts(
		request->body, request->unread.len, YYJSON_READ_INSITU, NULL, &fault);
	root = yyjson_doc_get_root(request->doc);
	if (!request->doc) {
		err_set(text, 0, "the body is no JSON: byte %zu: %s", fault.pos, fault.msg);
		return refuse(ret_refusal);
	}
	if (yyjson_is_obj(root))
		wrong = request->read(request, root);
	if (!wrong)
		return true;
	err_set(text, 0, "%s", wrong);
	return refuse(ret_refusal);
}

size_t change_request_bytes(const struct change_request *request)
{
	return request->received_bytes + request->body_bytes;
}
