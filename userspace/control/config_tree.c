/* YAML text to tree: see config_tree.h. The only user of libyaml. */
#include "control/config_tree.h"

#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <yaml.h>

struct anchor {
	char *name;
	struct tree_node *node;
};

struct builder {
	struct tree *tree;
	struct config_errors *errors;
	const char *text;
	size_t len;
	struct tree_node *open[TREE_DEPTH_MAX]; /* containers that are not finished */
	uint32_t depth;
	struct anchor *anchors;
	uint32_t anchors_count;
	bool has_document;
};

static struct config_mark mark_of(yaml_mark_t mark)
{
	return (struct config_mark){(uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

/* The place of a byte, for errors found before libyaml counts lines. */
static struct config_mark mark_of_offset(const char *text, size_t offset)
{
	struct config_mark mark = {1, 1};

	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '\n') {
			mark.line++;
			mark.column = 1;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			mark.column++;
		}
	}
	return mark;
}

static char byte_at(const struct builder *b, struct config_mark wanted)
{
	struct config_mark mark = {1, 1};

	for (size_t i = 0; i < b->len; i++) {
		if (mark.line == wanted.line && mark.column == wanted.column)
			return b->text[i];
		if (b->text[i] == '\n') {
			mark.line++;
			mark.column = 1;
		} else if (i + 1 < b->len && ((unsigned char)b->text[i + 1] & 0xc0) != 0x80) {
			mark.column++;
		}
	}
	return '\0';
}

static int report_reader(struct builder *b, const yaml_parser_t *parser)
{
	size_t offset = parser->problem_offset < b->len ? parser->problem_offset : b->len;
	struct config_mark mark = mark_of_offset(b->text, offset);

	if (strstr(parser->problem, "control character"))
		config_errors_add(b->errors, mark, NULL,
			"a control character (code %d) is not allowed", parser->problem_value);
	else
		config_errors_add(b->errors, mark, NULL,
			"not valid UTF-8: the file must be text in UTF-8 (%s)", parser->problem);
	return -EINVAL;
}

static int report_syntax(struct builder *b, const yaml_parser_t *parser)
{
	struct config_mark mark = mark_of(parser->problem_mark);
	struct config_mark context = mark_of(parser->context_mark);

	if (parser->error == YAML_READER_ERROR)
		return report_reader(b, parser);
	if (parser->error == YAML_MEMORY_ERROR)
		config_errors_add(b->errors, mark, NULL, "out of memory");
	else if (byte_at(b, mark) == '\t')
		config_errors_add(b->errors, mark, NULL,
			"not valid YAML: a tab cannot be used for indentation, use spaces");
	else if (parser->context)
		config_errors_add(b->errors, mark, NULL,
			"not valid YAML: %s (%s that begins in line %u)", parser->problem,
			parser->context, context.line);
	else
		config_errors_add(b->errors, mark, NULL, "not valid YAML: %s", parser->problem);
	return -EINVAL;
}

void tree_append(struct tree_node *parent, struct tree_node *child)
{
	if (parent->child_count == parent->child_room) {
		parent->child_room = parent->child_room ? 2 * parent->child_room : 4;
		parent->child =
			mem_realloc(parent->child, parent->child_room * sizeof(parent->child[0]));
	}
	parent->child[parent->child_count++] = child;
}

static void attach(struct builder *b, struct tree_node *node)
{
	if (b->depth)
		tree_append(b->open[b->depth - 1], node);
	else
		b->tree->root = node;
}

static int set_anchor(struct builder *b, const yaml_char_t *name, struct tree_node *node)
{
	if (!name)
		return 0;
	if (b->anchors_count == TREE_ANCHORS_MAX) {
		config_errors_add(b->errors, node->mark, NULL,
			"too many anchors: at most %d are allowed", TREE_ANCHORS_MAX);
		return -EINVAL;
	}
	b->anchors = mem_realloc(b->anchors, (b->anchors_count + 1) * sizeof(b->anchors[0]));
	b->anchors[b->anchors_count++] = (struct anchor){mem_strdup((const char *)name), node};
	return 0;
}

/* Tags of YAML's own types are what the values mean anyway; any other asks for something that
 * would not happen (!include). */
static int check_tag(struct builder *b, const yaml_char_t *tag, struct config_mark mark)
{
	if (!tag || !strncmp((const char *)tag, "tag:yaml.org,2002:", 18) || tag[0] == '\0' ||
		!strcmp((const char *)tag, "!"))
		return 0;
	config_errors_add(
		b->errors, mark, NULL, "the tag \"%.64s\" is not supported", (const char *)tag);
	return -EINVAL;
}

struct tree_node *tree_make(struct tree *tree, enum tree_kind kind, struct config_mark mark)
{
	struct tree_node *node = mem_zalloc(sizeof(*node));

	node->kind = kind;
	node->mark = mark;
	node->next_made = tree->made;
	tree->made = node;
	tree->nodes++;
	return node;
}

struct tree_node *tree_make_scalar(struct tree *tree, const char *text, struct config_mark mark)
{
	struct tree_node *node = tree_make(tree, TREE_SCALAR, mark);

	node->plain = true;
	node->text = (struct slice){mem_strdup(text), strlen(text)};
	return node;
}

void tree_set_source(struct tree *tree, uint32_t source)
{
	for (struct tree_node *node = tree->made; node; node = node->next_made)
		node->mark.source = source;
}

static struct tree_node *add_node(struct builder *b, enum tree_kind kind, struct config_mark mark)
{
	struct tree_node *node;

	if (b->tree->nodes == TREE_NODES_MAX) {
		config_errors_add(b->errors, mark, NULL, "too many values: at most %d are allowed",
			TREE_NODES_MAX);
		return NULL;
	}
	node = tree_make(b->tree, kind, mark);
	attach(b, node);
	return node;
}

static int on_scalar(struct builder *b, const yaml_event_t *event)
{
	struct tree_node *node;
	int r = check_tag(b, event->data.scalar.tag, mark_of(event->start_mark));

	if (r < 0)
		return r;
	node = add_node(b, TREE_SCALAR, mark_of(event->start_mark));
	if (!node)
		return -EINVAL;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->text.ptr =
		mem_strndup((const char *)event->data.scalar.value, event->data.scalar.length);
	node->text.len = event->data.scalar.length;
	return set_anchor(b, event->data.scalar.anchor, node);
}

static int on_open(struct builder *b, const yaml_event_t *event)
{
	bool list = event->type == YAML_SEQUENCE_START_EVENT;
	struct config_mark mark = mark_of(event->start_mark);
	struct tree_node *node;
	int r;

	r = check_tag(
		b, list ? event->data.sequence_start.tag : event->data.mapping_start.tag, mark);
	if (r < 0)
		return r;
	if (b->depth == TREE_DEPTH_MAX) {
		config_errors_add(b->errors, mark, NULL,
			"nested too deeply: at most %d levels are allowed", TREE_DEPTH_MAX);
		return -EINVAL;
	}
	node = add_node(b, list ? TREE_LIST : TREE_MAPPING, mark);
	if (!node)
		return -EINVAL;
	b->open[b->depth++] = node;
	return set_anchor(b,
		list ? event->data.sequence_start.anchor : event->data.mapping_start.anchor, node);
}

static int on_alias(struct builder *b, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	struct config_mark mark = mark_of(event->start_mark);
	struct tree_node *node = NULL;

	for (uint32_t i = b->anchors_count; i > 0 && !node; i--) {
		if (!strcmp(b->anchors[i - 1].name, name))
			node = b->anchors[i - 1].node;
	}
	if (!node) {
		config_errors_add(
			b->errors, mark, NULL, "there is no anchor \"&%.64s\" before this", name);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < b->depth; i++) {
		if (b->open[i] != node)
			continue;
		config_errors_add(b->errors, mark, NULL, "\"*%.64s\" contains itself", name);
		return -EINVAL;
	}
	attach(b, node);
	return 0;
}

static int on_document(struct builder *b, const yaml_event_t *event)
{
	if (b->has_document) {
		config_errors_add(b->errors, mark_of(event->start_mark), NULL,
			"a second YAML document begins here: the file must contain one");
		return -EINVAL;
	}
	b->has_document = true;
	return 0;
}

static int on_event(struct builder *b, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		return on_document(b, event);
	case YAML_SCALAR_EVENT:
		return on_scalar(b, event);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return on_open(b, event);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	case YAML_ALIAS_EVENT:
		return on_alias(b, event);
	default:
		return 0;
	}
}

static int build(struct builder *b, yaml_parser_t *parser)
{
	yaml_event_t event;
	bool end;
	int r;

	do {
		if (!yaml_parser_parse(parser, &event))
			return report_syntax(b, parser);
		end = event.type == YAML_STREAM_END_EVENT;
		r = on_event(b, &event);
		yaml_event_delete(&event);
	} while (r == 0 && !end);
	return r;
}

int tree_parse(struct tree *tree, const char *text, size_t len, struct config_errors *errors)
{
	struct builder b = {.tree = tree, .errors = errors};
	yaml_parser_t parser;
	int r;

	*tree = (struct tree){0};
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) { /* a byte order mark is no column */
		text += 3;
		len -= 3;
	}
	b.text = text;
	b.len = len;
	if (len > TREE_FILE_BYTES_MAX) {
		config_errors_add(errors, (struct config_mark){1, 1}, NULL,
			"the file is too large: at most %d MiB are allowed",
			TREE_FILE_BYTES_MAX >> 20);
		return -EINVAL;
	}
	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	r = build(&b, &parser);
	yaml_parser_delete(&parser);
	for (uint32_t i = 0; i < b.anchors_count; i++)
		free(b.anchors[i].name);
	free(b.anchors);
	return r;
}

void tree_fini(struct tree *tree)
{
	struct tree_node *node;

	while ((node = tree->made)) {
		tree->made = node->next_made;
		free((char *)node->text.ptr);
		free(node->child);
		free(node);
	}
	*tree = (struct tree){0};
}

bool tree_is_null(const struct tree_node *node)
{
	return node->kind == TREE_SCALAR && node->plain &&
	       (node->text.len == 0 || slice_eq(node->text, SLICE("~")) ||
		       slice_eq(node->text, SLICE("null")));
}
