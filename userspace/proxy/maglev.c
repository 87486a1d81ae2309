/* Consistent hashing: see maglev.h. */
#include "proxy/maglev.h"
#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

/* Primes. The first is enough for 1 % of difference among 655 members; the size must not follow the
 * number of members closely, since all cells change hands where it changes. */
enum { CELLS = 65537, CELLS_OF_MANY = 655373, FEW_MEMBERS = 655 };

struct maglev {
	uint32_t n_cells;
	uint16_t cells[];
};

struct filling {
	uint64_t at, skip; /* the member's permutation of the cells */
	uint64_t turns; /* weight that was used up */
};

static void fill(struct maglev *maglev, const struct maglev_member *members, uint32_t n,
	struct filling *filling, uint32_t max_weight)
{
	uint8_t *taken = mem_zalloc(maglev->n_cells);
	uint32_t filled = 0, i;
	uint64_t round;

	for (round = 1; filled < maglev->n_cells; round++)
		for (i = 0; i < n && filled < maglev->n_cells; i++) {
			struct filling *own = &filling[i];

			if (round * members[i].weight < own->turns + max_weight)
				continue;
			own->turns += max_weight;
			while (taken[own->at])
				own->at = (own->at + own->skip) % maglev->n_cells;
			taken[own->at] = 1;
			maglev->cells[own->at] = (uint16_t)i;
			filled++;
		}
	free(taken);
}

struct maglev *maglev_new(const struct maglev_member *members, uint32_t n)
{
	uint32_t n_cells = n > FEW_MEMBERS ? CELLS_OF_MANY : CELLS, max_weight = 0, i;
	struct maglev *maglev;
	struct filling *filling;

	for (i = 0; i < n; i++)
		if (members[i].weight > max_weight)
			max_weight = members[i].weight;
	if (!max_weight)
		return NULL;
	maglev = mem_alloc(sizeof(*maglev) + n_cells * sizeof(maglev->cells[0]));
	maglev->n_cells = n_cells;
	filling = mem_zalloc(n * sizeof(*filling));
	for (i = 0; i < n; i++) {
		filling[i].at = members[i].name_hash % n_cells;
		filling[i].skip = members[i].other_hash % (n_cells - 1) + 1;
	}
	fill(maglev, members, n, filling, max_weight);
	free(filling);
	return maglev;
}

void maglev_free(struct maglev *maglev)
{
	free(maglev);
}

uint32_t maglev_at(const struct maglev *maglev, uint64_t key)
{
	return maglev->cells[key % maglev->n_cells];
}
