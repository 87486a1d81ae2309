/*
 * Building an IPv4 list (<sluice/deny.h>): a few passes over the prefixes, nothing is sorted. Two
 * plain bitmaps of all /24s come first, then the ranked ones out of them. Any thread.
 */
#include "core/mem.h"
#include "dataplane/dp_deny_internal.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define V4_WORDS ((1u << 24) / 64)

struct v4_row {
	uint64_t by_octet[4];
};

struct v4_plain {
	uint64_t some[V4_WORDS];  /* a bit for each /24, lowest first */
	uint64_t whole[V4_WORDS]; /* those listed whole */
};

static uint32_t v4_host(const struct dp_prefix *prefix)
{
	uint32_t addr_be;

	memcpy(&addr_be, prefix->addr, sizeof(addr_be));
	return be32toh(addr_be);
}

static void v4_set_whole(struct v4_plain *plain, const struct dp_prefix *prefix)
{
	uint32_t slash24 = v4_host(prefix) >> 8, words;

	if (prefix->length_bits >= 18) { /* inside one word */
		uint32_t count = 1u << (24 - prefix->length_bits);
		uint64_t bits = count == 64 ? ~0ull : (1ull << count) - 1;

		plain->whole[slash24 / 64] |= bits << slash24 % 64;
		return;
	}
	words = 1u << (18 - prefix->length_bits);
	memset(&plain->whole[slash24 / 64], 0xff, words * sizeof(uint64_t));
}

static bool v4_is_part(const struct dp_prefix *prefix)
{
	return !prefix->v6 && prefix->length_bits > 24;
}

static struct v4_plain *v4_plain_new(
	const struct dp_prefix *prefixes, size_t count, uint32_t *ret_v4_count)
{
	struct v4_plain *plain = mem_zalloc(sizeof(*plain));

	*ret_v4_count = 0;
	for (size_t i = 0; i < count; i++) {
		*ret_v4_count += !prefixes[i].v6;
		if (!prefixes[i].v6 && prefixes[i].length_bits <= 24)
			v4_set_whole(plain, &prefixes[i]);
	}
	memcpy(plain->some, plain->whole, sizeof(plain->some));
	for (size_t i = 0; i < count; i++) {
		uint32_t slash24 = v4_host(&prefixes[i]) >> 8;

		if (v4_is_part(&prefixes[i]))
			plain->some[slash24 / 64] |= 1ull << slash24 % 64;
	}
	return plain;
}

static void v4_rank_set(struct sluice_ranked *ranked, uint32_t x)
{
	ranked->words[sluice_rank_word(x)] |= 1ull << sluice_rank_bit(x);
}

/* Returns how many bits are set in all. */
static uint32_t v4_rank_finish(struct sluice_ranked *ranked)
{
	uint32_t all = 0;

	for (uint32_t i = 0; i < SLUICE_RANK_WORDS; i++) {
		uint32_t *before = &ranked->before[i >> SLUICE_RANK_BLOCK_SHIFT];
		uint64_t bits = ranked->words[i];

		if (i % (1u << SLUICE_RANK_BLOCK_SHIFT) == 0)
			*before = all;
		ranked->words[i] |= (uint64_t)(all - *before) << SLUICE_RANK_BITS;
		all += (uint32_t)__builtin_popcountll(bits);
	}
	return all;
}

static void v4_index(struct sluice_list_v4 *list, const struct v4_plain *plain)
{
	uint32_t place = 0;

	for (uint32_t word = 0; word < V4_WORDS; word++) {
		for (uint64_t left = plain->some[word]; left; left &= left - 1, place++) {
			uint32_t bit = (uint32_t)__builtin_ctzll(left), slash24 = word * 64 + bit;

			list->slash22[slash24 / 256] |= 1ull << slash24 / 4 % 64;
			v4_rank_set(&list->some, slash24);
			if (!(plain->whole[word] >> bit & 1))
				v4_rank_set(&list->part, place);
		}
	}
	v4_rank_finish(&list->some);
	list->part_count = v4_rank_finish(&list->part);
}

/* The octets of every part, in the order of the parts. */
static struct v4_row *v4_parts(
	const struct sluice_list_v4 *list, const struct dp_prefix *prefixes, size_t count)
{
	struct v4_row *parts = mem_zalloc(((size_t)list->part_count + 1) * sizeof(*parts));

	for (size_t i = 0; i < count; i++) {
		uint32_t host = v4_host(&prefixes[i]), left;
		int64_t part;

		if (!v4_is_part(&prefixes[i]))
			continue;
		part = sluice_rank(&list->part, (uint32_t)sluice_rank(&list->some, host >> 8));
		if (part < 0)
			continue;
		left = 1u << (32 - prefixes[i].length_bits);
		for (uint32_t octet = host & 255; left; octet++, left--)
			parts[part].by_octet[octet / 64] |= 1ull << octet % 64;
	}
	return parts;
}

/* The octet that is the only one; -1: there are more. */
static int v4_single(const struct v4_row *part)
{
	int octet = -1;

	for (int word = 0; word < 4; word++) {
		if (!part->by_octet[word])
			continue;
		if (octet >= 0 || part->by_octet[word] & (part->by_octet[word] - 1))
			return -1;
		octet = word * 64 + __builtin_ctzll(part->by_octet[word]);
	}
	return octet;
}

static uint32_t v4_rows_needed(const struct v4_row *parts, uint32_t count)
{
	uint32_t rows = 0;

	for (uint32_t i = 0; i < count; i++)
		rows += v4_single(&parts[i]) < 0;
	return rows;
}

static void v4_lines_fill(const struct sluice_list_v4 *list, const struct v4_row *parts,
	union sluice_list_v4_line *lines)
{
	uint32_t row = 0, base = 0;

	for (uint32_t i = 0; i < list->part_count; i++) {
		uint32_t line = i / SLUICE_LIST_V4_CODES;
		int octet = v4_single(&parts[i]);

		if (i % SLUICE_LIST_V4_CODES == 0) {
			base = row;
			lines[list->first_base + line / 16].bases[line % 16] = base;
		}
		if (octet < 0) {
			memcpy(lines[list->first_row + row / 2].rows[row % 2], parts[i].by_octet,
				sizeof(parts[i].by_octet));
			octet = (int)(SLUICE_LIST_V4_MORE + row++ - base);
		}
		lines[line].codes[i % SLUICE_LIST_V4_CODES] = (uint16_t)octet;
	}
}

/* Everything of the list that is not in its index. */
static int v4_lines_build(
	struct deny_family *family, const struct dp_prefix *prefixes, size_t count, struct err *err)
{
	struct sluice_list_v4 *list = family->index.rows;
	struct v4_row *parts = v4_parts(list, prefixes, count);
	uint32_t blocks = (list->part_count + SLUICE_LIST_V4_CODES - 1) / SLUICE_LIST_V4_CODES;
	uint32_t rows = v4_rows_needed(parts, list->part_count);
	int code;

	list->first_base = blocks;
	list->first_row = blocks + (blocks + 15) / 16;
	code = deny_map_new("deny_v4_rows", sizeof(union sluice_list_v4_line),
		(size_t)list->first_row + rows / 2 + 1, BPF_F_MMAPABLE | BPF_F_INNER_MAP,
		&family->rows, err);
	if (!code)
		v4_lines_fill(list, parts, family->rows.rows);
	free(parts);
	return code;
}

int deny_v4_build(const struct dp_prefix *prefixes, size_t count, struct deny_family *ret_family,
	struct err *err)
{
	struct deny_family family = {DENY_MAP_NONE, DENY_MAP_NONE};
	struct sluice_list_v4 *list;
	struct v4_plain *plain;
	int code;

	code = deny_map_new("deny_v4", sizeof(*list), 1, BPF_F_MMAPABLE, &family.index, err);
	if (code)
		return code;
	list = family.index.rows;
	plain = v4_plain_new(prefixes, count, &list->prefix_count);
	v4_index(list, plain);
	free(plain);
	code = v4_lines_build(&family, prefixes, count, err);
	if (code) {
		deny_map_free(&family.index);
		return code;
	}
	*ret_family = family;
	return 0;
}
