/* Loading a configuration: file or text in, struct config or a list of errors out. See config.h. */
#include "control/config_merge.h"
#include "control/config_read.h"
#include "control/object_rows.h"

#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

char *config_folder(const char *name)
{
	const char *slash = strrchr(name, '/');
	int len = slash ? (int)(slash - name) : 0;
	char here[PATH_MAX];

	if (name[0] == '/')
		return mem_strndup(name, (size_t)len);
	if (!getcwd(here, sizeof(here)))
		strcpy(here, ".");
	if (len == 0)
		return mem_strdup(strcmp(here, "/") ? here : "");
	return mem_printf("%s/%.*s", strcmp(here, "/") ? here : "", len, name);
}

static char *folder_of(struct config_store *store, const char *name)
{
	char *folder = config_folder(name), *kept = config_store_printf(store, "%s", folder);

	free(folder);
	return kept;
}

static void set_file(struct config_errors *errors, const char *name)
{
	config_errors_set_file(errors, name);
}

static struct config *config_new(const char *name)
{
	struct config *config = mem_zalloc(sizeof(*config));

	atomic_init(&config->refs, 1);
	config->store = config_store_new();
	config->file = config_store_printf(config->store, "%s", name);
	return config;
}

struct config *config_get(struct config *config)
{
	atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
	return config;
}

void config_free(struct config *config)
{
	if (!config || atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) != 1)
		return;
	config_store_free(config->store);
	free(config);
}

static void read_and_check(
	struct config *config, const struct tree_node *root, struct config_errors *errors)
{
	struct config_reader reader = {.config = config, .errors = errors};

	reader.place.store = config->store;
	reader.place.folder = folder_of(config->store, config->file);
	config_read_tree(&reader, root);
	config_resolve_refs(&reader);
	config_store_seal(config->store);
	config_check(config, errors);
}

static int parse_merged(struct tree *tree, const struct config_text *text,
	const struct config_overlay *overlay, struct config_merged *merged,
	struct config **ret_config, struct config_errors *errors)
{
	uint32_t before = config_errors_total(errors);
	struct config *config;

	if (overlay && config_merge(tree, overlay, merged, errors) < 0)
		return -EINVAL;
	config = config_new(text->name);
	read_and_check(config, tree->root, errors);
	if (config_errors_total(errors) != before) {
		config_free(config);
		return -EINVAL;
	}
	*ret_config = config;
	return 0;
}

int config_compose(const struct config_text *text, const struct config_overlay *overlay,
	struct config **ret_config, struct object_rows *ret_rows, struct config_errors *errors)
{
	struct config_merged merged = {0};
	struct tree tree;
	int r;

	set_file(errors, text->name);
	r = tree_parse(&tree, text->bytes, text->len, errors);
	if (r == 0)
		r = parse_merged(&tree, text, overlay, &merged, ret_config, errors);
	if (r == 0 && ret_rows)
		object_rows_init(ret_rows, &tree, overlay, &merged);
	config_merged_fini(&merged);
	tree_fini(&tree);
	return r;
}

int config_parse(const char *text, size_t len, const char *name, struct config **ret_config,
	struct config_errors *errors)
{
	struct config_text whole = {(char *)text, len, (char *)name};

	return config_compose(&whole, NULL, ret_config, NULL, errors);
}

/* At most one byte more than is allowed, so that the parser sees that it is too much. */
static int read_all(int fd, char **ret_text, size_t *ret_len)
{
	size_t room = 64 * 1024, len = 0;
	char *text = mem_alloc(room);
	ssize_t n;

	for (;;) {
		if (len == room) {
			room *= 2;
			text = mem_realloc(text, room);
		}
		n = read(fd, text + len, room - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || len + (size_t)n > TREE_FILE_BYTES_MAX)
			break;
		len += (size_t)n;
	}
	if (n < 0) {
		n = -errno;
		free(text);
		return (int)n;
	}
	*ret_text = text;
	*ret_len = len + (size_t)n;
	return 0;
}

int config_text_read(struct config_text *text, const char *path, struct config_errors *errors)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), r;

	*text = (struct config_text){0};
	r = fd < 0 ? -errno : read_all(fd, &text->bytes, &text->len);
	if (fd >= 0)
		close(fd);
	if (r < 0) {
		set_file(errors, path);
		config_errors_add(errors, (struct config_mark){0}, NULL, "cannot read the file: %s",
			strerror(-r));
		return r;
	}
	text->name = mem_strdup(path);
	return 0;
}

void config_text_fini(struct config_text *text)
{
	free(text->bytes);
	free(text->name);
	*text = (struct config_text){0};
}

int config_load_file(const char *path, struct config **ret_config, struct config_errors *errors)
{
	struct config_text text;
	int r = config_text_read(&text, path, errors);

	if (r < 0)
		return r;
	r = config_parse(text.bytes, text.len, path, ret_config, errors);
	config_text_fini(&text);
	return r;
}

struct config_mark config_mark(
	const struct config *config, const void *field, struct config_mark fallback)
{
	const struct config_mark *mark = config_store_find(config->store, field);

	return mark && mark->line ? *mark : fallback;
}

bool config_is_given(const struct config *config, const void *field)
{
	return config_store_find(config->store, field) != NULL;
}
