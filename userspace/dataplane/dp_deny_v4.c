/*
 * Building an IPv4 list (<sluice/deny_v4.h>): a bitmap of the /24s that are listed whole, the longer
 * prefixes brought together by /15, then one /15 after the other. Any thread.
 */
#include "core/mem.h"
#include "dataplane/dp_deny_internal.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define V4_WORDS ((1u << 24) / 64)

enum {
	V4_SLASH24S = 512, /* of a /15 */
	V4_LONGS = sizeof(((struct sluice_list_v4_line *)NULL)->rest) / 2,
};

struct v4_long {
	uint32_t host;
	uint32_t length_bits;
};

struct v4_row {
	uint64_t by_octet[4];
};

struct v4_builder {
	const struct dp_prefix *prefixes;
	size_t count;
	struct sluice_list_v4 *list;
	uint64_t *whole;      /* a bit for each /24, lowest first */
	struct v4_long *longs; /* those of /15 number n: from first[n] to first[n + 1] */
	size_t first[SLUICE_LIST_V4_LINES + 1];
	union sluice_list_v4_row *rows; /* for deny_v4_rows */
	size_t row_count, row_room;
	uint32_t
		whole_block; /* number of the block, and 1, of a /15 all of which is listed; 0: none */
};

/* One /15. */
struct v4_part {
	uint64_t *whole; /* of the builder's */
	uint64_t part[8]; /* /24s with longer prefixes */
	struct v4_row rows[V4_SLASH24S]; /* of those */
};

static uint32_t v4_host(const struct dp_prefix *prefix)
{
	uint32_t addr_be;

	memcpy(&addr_be, prefix->addr, sizeof(addr_be));
	return be32toh(addr_be);
}

static void v4_set_whole(uint64_t *whole, const struct dp_prefix *prefix)
{
	uint32_t slash24 = v4_host(prefix) >> 8, words;

	if (prefix->length_bits >= 18) { /* inside one word */
		uint32_t count = 1u << (24 - prefix->length_bits);
		uint64_t bits = count == 64 ? ~0ull : (1ull << count) - 1;

		whole[slash24 / 64] |= bits << slash24 % 64;
		return;
	}
	words = 1u << (18 - prefix->length_bits);
	memset(&whole[slash24 / 64], 0xff, words * sizeof(uint64_t));
}

static bool v4_is_long(const struct dp_prefix *prefix)
{
	return !prefix->v6 && prefix->length_bits > 24;
}

static void v4_sort(struct v4_builder *builder)
{
	size_t *next = mem_zalloc((SLUICE_LIST_V4_LINES + 1) * sizeof(*next)), all = 0;

	for (size_t i = 0; i < builder->count; i++) {
		const struct dp_prefix *prefix = &builder->prefixes[i];

		builder->list->prefix_count += !prefix->v6;
		if (v4_is_long(prefix))
			next[v4_host(prefix) >> 17]++;
		else if (!prefix->v6)
			v4_set_whole(builder->whole, prefix);
	}
	for (uint32_t line = 0; line <= SLUICE_LIST_V4_LINES; line++) {
		builder->first[line] = all;
		all += next[line];
		next[line] = builder->first[line];
	}
	builder->longs = mem_alloc((all + 1) * sizeof(*builder->longs));
	for (size_t i = 0; i < builder->count; i++) {
		const struct dp_prefix *prefix = &builder->prefixes[i];

		if (v4_is_long(prefix))
			builder->longs[next[v4_host(prefix) >> 17]++] =
				(struct v4_long){v4_host(prefix), prefix->length_bits};
	}
	free(next);
}

static bool v4_bit(const uint64_t *bits, uint32_t bit)
{
	return bits[bit / 64] >> bit % 64 & 1;
}

/* What longer prefixes add to a /24, which becomes a whole one with its last address. */
static void v4_part_add(struct v4_part *part, const struct v4_long *prefix)
{
	uint32_t slash24 = prefix->host >> 8 & (V4_SLASH24S - 1), octet = prefix->host & 255;
	uint32_t left = 1u << (32 - prefix->length_bits);
	struct v4_row *row = &part->rows[slash24];

	if (v4_bit(part->whole, slash24))
		return;
	if (!v4_bit(part->part, slash24))
		*row = (struct v4_row){};
	part->part[slash24 / 64] |= 1ull << slash24 % 64;
	for (; left; octet++, left--)
		row->by_octet[octet / 64] |= 1ull << octet % 64;
	if ((row->by_octet[0] & row->by_octet[1] & row->by_octet[2] & row->by_octet[3]) == ~0ull) {
		part->part[slash24 / 64] &= ~(1ull << slash24 % 64);
		part->whole[slash24 / 64] |= 1ull << slash24 % 64;
	}
}

/* Length of the shortest prefix that begins at this octet and is listed. */
static uint32_t v4_shortest(const struct v4_row *row, uint32_t octet)
{
	uint32_t length = 32;

	for (; length > 25; length--) {
		uint32_t addresses = 1u << (33 - length); /* of the prefix that is shorter by one */

		if (octet % addresses)
			break;
		for (uint32_t i = octet + addresses / 2; i < octet + addresses; i++)
			if (!v4_bit(row->by_octet, i))
				return length;
	}
	return length;
}

/* The first octet from this one on that is listed; 256: none. */
static uint32_t v4_next(const struct v4_row *row, uint32_t octet)
{
	for (; octet < 256; octet = (octet / 64 + 1) * 64) {
		uint64_t left = row->by_octet[octet / 64] >> octet % 64;

		if (left)
			return octet + (uint32_t)__builtin_ctzll(left);
	}
	return 256;
}

/* The prefixes of one /24 behind the first `count` ones. Returns how many there are then; more than
 * `room`: they do not fit. */
static uint32_t v4_longs_of(
	const struct v4_row *row, uint32_t slash24, uint32_t count, uint32_t room, uint16_t *longs)
{
	uint32_t octet = v4_next(row, 0);

	for (; octet < 256 && count <= room; count++) {
		uint32_t length = v4_shortest(row, octet);

		if (count < room)
			longs[count] = sluice_list_v4_long(slash24 << 8 | octet, length);
		octet = v4_next(row, octet + (1u << (32 - length)));
	}
	return count;
}

/* False: they do not fit. */
static bool v4_line_longs(
	const struct v4_part *part, struct sluice_list_v4_line *line, uint32_t *ret_count)
{
	uint16_t longs[V4_LONGS];
	uint32_t count = 0;

	for (uint32_t quarter = 0; quarter < 4; quarter++) {
		uint32_t begin = count, room = begin + SLUICE_LIST_V4_LONG;

		room = room < V4_LONGS ? room : V4_LONGS;
		for (uint32_t word = quarter * 2; word < quarter * 2 + 2; word++) {
			for (uint64_t left = part->part[word]; left; left &= left - 1) {
				uint32_t slash24 = word * 64 + (uint32_t)__builtin_ctzll(left);

				count = v4_longs_of(
					&part->rows[slash24], slash24, count, room, longs);
				if (count > room)
					return false;
			}
		}
		line->counts |= (uint16_t)((count - begin) << quarter * 4);
	}
	memcpy(line->rest, longs, count * sizeof(*longs));
	*ret_count = count;
	return true;
}

/* A bit for each byte that is not 0, lowest first. */
static uint64_t v4_groups(const uint64_t *slash24s)
{
	uint64_t groups = 0, low = 0x7f7f7f7f7f7f7f7full;

	for (int word = 0; word < 8; word++) {
		uint64_t tops = (((slash24s[word] & low) + low) | slash24s[word]) & ~low;

		groups |= (tops >> 7) * 0x0102040810204080ull >> 56 << word * 8;
	}
	return groups;
}

/* False: it does not fit. */
static bool v4_line_fill(const struct v4_part *part, struct sluice_list_v4_line *ret_line)
{
	struct sluice_list_v4_line line = {.groups = v4_groups(part->whole)};
	uint32_t longs, at = sizeof(line.rest);

	if (!v4_line_longs(part, &line, &longs) ||
		longs * 2 + (uint32_t)__builtin_popcountll(line.groups) > sizeof(line.rest))
		return false;
	for (uint64_t left = line.groups; left; left &= left - 1) {
		uint32_t group = (uint32_t)__builtin_ctzll(left);

		line.rest[--at] = (uint8_t)(part->whole[group / 8] >> group % 8 * 8);
	}
	*ret_line = line;
	return true;
}

/* Empty ones at the end. Returns the number of the first one. */
static uint32_t v4_rows_more(struct v4_builder *builder, size_t count)
{
	size_t first = builder->row_count;

	builder->row_count += count;
	if (builder->row_count > builder->row_room) {
		builder->row_room = builder->row_count * 2 + 1024;
		builder->rows =
			mem_realloc(builder->rows, builder->row_room * sizeof(*builder->rows));
	}
	memset(&builder->rows[first], 0, count * sizeof(*builder->rows));
	return (uint32_t)first;
}

/* The octet that is the only one; -1: there are more. */
static int v4_single(const struct v4_row *row)
{
	int octet = -1;

	for (int word = 0; word < 4; word++) {
		if (!row->by_octet[word])
			continue;
		if (octet >= 0 || row->by_octet[word] & (row->by_octet[word] - 1))
			return -1;
		octet = word * 64 + __builtin_ctzll(row->by_octet[word]);
	}
	return octet;
}

/* A /18 of a crowded /15. */
static void v4_block_line(
	struct v4_builder *builder, const struct v4_part *part, uint32_t word, size_t place)
{
	union sluice_list_v4_row line = {.whole = part->whole[word]};
	uint32_t singles = 0, several = 0;

	for (uint64_t left = part->part[word]; left; left &= left - 1) {
		uint64_t bit = left & -left;
		int octet = v4_single(&part->rows[word * 64 + (uint32_t)__builtin_ctzll(left)]);

		if (octet >= 0 && singles < SLUICE_LIST_V4_SINGLES) {
			line.single |= bit;
			line.octets[singles++] = (uint8_t)octet;
		} else {
			line.several |= bit;
		}
	}
	several = (uint32_t)__builtin_popcountll(line.several);
	line.first_row = v4_rows_more(builder, (several + 1) / 2) * 2;
	several = line.first_row;
	for (uint64_t left = line.several; left; left &= left - 1, several++)
		memcpy(builder->rows[several / 2].rows[several % 2],
			&part->rows[word * 64 + (uint32_t)__builtin_ctzll(left)],
			sizeof(struct v4_row));
	builder->rows[place] = line;
}

static uint32_t v4_block(struct v4_builder *builder, const struct v4_part *part)
{
	uint32_t first;
	bool whole = true;

	for (uint32_t word = 0; word < SLUICE_LIST_V4_BLOCK; word++)
		whole = whole && part->whole[word] == ~0ull;
	if (whole && builder->whole_block)
		return builder->whole_block - 1;
	first = v4_rows_more(builder, SLUICE_LIST_V4_BLOCK);
	for (uint32_t word = 0; word < SLUICE_LIST_V4_BLOCK; word++)
		v4_block_line(builder, part, word, first + word);
	if (whole)
		builder->whole_block = first + 1;
	return first;
}

static void v4_fifteen(struct v4_builder *builder, uint32_t number)
{
	struct sluice_list_v4_line *line = &builder->list->lines[number];
	struct v4_part part; /* 16 KiB, of which little is used */

	part.whole = &builder->whole[number * 8];
	memset(part.part, 0, sizeof(part.part));
	for (size_t i = builder->first[number]; i < builder->first[number + 1]; i++)
		v4_part_add(&part, &builder->longs[i]);
	builder->list->some[number] = v4_groups(part.whole) | v4_groups(part.part);
	if (!builder->list->some[number] || v4_line_fill(&part, line))
		return;
	line->counts = SLUICE_LIST_V4_CROWDED;
	line->block = v4_block(builder, &part);
	builder->list->crowded_count++;
}

static int v4_rows_build(
	const struct v4_builder *builder, struct deny_family *family, struct err *err)
{
	int code;

	if (!builder->row_count)
		return 0;
	code = deny_map_new("deny_v4_rows", sizeof(*builder->rows), builder->row_count,
		BPF_F_MMAPABLE | BPF_F_INNER_MAP, &family->rows, err);
	if (!code)
		memcpy(family->rows.rows, builder->rows,
			builder->row_count * sizeof(*builder->rows));
	return code;
}

int deny_v4_build(const struct dp_prefix *prefixes, size_t count, struct deny_family *ret_family,
	struct err *err)
{
	struct deny_family family = {DENY_MAP_NONE, DENY_MAP_NONE};
	struct v4_builder *builder;
	int code;

	code = deny_map_new(
		"deny_v4", sizeof(struct sluice_list_v4), 1, BPF_F_MMAPABLE, &family.index, err);
	if (code)
		return code;
	builder = mem_zalloc(sizeof(*builder));
	builder->prefixes = prefixes;
	builder->count = count;
	builder->list = family.index.rows;
	builder->whole = mem_zalloc(V4_WORDS * sizeof(*builder->whole));
	v4_sort(builder);
	for (uint32_t number = 0; number < SLUICE_LIST_V4_LINES; number++)
		v4_fifteen(builder, number);
	code = v4_rows_build(builder, &family, err);
	free(builder->rows);
	free(builder->longs);
	free(builder->whole);
	free(builder);
	if (code) {
		deny_map_free(&family.index);
		return code;
	}
	*ret_family = family;
	return 0;
}
