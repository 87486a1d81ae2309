/*
 * Building deny lists and swapping them in: the structure is that of <sluice/deny.h>. A list is
 * built in the slot that is not in force; then one store makes it the one in force.
 * Control thread.
 */
#include "dataplane/dp_deny.h"

#include "bpf/sluice_xdp.skel.h"
#include "core/mem.h"
#include "dataplane/dp_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <endian.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct v4_row {
	uint32_t slash24;
	struct sluice_deny_v4_row bits;
};

struct v4_list {
	struct sluice_deny_v4_bits *bits;
	struct v4_row *rows;
	size_t row_count;
};

struct v6_entry {
	struct sluice_deny_v6_key key;
	enum deny_v6_mark mark;
};

struct v6_list {
	struct v6_entry *prefixes; /* sorted, none covers another */
	size_t prefix_count;
	struct v6_entry *entries; /* with the markers, sorted, each key once */
	size_t entry_count;
};

static uint32_t v4_host(const struct dp_prefix *prefix)
{
	uint32_t addr_be;

	memcpy(&addr_be, prefix->addr, sizeof(addr_be));
	return be32toh(addr_be);
}

static void v4_set_whole(struct v4_list *list, uint32_t slash24, uint32_t count)
{
	for (uint32_t end = slash24 + count; slash24 < end; slash24++)
		list->bits->some[slash24 / 64] |= 1ull << slash24 % 64;
}

static bool v4_has_whole(const struct v4_list *list, uint32_t slash24)
{
	return list->bits->some[slash24 / 64] >> slash24 % 64 & 1;
}

static int v4_row_compare(const void *a, const void *b)
{
	const struct v4_row *left = a, *right = b;

	return (left->slash24 > right->slash24) - (left->slash24 < right->slash24);
}

static struct v4_row v4_row_of(const struct dp_prefix *prefix)
{
	uint32_t host = v4_host(prefix), count = 1u << (32 - prefix->length_bits);
	struct v4_row row = {.slash24 = host >> 8};

	for (uint32_t octet = host & 255; count; octet++, count--)
		row.bits.by_last_octet[octet / 64] |= 1ull << octet % 64;
	return row;
}

/* Sorts the rows and makes one of those that share a /24. */
static void v4_rows_merge(struct v4_list *list)
{
	size_t kept = 0;

	qsort(list->rows, list->row_count, sizeof(*list->rows), v4_row_compare);
	for (size_t i = 0; i < list->row_count; i++) {
		if (kept && list->rows[kept - 1].slash24 == list->rows[i].slash24) {
			for (int word = 0; word < 4; word++)
				list->rows[kept - 1].bits.by_last_octet[word] |=
					list->rows[i].bits.by_last_octet[word];
		} else {
			list->rows[kept++] = list->rows[i];
		}
	}
	list->row_count = kept;
}

static void v4_build(struct v4_list *list, const struct dp_prefix *prefixes, size_t count)
{
	list->bits = mem_zalloc(sizeof(*list->bits));
	list->rows = mem_zalloc((count + 1) * sizeof(*list->rows));
	for (size_t i = 0; i < count; i++)
		if (!prefixes[i].v6 && prefixes[i].length_bits <= 24)
			v4_set_whole(list, v4_host(&prefixes[i]) >> 8,
				1u << (24 - prefixes[i].length_bits));
	for (size_t i = 0; i < count; i++)
		if (!prefixes[i].v6 && prefixes[i].length_bits > 24 &&
			!v4_has_whole(list, v4_host(&prefixes[i]) >> 8))
			list->rows[list->row_count++] = v4_row_of(&prefixes[i]);
	v4_rows_merge(list);
	for (size_t i = 0; i < list->row_count; i++) {
		uint32_t slash24 = list->rows[i].slash24;

		list->bits->some[slash24 / 64] |= 1ull << slash24 % 64;
		list->bits->rows[slash24 / 64] |= 1ull << slash24 % 64;
	}
}

static uint64_t v6_mask(unsigned int bits)
{
	return bits == 0 ? 0 : ~0ull << (64 - bits);
}

static struct sluice_deny_v6_key v6_key(const struct sluice_deny_v6_key *from, unsigned int length)
{
	return (struct sluice_deny_v6_key){
		.prefix_host[0] = from->prefix_host[0] & (length >= 64 ? ~0ull : v6_mask(length)),
		.prefix_host[1] = length > 64 ? from->prefix_host[1] & v6_mask(length - 64) : 0,
		.length_bits = length,
	};
}

static int v6_compare(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b; /* key is the first member: three words */

	for (int i = 0; i < 3; i++)
		if (left[i] != right[i])
			return left[i] < right[i] ? -1 : 1;
	return 0;
}

static bool v6_covers(const struct v6_entry *outer, const struct v6_entry *inner)
{
	struct sluice_deny_v6_key cut;

	if (outer->key.length_bits > inner->key.length_bits)
		return false;
	cut = v6_key(&inner->key, (unsigned int)outer->key.length_bits);
	return memcmp(&cut, &outer->key, sizeof(cut)) == 0;
}

/* Sorted by address and then length, whatever is covered comes behind what covers it. */
static void v6_prefixes_build(struct v6_list *list, const struct dp_prefix *prefixes, size_t count)
{
	size_t all = 0, kept = 0;

	list->prefixes = mem_zalloc((count + 1) * sizeof(*list->prefixes));
	for (size_t i = 0; i < count; i++) {
		struct v6_entry *entry = &list->prefixes[all];
		uint64_t words_be[2];

		if (!prefixes[i].v6)
			continue;
		memcpy(words_be, prefixes[i].addr, sizeof(words_be));
		entry->key.prefix_host[0] = be64toh(words_be[0]);
		entry->key.prefix_host[1] = be64toh(words_be[1]);
		entry->key.length_bits = prefixes[i].length_bits;
		entry->mark = DENY_V6_PREFIX;
		all++;
	}
	qsort(list->prefixes, all, sizeof(*list->prefixes), v6_compare);
	for (size_t i = 0; i < all; i++)
		if (!kept || !v6_covers(&list->prefixes[kept - 1], &list->prefixes[i]))
			list->prefixes[kept++] = list->prefixes[i];
	list->prefix_count = kept;
}

static void v6_lengths(const struct v6_list *list, struct sluice_deny_index *index)
{
	bool used[SLUICE_DENY_V6_LENGTHS] = {};

	for (size_t i = 0; i < list->prefix_count; i++)
		used[list->prefixes[i].key.length_bits] = true;
	for (unsigned int length = 0; length < SLUICE_DENY_V6_LENGTHS; length++)
		if (used[length])
			index->v6_lengths[index->v6_length_count++] = (uint8_t)length;
}

/* The prefix itself, and a marker at every shorter length the halving looks at on its way. */
static void v6_entry_add(
	struct v6_list *list, const struct v6_entry *prefix, const struct sluice_deny_index *index)
{
	uint32_t first = 0, behind = index->v6_length_count;

	while (first < behind) {
		uint32_t middle = (first + behind) / 2, length = index->v6_lengths[middle];

		if (length > prefix->key.length_bits) {
			behind = middle;
			continue;
		}
		list->entries[list->entry_count++] = (struct v6_entry){
			.key = v6_key(&prefix->key, length),
			.mark = length == prefix->key.length_bits ? DENY_V6_PREFIX : DENY_V6_MARKER,
		};
		if (length == prefix->key.length_bits)
			return;
		first = middle + 1;
	}
}

static void v6_build(struct v6_list *list, const struct dp_prefix *prefixes, size_t count,
	struct sluice_deny_index *index)
{
	size_t kept = 0;

	v6_prefixes_build(list, prefixes, count);
	v6_lengths(list, index);
	list->entries = mem_zalloc(
		(list->prefix_count * SLUICE_DENY_V6_STEPS + 1) * sizeof(*list->entries));
	for (size_t i = 0; i < list->prefix_count; i++)
		v6_entry_add(list, &list->prefixes[i], index);
	qsort(list->entries, list->entry_count, sizeof(*list->entries), v6_compare);
	for (size_t i = 0; i < list->entry_count; i++)
		if (!kept || v6_compare(&list->entries[kept - 1], &list->entries[i]) != 0)
			list->entries[kept++] = list->entries[i];
	list->entry_count = kept;
}

/* Puts `inner` (a descriptor, or -errno of its creation) into the slot; closes it. */
static int slot_put(const struct bpf_map *outer, uint32_t slot, int inner, struct err *err)
{
	int code = inner < 0 ? inner : 0;

	if (!code && bpf_map_update_elem(bpf_map__fd(outer), &slot, &inner, BPF_ANY))
		code = -errno;
	if (inner >= 0)
		close(inner);
	return code ? err_set(err, code, "deny list, %s: %s", bpf_map__name(outer), strerror(-code))
		    : 0;
}

static int v4_bits_write(
	struct dataplane *dp, const struct v4_list *list, uint32_t slot, struct err *err)
{
	uint32_t zero = 0;
	int fd = bpf_map_create(
		BPF_MAP_TYPE_ARRAY, "deny_v4_bits", sizeof(zero), sizeof(*list->bits), 1, NULL);

	if (fd >= 0 && bpf_map_update_elem(fd, &zero, list->bits, BPF_ANY)) {
		int code = -errno;

		close(fd);
		fd = code;
	}
	return slot_put(dp->xdp->maps.deny_v4, slot, fd, err);
}

static int v4_rows_write(
	struct dataplane *dp, const struct v4_list *list, uint32_t slot, struct err *err)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "deny_v4_rows", sizeof(uint32_t),
		sizeof(struct sluice_deny_v4_row), (uint32_t)list->row_count + 1, NULL);

	for (size_t i = 0; i < list->row_count && fd >= 0; i++) {
		if (bpf_map_update_elem(fd, &list->rows[i].slash24, &list->rows[i].bits, BPF_ANY)) {
			int code = -errno;

			close(fd);
			fd = code;
		}
	}
	return slot_put(dp->xdp->maps.deny_v4_rows, slot, fd, err);
}

static int v6_write(
	struct dataplane *dp, const struct v6_list *list, uint32_t slot, struct err *err)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "deny_v6", sizeof(struct sluice_deny_v6_key),
		sizeof(struct sluice_deny_v6_value), (uint32_t)list->entry_count + 1, NULL);

	for (size_t i = 0; i < list->entry_count && fd >= 0; i++) {
		struct sluice_deny_v6_value value = {.mark = list->entries[i].mark};

		if (bpf_map_update_elem(fd, &list->entries[i].key, &value, BPF_ANY)) {
			int code = -errno;

			close(fd);
			fd = code;
		}
	}
	return slot_put(dp->xdp->maps.deny_v6, slot, fd, err);
}

static int list_write(struct dataplane *dp, const struct v4_list *v4, const struct v6_list *v6,
	const struct sluice_deny_index *index, uint32_t slot, struct err *err)
{
	int code = 0;

	if (index->v4_count)
		code = v4_bits_write(dp, v4, slot, err);
	if (!code && index->v4_count)
		code = v4_rows_write(dp, v4, slot, err);
	if (!code && index->v6_count)
		code = v6_write(dp, v6, slot, err);
	if (!code &&
		bpf_map_update_elem(bpf_map__fd(dp->xdp->maps.deny_index), &slot, index, BPF_ANY))
		code = err_set(err, -errno, "deny_index map: %s", strerror(errno));
	return code;
}

/* The list that is no longer in force is freed once no packet can still be looking at it. */
static void slot_clear(struct dataplane *dp, uint32_t slot)
{
	const struct bpf_map *const outers[] = {
		dp->xdp->maps.deny_v4,
		dp->xdp->maps.deny_v4_rows,
		dp->xdp->maps.deny_v6,
	};

	/* MEMBARRIER_CMD_GLOBAL ends after an RCU grace period; without it the memory stays until
	 * the next list is set, which does no harm */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		return;
	for (size_t i = 0; i < array_len(outers); i++)
		(void)bpf_map_delete_elem(bpf_map__fd(outers[i]), &slot); /* may be empty */
}

int dp_deny_set(
	struct dataplane *dp, const struct dp_prefix *prefixes, size_t count, struct err *err)
{
	struct sluice_deny_index index = {};
	struct v4_list v4 = {};
	struct v6_list v6 = {};
	uint32_t slot;
	int code;

	if (!dp->active)
		return 0;
	slot = !(dp->settings->deny_state & DENY_SLOT);
	for (size_t i = 0; i < count; i++)
		prefixes[i].v6 ? index.v6_count++ : index.v4_count++;
	v4_build(&v4, prefixes, count);
	v6_build(&v6, prefixes, count, &index);
	code = list_write(dp, &v4, &v6, &index, slot, err);
	if (!code) {
		uint32_t state = slot | (index.v4_count ? DENY_HAS_V4 : 0) |
				 (index.v6_count ? DENY_HAS_V6 : 0);

		__atomic_store_n(&dp->settings->deny_state, state, __ATOMIC_RELEASE);
		slot_clear(dp, !slot);
	}
	free(v4.bits);
	free(v4.rows);
	free(v6.prefixes);
	free(v6.entries);
	return code;
}
