/* Whose the incomplete first flights of a gate are: see crowds.h. */
#include "gate/crowds.h"
#include "core/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS_MIN = 64 };

#define V4_MASK 0xffffff00u /* /24, in the last word */
#define V6_MASK 0xffffff00u /* /56, in the second word */

static int ranks_init(struct crowds_ranks *ranks, uint32_t max)
{
	uint32_t n;

	ranks->with = calloc((size_t)max + 1, sizeof(*ranks->with));
	for (n = 0; ranks->with && n <= max; n++)
		list_init(&ranks->with[n]);
	return ranks->with ? 0 : -ENOMEM;
}

int crowds_init(struct crowds *crowds, const uint32_t max[static CROWD_SHARES])
{
	uint32_t cells = CELLS_MIN, kind;
	int r = 0;

	*crowds = (struct crowds){.max = max[CROWD_OPEN]};
	while (cells < crowds->max * 2)
		cells *= 2;
	crowds->cell_mask = cells - 1;
	hash_random(&crowds->hash_key, sizeof(crowds->hash_key));
	for (kind = 0; kind < CROWD_SHARES && r == 0; kind++)
		r = ranks_init(&crowds->ranks[kind], max[kind]);
	crowds->cells = calloc(cells, sizeof(*crowds->cells));
	crowds->all = calloc(crowds->max, sizeof(*crowds->all));
	if (r == 0 && crowds->cells && crowds->all)
		return 0;
	crowds_fini(crowds);
	return -ENOMEM;
}

void crowds_fini(struct crowds *crowds)
{
	uint32_t kind;

	for (kind = 0; kind < CROWD_SHARES; kind++)
		free(crowds->ranks[kind].with);
	free((void *)crowds->cells);
	free(crowds->all);
	*crowds = (struct crowds){0};
}

struct crowd_prefix crowd_prefix_of(const struct sluice_cookie_tuple *tuple)
{
	const __u32 *from_be = tuple->from_be;

	if (tuple->v6)
		return (struct crowd_prefix){{from_be[0], from_be[1] & htonl(V6_MASK)}};
	return (struct crowd_prefix){{0, 0, from_be[2], from_be[3] & htonl(V4_MASK)}};
}

static struct crowd **cell(const struct crowds *crowds, const struct crowd_prefix *prefix)
{
	uint64_t hash = hash_bytes(&crowds->hash_key, prefix, sizeof(*prefix));

	return &crowds->cells[hash & crowds->cell_mask];
}

static struct crowd *find_in(struct crowd *first, const struct crowd_prefix *prefix)
{
	while (first && memcmp(&first->prefix, prefix, sizeof(*prefix)) != 0)
		first = first->chain;
	return first;
}

struct crowd *crowds_find(const struct crowds *crowds, const struct crowd_prefix *prefix)
{
	return find_in(*cell(crowds, prefix), prefix);
}

static struct crowd *take(struct crowds *crowds)
{
	struct crowd *crowd = crowds->free;

	if (!crowd && crowds->n_fresh == crowds->max)
		abort(); /* every crowd has a flight of its own */
	if (crowd)
		crowds->free = crowd->chain;
	else
		crowd = &crowds->all[crowds->n_fresh++];
	*crowd = (struct crowd){0};
	return crowd;
}

struct crowd *crowds_get(struct crowds *crowds, const struct crowd_prefix *prefix)
{
	struct crowd **head = cell(crowds, prefix), *crowd = find_in(*head, prefix);
	uint32_t kind;

	if (crowd)
		return crowd;
	crowd = take(crowds);
	crowd->prefix = *prefix;
	for (kind = 0; kind < CROWD_SHARES; kind++)
		list_init(&crowd->shares[kind].members);
	crowd->chain = *head;
	*head = crowd;
	return crowd;
}

/* Counts go up and down by one: so does the largest of them. */
static void change_rank(struct crowds_ranks *ranks, struct crowd_share *share, int by)
{
	list_del(&share->rank);
	share->count += (uint32_t)by;
	if (share->count)
		list_add_tail(&ranks->with[share->count], &share->rank);
	if (share->count > ranks->most)
		ranks->most = share->count;
	else if (ranks->most && list_is_empty(&ranks->with[ranks->most]))
		ranks->most--;
}

void crowds_add(
	struct crowds *crowds, struct crowd *crowd, enum crowd_share_kind kind, struct list *member)
{
	struct crowd_share *share = &crowd->shares[kind];

	list_add_tail(&share->members, member);
	change_rank(&crowds->ranks[kind], share, 1);
}

static void put(struct crowds *crowds, struct crowd *crowd)
{
	struct crowd **link = cell(crowds, &crowd->prefix);

	while (*link != crowd)
		link = &(*link)->chain;
	*link = crowd->chain;
	crowd->chain = crowds->free;
	crowds->free = crowd;
}

void crowds_del(
	struct crowds *crowds, struct crowd *crowd, enum crowd_share_kind kind, struct list *member)
{
	struct crowd_share *share = &crowd->shares[kind];

	list_del(member);
	change_rank(&crowds->ranks[kind], share, -1);
	if (kind == CROWD_OPEN && !share->count)
		put(crowds, crowd);
}

struct list *crowds_oldest_of_heaviest(const struct crowds *crowds, enum crowd_share_kind kind)
{
	const struct crowds_ranks *ranks = &crowds->ranks[kind];
	const struct crowd_share *share;

	if (!ranks->most)
		return NULL;
	share = container_of(ranks->with[ranks->most].next, struct crowd_share, rank);
	return share->members.next;
}
