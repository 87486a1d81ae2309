/* Hosts and paths of rules: see rules_index.h. */
#include "proxy/rules_index.h"

#include "core/hash.h"
#include "core/mem.h"
#include "proxy/rules_parts.h"

#include <stdlib.h>
#include <string.h>

enum {
	DOTS_MAX = 63, /* in what is behind "*"; others are in the bucket of any host */
	PLACES_MAX = 1024, /* of one rule by its paths; else it stands at the root of its hosts */
	BUCKET_ANY = 0, /* rules that no table of hosts can tell */
};

/* A rule at a place while the index is made. */
struct entry {
	uint32_t bucket, rule;
	struct slice key; /* of the path */
	bool is_prefix;
};

/* Of a radix tree. The children of a node stand together. */
struct node {
	const char *label; /* of the rules' patterns */
	uint32_t label_len;
	uint32_t first_child;
	uint32_t n_children;
	uint32_t at, n_exact,
		n_prefix; /* of rules_index.rules: those of the very path come first */
};

struct bucket {
	struct slice host; /* "a.test", ".a.test" for what is behind "*"; of the rules' patterns */
	uint32_t root;
};

struct rules_index {
	struct hash_key key;
	struct bucket *buckets;
	uint32_t n_buckets;
	uint32_t *slots; /* buckets, 0: empty (BUCKET_ANY is not looked up) */
	uint32_t mask;
	uint64_t dots; /* bit n: there are "*" hosts with n dots behind it */
	struct node *nodes;
	uint8_t *firsts; /* first byte of each node's label */
	uint32_t n_nodes;
	uint32_t *rules;
};

struct making {
	struct rules_index *index;
	struct entry *entries;
	uint32_t n, room;
	uint32_t buckets_room;
};

/* --- hosts */
static uint32_t slot_of(const struct rules_index *index, struct slice host)
{
	uint32_t at = (uint32_t)hash_bytes(&index->key, host.ptr, host.len) & index->mask;

	while (index->slots[at] && !slice_eq(index->buckets[index->slots[at]].host, host))
		at = (at + 1) & index->mask;
	return at;
}

static void grow_slots(struct rules_index *index)
{
	uint32_t i;

	free(index->slots);
	index->mask = index->mask * 2 + 1;
	index->slots = mem_zalloc((index->mask + 1) * sizeof(*index->slots));
	for (i = 1; i < index->n_buckets; i++)
		index->slots[slot_of(index, index->buckets[i].host)] = i;
}

static uint32_t add_bucket(struct making *making, struct slice host)
{
	struct rules_index *index = making->index;

	if (index->n_buckets == making->buckets_room) {
		making->buckets_room = making->buckets_room ? 2 * making->buckets_room : 16;
		index->buckets =
			mem_realloc(index->buckets, making->buckets_room * sizeof(*index->buckets));
	}
	index->buckets[index->n_buckets] = (struct bucket){.host = host};
	return index->n_buckets++;
}

static uint32_t bucket_of(struct making *making, struct slice host)
{
	struct rules_index *index = making->index;
	uint32_t slot = slot_of(index, host);

	if (index->slots[slot])
		return index->slots[slot];
	if (2 * (index->n_buckets + 1) > index->mask) {
		grow_slots(index);
		slot = slot_of(index, host);
	}
	return index->slots[slot] = add_bucket(making, host);
}

static uint32_t count_dots(struct slice text)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < text.len; i++)
		n += text.ptr[i] == '.';
	return n;
}

/* "*.a.test": what is behind the "*". Patterns have small letters, and one literal only: behind. */
static bool behind_star(const struct rules_pattern *pattern, char *out, struct slice *ret_host)
{
	uint32_t i;

	if (pattern->kind != RULES_WILDCARD || pattern->n_ops < 2 ||
		pattern->n_ops > RULES_HOST_BYTES_MAX || pattern->ops[0] != RULES_OP_RUN ||
		pattern->ops[1] != '.')
		return false;
	for (i = 1; i < pattern->n_ops; i++) {
		if (pattern->ops[i] >= RULES_OP_RUN)
			return false;
		out[i - 1] = (char)pattern->ops[i];
	}
	*ret_host = (struct slice){out, pattern->n_ops - 1};
	return count_dots(*ret_host) <= DOTS_MAX;
}

static uint32_t bucket_of_pattern(struct making *making, const struct rules_pattern *pattern)
{
	char text[RULES_HOST_BYTES_MAX];
	struct slice host;
	uint32_t bucket;

	if (pattern->kind == RULES_TEXT && pattern->text.len <= RULES_HOST_BYTES_MAX)
		return bucket_of(making, pattern->text);
	if (!behind_star(pattern, text, &host))
		return BUCKET_ANY;
	making->index->dots |= 1ull << count_dots(host);
	bucket = bucket_of(making, host);
	if (making->index->buckets[bucket].host.ptr == text) /* a new one: in memory that stays */
		making->index->buckets[bucket].host.ptr = memcpy(pattern->literal, text, host.len);
	return bucket;
}

/* --- paths */
static void add_entry(struct making *making, struct entry entry)
{
	if (making->n == making->room) {
		making->room = making->room ? 2 * making->room : 256;
		making->entries =
			mem_realloc(making->entries, making->room * sizeof(*making->entries));
	}
	making->entries[making->n++] = entry;
}

static void add_paths(
	struct making *making, uint32_t bucket, uint32_t rule, const struct rules_test *paths)
{
	struct entry entry = {.bucket = bucket, .rule = rule, .key = {"", 0}, .is_prefix = true};
	uint32_t i;

	if (!paths) {
		add_entry(making, entry);
		return;
	}
	for (i = 0; i < paths->n_values; i++) {
		const struct rules_pattern *pattern = &paths->values[i];

		entry.key = pattern->kind == RULES_REGEX ? (struct slice){"", 0} : pattern->text;
		entry.is_prefix = pattern->kind != RULES_TEXT;
		add_entry(making, entry);
	}
}

static void add_rule(struct making *making, const struct rules_rule *rule, uint32_t number)
{
	const struct rules_test *hosts = rules_rule_test(rule, RULES_HOST);
	const struct rules_test *paths = rules_rule_test(rule, RULES_PATH);
	uint32_t i;

	if (!hosts)
		add_paths(making, BUCKET_ANY, number, paths);
	if (hosts && paths && (uint64_t)hosts->n_values * paths->n_values > PLACES_MAX)
		paths = NULL;
	for (i = 0; hosts && i < hosts->n_values; i++)
		add_paths(making, bucket_of_pattern(making, &hosts->values[i]), number, paths);
}

/* --- the trees */
static int compare_slices(struct slice a, struct slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.ptr, b.ptr, len) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = (x->bucket > y->bucket) - (x->bucket < y->bucket);

	order = order ?: compare_slices(x->key, y->key);
	order = order ?: x->is_prefix - y->is_prefix;
	return order ?: (x->rule > y->rule) - (x->rule < y->rule);
}

static uint32_t drop_repeats(struct entry *entries, uint32_t n)
{
	uint32_t i, kept = 0;

	for (i = 0; i < n; i++)
		if (!kept || compare_entries(&entries[kept - 1], &entries[i]) != 0)
			entries[kept++] = entries[i];
	return kept;
}

static size_t common_bytes(struct slice a, struct slice b)
{
	size_t n = 0, len = a.len < b.len ? a.len : b.len;

	while (n < len && a.ptr[n] == b.ptr[n])
		n++;
	return n;
}

/* The end of those that go on with the same byte. */
static uint32_t same_byte_end(
	const struct entry *entries, uint32_t begin, uint32_t end, size_t depth)
{
	char byte = entries[begin].key.ptr[depth];

	while (begin < end && entries[begin].key.ptr[depth] == byte)
		begin++;
	return begin;
}

/* The node of entries [begin, end), which have the first `depth` bytes in common. */
static void make_node(
	struct making *making, uint32_t number, uint32_t begin, uint32_t end, size_t depth)
{
	const struct entry *entries = making->entries;
	struct rules_index *index = making->index;
	struct node *node = &index->nodes[number];
	size_t deep = common_bytes(entries[begin].key, entries[end - 1].key);
	uint32_t child, at;

	*node = (struct node){.label = entries[begin].key.ptr + depth,
		.label_len = (uint32_t)(deep - depth),
		.at = begin};
	index->firsts[number] = node->label_len ? (uint8_t)*node->label : 0;
	while (begin < end && entries[begin].key.len == deep)
		*(entries[begin++].is_prefix ? &node->n_prefix : &node->n_exact) += 1;
	for (at = begin; at < end; node->n_children++)
		at = same_byte_end(entries, at, end, deep);
	child = node->first_child = index->n_nodes;
	index->n_nodes += node->n_children;
	for (; begin < end; begin = at) {
		at = same_byte_end(entries, begin, end, deep);
		make_node(making, child++, begin, at, deep);
	}
}

static void make_trees(struct making *making)
{
	struct rules_index *index = making->index;
	uint32_t begin, end, i;

	if (making->n)
		qsort(making->entries, making->n, sizeof(*making->entries), compare_entries);
	making->n = drop_repeats(making->entries, making->n);
	index->rules = mem_alloc((making->n + 1) * sizeof(*index->rules));
	/* A tree has less than two nodes for each entry; a root may be without any. */
	index->nodes =
		mem_zalloc((2 * (size_t)making->n + index->n_buckets) * sizeof(*index->nodes));
	index->firsts = mem_zalloc(2 * (size_t)making->n + index->n_buckets);
	index->n_nodes = index->n_buckets;
	for (i = 0; i < making->n; i++)
		index->rules[i] = making->entries[i].rule;
	for (begin = 0; begin < making->n; begin = end) {
		uint32_t bucket = making->entries[begin].bucket;

		for (end = begin; end < making->n && making->entries[end].bucket == bucket;)
			end++;
		index->buckets[bucket].root = bucket;
		make_node(making, bucket, begin, end, 0);
	}
}

struct rules_index *rules_index_new(const struct rules *rules)
{
	struct rules_index *index = mem_zalloc(sizeof(*index));
	struct making making = {.index = index};
	uint32_t i;

	hash_random(&index->key, sizeof(index->key));
	index->mask = 1;
	grow_slots(index);
	add_bucket(&making, (struct slice){"", 0});
	for (i = 0; i < rules->n_rules; i++)
		add_rule(&making, &rules->rules[i], i);
	make_trees(&making);
	free(making.entries);
	return index;
}

void rules_index_free(struct rules_index *index)
{
	free(index->buckets);
	free(index->slots);
	free(index->nodes);
	free(index->firsts);
	free(index->rules);
	free(index);
}

/* --- a look */
struct looking {
	const struct rules_index *index;
	struct slice path;
	rules_index_look *look;
	void *arg;
};

static void look_at(const struct looking *looking, uint32_t at, uint32_t n)
{
	if (n)
		looking->look((struct rules_list){looking->index->rules + at, n}, looking->arg);
}

/* NULL: no path goes on so. */
static const struct node *child_of(
	const struct rules_index *index, const struct node *node, char byte)
{
	const uint8_t *first = index->firsts + node->first_child;
	const uint8_t *found =
		node->n_children ? memchr(first, (uint8_t)byte, node->n_children) : NULL;

	return found ? &index->nodes[node->first_child + (found - first)] : NULL;
}

static void walk(const struct looking *looking, uint32_t bucket)
{
	const struct rules_index *index = looking->index;
	const struct node *node = &index->nodes[index->buckets[bucket].root];
	struct slice path = looking->path;
	size_t at = 0;

	for (; node; node = child_of(index, node, path.ptr[at])) {
		if (node->label_len > path.len - at ||
			(node->label_len &&
				memcmp(node->label, path.ptr + at, node->label_len) != 0))
			return;
		at += node->label_len;
		if (at == path.len)
			look_at(looking, node->at, node->n_exact);
		look_at(looking, node->at + node->n_exact, node->n_prefix);
		if (at == path.len)
			return;
	}
}

static void walk_host(const struct looking *looking, struct slice host)
{
	uint32_t slot = slot_of(looking->index, host);

	if (looking->index->slots[slot])
		walk(looking, looking->index->slots[slot]);
}

static void walk_hosts(const struct looking *looking, struct slice host)
{
	const struct rules_index *index = looking->index;
	uint32_t dots = 0;
	char text[RULES_HOST_BYTES_MAX];
	size_t i;

	for (i = 0; i < host.len; i++)
		text[i] = rules_fold(host.ptr[i]);
	walk_host(looking, (struct slice){text, host.len});
	for (i = host.len; index->dots && i-- > 0;) {
		if (text[i] != '.')
			continue;
		dots++;
		if (dots > DOTS_MAX)
			return;
		if (index->dots >> dots & 1)
			walk_host(looking, (struct slice){text + i, host.len - i});
	}
}

void rules_index_find(const struct rules_index *index, struct slice host, struct slice path,
	rules_index_look *look, void *arg)
{
	struct looking looking = {index, path, look, arg};

	if (index->n_buckets > 1 && host.len && host.len <= RULES_HOST_BYTES_MAX)
		walk_hosts(&looking, host);
	walk(&looking, BUCKET_ANY);
}
