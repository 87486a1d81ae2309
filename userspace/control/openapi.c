/* The document that describes the admin API: see openapi.h. */
#include "control/openapi.h"

#include "control/admin.h"
#include "control/object_kinds.h"
#include "core/mem.h"
#include "core/version.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row of api.def. */
struct command {
	const char *method, *path, *name, *role, *parameters, *help;
};

static const struct command command_rows[] = {
#define VIEW(path, name, help) {"GET", path, #name, "READ", "", help},
#define CALL(method, path, name, role, parameters, body_max, help)                                 \
	{#method, path, #name, #role, parameters, help},
#include "control/api.def"
#undef VIEW
#undef CALL
};

static const struct {
	const char *name, *schema, *help;
} parameter_rows[] = {
#define PARAMETER(name, schema, help) {#name, schema, help},
#include "control/api_parameters.def"
};

static const struct {
	const char *path, *names;
} argument_rows[] = {
#define ARGUMENTS(path, names) {path, names},
#include "control/api_parameters.def"
};

static const struct {
	const char *name, *type, *schema;
} body_rows[] = {
#define BODY(callback, type, schema) {#callback, type, schema},
#include "control/api_parameters.def"
};

/* One path of the document: a row's, or one of the several that a path of objects stands for. */
struct entry {
	const struct command *row;
	const struct object_kind *kind; /* NULL: it is of no kind */
	char path[128];
	char arguments[64]; /* separated by spaces */
};

static yyjson_mut_val *parsed(yyjson_mut_doc *doc, const char *json)
{
	yyjson_doc *read = yyjson_read(json, strlen(json), 0);
	yyjson_mut_val *value = yyjson_val_mut_copy(doc, yyjson_doc_get_root(read));

	if (!value)
		abort(); /* a row of api_parameters.def is no JSON */
	yyjson_doc_free(read);
	return value;
}

/* --- parameters */

static void add_parameter(yyjson_mut_doc *doc, yyjson_mut_val *list, const char *where,
	struct slice name, yyjson_mut_val *schema, const char *help)
{
	yyjson_mut_val *parameter = yyjson_mut_arr_add_obj(doc, list);

	yyjson_mut_obj_add_strncpy(doc, parameter, "name", name.ptr, name.len);
	yyjson_mut_obj_add_str(doc, parameter, "in", where);
	if (strcmp(where, "path") == 0)
		yyjson_mut_obj_add_bool(doc, parameter, "required", true);
	if (help)
		yyjson_mut_obj_add_str(doc, parameter, "description", help);
	yyjson_mut_obj_add_val(doc, parameter, "schema", schema);
}

static void add_query(yyjson_mut_doc *doc, yyjson_mut_val *list, const char *parameters)
{
	struct slice word;

	while (config_word_next(&parameters, &word))
		for (size_t i = 0; i < array_len(parameter_rows); i++)
			if (slice_eq(word, slice_of(parameter_rows[i].name)))
				add_parameter(doc, list, "query", word,
					parsed(doc, parameter_rows[i].schema),
					parameter_rows[i].help);
}

static bool changes_one(const struct command *row)
{
	return strncmp(row->name, "object_", 7) == 0 ||
	       strncmp(row->name, "certificate_p", 13) == 0 ||
	       strcmp(row->name, "certificate_delete") == 0 || strcmp(row->name, "rule_move") == 0;
}

static void add_parameters(
	yyjson_mut_doc *doc, yyjson_mut_val *operation, const struct entry *entry)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, operation, "parameters");
	const char *arguments = entry->arguments;
	struct slice word;

	while (config_word_next(&arguments, &word))
		add_parameter(doc, list, "path", word, parsed(doc, "{\"type\": \"string\"}"), NULL);
	add_query(doc, list, entry->row->parameters);
	if (!changes_one(entry->row) || strcmp(entry->row->method, "GET") == 0)
		return;
	add_parameter(doc, list, "header", SLICE("If-Match"), parsed(doc, "{\"type\": \"string\"}"),
		"only if the object is as it was: its ETag; *: if it is there");
	add_parameter(doc, list, "header", SLICE("If-None-Match"),
		parsed(doc, "{\"const\": \"*\"}"), "only if there is none");
}

/* --- bodies */

static void add_body(
	yyjson_mut_doc *doc, yyjson_mut_val *operation, const char *type, yyjson_mut_val *schema)
{
	yyjson_mut_val *body = yyjson_mut_obj_add_obj(doc, operation, "requestBody");
	yyjson_mut_val *content = yyjson_mut_obj_add_obj(doc, body, "content");

	yyjson_mut_obj_add_bool(doc, body, "required", true);
	yyjson_mut_obj_add_val(doc, yyjson_mut_obj_add_obj(doc, content, type), "schema", schema);
}

/* RFC 7396: any of the settings, and null of what is to go. */
static yyjson_mut_val *patch_schema(yyjson_mut_doc *doc, enum setting_section section)
{
	yyjson_mut_val *schema =
		parsed(doc, "{\"type\": \"object\", \"propertyNames\": {\"enum\": []}}");
	yyjson_mut_val *names =
		yyjson_mut_obj_get(yyjson_mut_obj_get(schema, "propertyNames"), "enum");
	const struct setting *row;

	for_each_setting(row, section) yyjson_mut_arr_add_str(doc, names, row->name);
	return schema;
}

static void add_settings_body(
	yyjson_mut_doc *doc, yyjson_mut_val *operation, const struct entry *entry)
{
	const struct object_kind *kind = entry->kind;

	if (strcmp(entry->row->method, "PATCH") == 0 && !kind->is_section)
		add_body(doc, operation, "application/merge-patch+json",
			patch_schema(doc, kind->section));
	else if (strcmp(entry->row->method, "PUT") == 0 && !kind->is_section)
		add_body(doc, operation, "application/json",
			openapi_ref(doc, openapi_section_name(kind->section)));
	else if (strcmp(entry->row->method, "DELETE") != 0 &&
		 strcmp(entry->row->method, "GET") != 0)
		add_body(doc, operation, "application/json", parsed(doc, "{\"type\": \"object\"}"));
}

static void add_body_of(yyjson_mut_doc *doc, yyjson_mut_val *operation, const struct entry *entry)
{
	if (entry->kind) {
		add_settings_body(doc, operation, entry);
		return;
	}
	for (size_t i = 0; i < array_len(body_rows); i++)
		if (strcmp(body_rows[i].name, entry->row->name) == 0)
			add_body(doc, operation, body_rows[i].type,
				parsed(doc, body_rows[i].schema));
}

/* --- operations */

static void add_responses(yyjson_mut_doc *doc, yyjson_mut_val *operation)
{
	yyjson_mut_obj_add_val(doc, operation, "responses",
		parsed(doc, "{\"2XX\": {\"description\": \"done; docs/api.md has the members\"}, "
			    "\"default\": {\"$ref\": \"#/components/responses/error\"}}"));
}

static yyjson_mut_val *lower_case(yyjson_mut_doc *doc, const char *word)
{
	char text[16] = "";

	for (size_t i = 0; word[i] && i + 1 < sizeof(text); i++)
		text[i] = (char)tolower((unsigned char)word[i]);
	return yyjson_mut_strcpy(doc, text);
}

static void add_operation(yyjson_mut_doc *doc, yyjson_mut_val *path, const struct entry *entry)
{
	yyjson_mut_val *operation = yyjson_mut_obj(doc);
	char *id;

	id = mem_printf("%s%s%s", entry->row->name, entry->kind ? "_" : "",
		entry->kind ? entry->kind->name : "");
	yyjson_mut_obj_add_strcpy(doc, operation, "operationId", id);
	free(id);
	yyjson_mut_obj_add_str(doc, operation, "summary", entry->row->help);
	yyjson_mut_obj_add_val(doc, operation, "x-sluice-role", lower_case(doc, entry->row->role));
	add_parameters(doc, operation, entry);
	add_body_of(doc, operation, entry);
	add_responses(doc, operation);
	yyjson_mut_obj_add(path, lower_case(doc, entry->row->method), operation);
}

static const char *argument_names(const char *path)
{
	for (size_t i = 0; i < array_len(argument_rows); i++)
		if (strcmp(argument_rows[i].path, path) == 0)
			return argument_rows[i].names;
	return "name";
}

/* {} becomes {name}. */
static void name_arguments(struct entry *entry, const char *path)
{
	const char *names = entry->arguments;
	size_t used = 0;
	struct slice word;

	for (; *path && used + 1 < sizeof(entry->path); path++) {
		entry->path[used++] = *path;
		if (*path == '{' && config_word_next(&names, &word))
			used += (size_t)snprintf(entry->path + used, sizeof(entry->path) - used,
				"%.*s", (int)word.len, word.ptr);
	}
	entry->path[used] = '\0';
}

static void add_entry(yyjson_mut_doc *doc, yyjson_mut_val *paths, const struct command *row,
	const struct object_kind *kind)
{
	struct entry entry = {.row = row, .kind = kind};
	char path[128];
	yyjson_mut_val *at;

	snprintf(path, sizeof(path), "%s", row->path);
	if (kind) {
		snprintf(path, sizeof(path), "/v1/objects/%s/%s", kind->name,
			kind->parent ? "{}/{}" : "{}");
		snprintf(entry.arguments, sizeof(entry.arguments), "%s%sname",
			kind->parent ? kind->parent : "", kind->parent ? " " : "");
	} else {
		snprintf(entry.arguments, sizeof(entry.arguments), "%s",
			strchr(path, '{') ? argument_names(path) : "");
	}
	name_arguments(&entry, path);
	at = yyjson_mut_obj_get(paths, entry.path);
	if (!at) {
		at = yyjson_mut_obj(doc);
		yyjson_mut_obj_add(paths, yyjson_mut_strcpy(doc, entry.path), at);
	}
	add_operation(doc, at, &entry);
}

/* A path of objects stands for one of each kind. */
static void add_paths(yyjson_mut_doc *doc, yyjson_mut_val *paths)
{
	for (size_t i = 0; i < array_len(command_rows); i++) {
		const struct command *row = &command_rows[i];
		bool is_child = strcmp(row->path, "/v1/objects/{}/{}/{}") == 0;

		if (!is_child && strcmp(row->path, "/v1/objects/{}/{}") != 0) {
			add_entry(doc, paths, row, NULL);
			continue;
		}
		for (const struct object_kind *kind = object_kind_rows; kind->name; kind++)
			if ((kind->parent != NULL) == is_child)
				add_entry(doc, paths, row, kind);
	}
}

static void add_components(yyjson_mut_doc *doc, yyjson_mut_val *root)
{
	yyjson_mut_val *components = yyjson_mut_obj_add_obj(doc, root, "components");
	yyjson_mut_val *schemas = yyjson_mut_obj_add_obj(doc, components, "schemas");

	openapi_add_sections(doc, schemas);
	yyjson_mut_obj_add_val(doc, schemas, "content",
		parsed(doc,
			"{\"description\": \"A path; or, of what is kept by the daemon, the content "
			"itself. Answers have its SHA-256, which may be sent again.\", "
			"\"anyOf\": [{\"type\": \"string\", \"minLength\": 1}, "
			"{\"type\": \"object\", \"minProperties\": 1, \"maxProperties\": 1, "
			"\"additionalProperties\": false, \"properties\": {"
			"\"content\": {\"type\": \"string\", \"writeOnly\": true}, "
			"\"base64\": {\"type\": \"string\", \"writeOnly\": true}, "
			"\"blob\": {\"type\": \"string\", \"pattern\": \"^[0-9a-f]{64}$\"}}}]}"));
	yyjson_mut_obj_add_val(doc, schemas, "error",
		parsed(doc,
			"{\"description\": \"RFC 9457\", \"type\": \"object\", \"required\": [\"type\", "
			"\"title\", \"status\", \"detail\", \"code\", \"error\"], \"properties\": {"
			"\"type\": {\"const\": \"about:blank\"}, \"title\": {\"type\": \"string\"}, "
			"\"status\": {\"type\": \"integer\"}, \"detail\": {\"type\": \"string\"}, "
			"\"code\": {\"type\": \"string\"}, \"errors\": {\"type\": \"array\", \"items\": "
			"{\"type\": \"object\", \"properties\": {\"detail\": {\"type\": \"string\"}, "
			"\"field\": {\"type\": \"string\"}, \"source\": {\"type\": \"string\"}, "
			"\"line\": {\"type\": \"integer\"}, \"column\": {\"type\": \"integer\"}}}}, "
			"\"error\": {\"type\": \"object\", \"required\": [\"code\", \"message\"], "
			"\"properties\": {\"code\": {\"type\": \"string\"}, "
			"\"message\": {\"type\": \"string\"}, \"errors\": {\"type\": \"array\", "
			"\"items\": {\"type\": \"string\"}}}}}}"));
	yyjson_mut_obj_add_val(doc, components, "responses",
		parsed(doc,
			"{\"error\": {\"description\": \"refused; nothing was changed unless "
			"the code says otherwise\", \"content\": {\"application/problem+json\": "
			"{\"schema\": {\"$ref\": \"#/components/schemas/error\"}}}}}"));
}

char *openapi_write(size_t *ret_len)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc), *info;
	char *text;

	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_str(doc, root, "openapi", "3.1.0");
	info = yyjson_mut_obj_add_obj(doc, root, "info");
	yyjson_mut_obj_add_str(doc, info, "title", "sluice");
	yyjson_mut_obj_add_str(doc, info, "version", SLUICE_VERSION);
	yyjson_mut_obj_add_str(doc, info, "description",
		"The admin API of sluiced. docs/api.md has the members of answers.");
	add_paths(doc, yyjson_mut_obj_add_obj(doc, root, "paths"));
	add_components(doc, root);
	text = yyjson_mut_write(doc, 0, ret_len);
	yyjson_mut_doc_free(doc);
	if (!text)
		abort(); /* out of memory: all texts are UTF-8 */
	return text;
}
