/*
 * Hits per prefix: longest-prefix tries beside the deny list, looked at for packets it drops while
 * somebody wants to know. Every list has tries of its own; what the earlier ones counted is carried
 * along, so that a number only ever grows while its prefix stays listed. The thread that changes
 * lists.
 */
#include "core/mem.h"
#include "dataplane/dp_deny_internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HITS_BATCH = 4096 };

union hits_key {
	struct sluice_hits_v4_key v4;
	struct sluice_hits_v6_key v6;
};

static size_t hits_key_bytes(bool v6)
{
	return v6 ? sizeof(struct sluice_hits_v6_key) : sizeof(struct sluice_hits_v4_key);
}

static union hits_key hits_key(const struct dp_prefix *prefix)
{
	union hits_key key = {};

	key.v6.length_bits = prefix->length_bits;
	memcpy(key.v6.addr_be, prefix->addr, prefix->v6 ? 16 : 4);
	return key;
}

static int prefix_order(const void *a, const void *b)
{
	return dp_prefix_compare(a, b);
}

static void hits_sort(struct deny_hits *hits, const struct dp_prefix *prefixes, size_t count)
{
	hits->prefixes = mem_alloc((count + 1) * sizeof(*prefixes));
	memcpy(hits->prefixes, prefixes, count * sizeof(*prefixes));
	qsort(hits->prefixes, count, sizeof(*prefixes), prefix_order);
	for (size_t i = 0; i < count; i++)
		if (!hits->count || dp_prefix_compare(&hits->prefixes[hits->count - 1],
					    &hits->prefixes[i]) != 0)
			hits->prefixes[hits->count++] = hits->prefixes[i];
	hits->before = mem_zalloc((hits->count + 1) * sizeof(*hits->before));
}

/* IPv4 comes first. */
static size_t hits_v4_count(const struct deny_hits *hits)
{
	size_t first = 0, behind = hits->count;

	while (first < behind) {
		size_t middle = (first + behind) / 2;

		if (hits->prefixes[middle].v6)
			behind = middle;
		else
			first = middle + 1;
	}
	return first;
}

static int trie_fill(int fd, const struct dp_prefix *prefixes, size_t count)
{
	size_t key_bytes = hits_key_bytes(prefixes[0].v6);
	char *keys = mem_alloc(HITS_BATCH * key_bytes);
	uint64_t *values = mem_zalloc(HITS_BATCH * sizeof(*values));
	int code = 0;

	for (size_t done = 0; done < count && !code;) {
		uint32_t batch = 0;

		for (; batch < HITS_BATCH && done < count; batch++, done++) {
			union hits_key key = hits_key(&prefixes[done]);

			memcpy(keys + batch * key_bytes, &key, key_bytes);
		}
		code = bpf_map_update_batch(fd, keys, values, &batch, NULL);
	}
	free(keys);
	free(values);
	return code;
}

static int trie_new(const char *name, const struct dp_prefix *prefixes, size_t count, int *ret_fd,
	struct err *err)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	int fd, code;

	if (!count)
		return 0;
	fd = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, name, (uint32_t)hits_key_bytes(prefixes[0].v6),
		sizeof(uint64_t), (uint32_t)count, &opts);
	code = fd < 0 ? fd : trie_fill(fd, prefixes, count);
	if (code) {
		if (fd >= 0)
			close(fd);
		return err_set(
			err, code, "map %s of %zu prefixes: %s", name, count, strerror(-code));
	}
	*ret_fd = fd;
	return 0;
}

int deny_hits_new(const struct dp_prefix *prefixes, size_t count, struct deny_hits **ret_hits,
	struct err *err)
{
	struct deny_hits *hits = mem_zalloc(sizeof(*hits));
	size_t v4_count;
	int code;

	hits->v4_fd = hits->v6_fd = -1;
	hits_sort(hits, prefixes, count);
	v4_count = hits_v4_count(hits);
	code = trie_new("deny_hits_v4", hits->prefixes, v4_count, &hits->v4_fd, err);
	if (!code)
		code = trie_new("deny_hits_v6", hits->prefixes + v4_count, hits->count - v4_count,
			&hits->v6_fd, err);
	if (code) {
		deny_hits_free(hits);
		return code;
	}
	*ret_hits = hits;
	return 0;
}

void deny_hits_free(struct deny_hits *hits)
{
	if (!hits)
		return;
	if (hits->v4_fd >= 0)
		close(hits->v4_fd);
	if (hits->v6_fd >= 0)
		close(hits->v6_fd);
	free(hits->prefixes);
	free(hits->before);
	free(hits);
}

/* A look-up of the whole key finds that very prefix: it is in the trie. */
static int hits_of(const struct deny_hits *hits, size_t index, uint64_t *ret_hits, struct err *err)
{
	const struct dp_prefix *prefix = &hits->prefixes[index];
	union hits_key key = hits_key(prefix);
	uint64_t value;
	int code = bpf_map_lookup_elem(prefix->v6 ? hits->v6_fd : hits->v4_fd, &key, &value);

	if (code)
		return err_set(err, code, "hits of the deny list: %s", strerror(-code));
	*ret_hits = hits->before[index] + value;
	return 0;
}

int deny_hits_carry(struct deny_hits *hits, struct deny_hits *earlier, struct err *err)
{
	size_t i = 0, j = 0;
	int code = 0;

	while (i < hits->count && j < earlier->count && !code) {
		int order = dp_prefix_compare(&hits->prefixes[i], &earlier->prefixes[j]);

		if (order == 0)
			code = hits_of(earlier, j, &hits->before[i], err);
		i += order <= 0;
		j += order >= 0;
	}
	return code;
}

int deny_hits_each(struct deny_hits *hits, void (*each)(void *arg, const struct dp_deny_hits *hits),
	void *arg, struct err *err)
{
	int code = 0;

	for (size_t i = 0; i < hits->count && !code; i++) {
		struct dp_deny_hits row = {.prefix = hits->prefixes[i]};

		code = hits_of(hits, i, &row.hits, err);
		if (!code && row.hits)
			each(arg, &row);
	}
	return code;
}
