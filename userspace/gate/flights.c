/* The table of incomplete first flights: see flights.h. */
#include "gate/flights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE_BYTES = 4096, LARGE_SPARE = 4 };

_Static_assert(sizeof(struct flight) <= PAGE_BYTES, "a flight is one page at most");

struct flights_large {
	union {
		struct flights_large *next; /* free ones */
		uint8_t bytes[FLIGHT_BYTES_MAX];
	};
};

/* Pages that cost nothing until they are touched. */
static void *map(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static size_t all_bytes(const struct flights *flights)
{
	return flights->max * sizeof(struct flight);
}

static size_t large_bytes(const struct flights *flights)
{
	return flights->max_large * sizeof(struct flights_large);
}

int flights_init(struct flights *flights, uint32_t max)
{
	uint32_t cells = 64, shares[CROWD_SHARES];
	int r;

	*flights = (struct flights){.max = max ? max : FLIGHTS_MAX_DEFAULT};
	flights->max_large = flights->max / FLIGHTS_PER_LARGE + LARGE_SPARE;
	shares[CROWD_OPEN] = flights->max;
	shares[CROWD_LARGE] = flights->max_large;
	while (cells < flights->max * 2)
		cells *= 2;
	flights->cell_mask = cells - 1;
	list_init(&flights->open);
	hash_random(&flights->hash_key, sizeof(flights->hash_key));
	flights->cells = calloc(cells, sizeof(*flights->cells));
	flights->all = map(all_bytes(flights));
	flights->all_large = map(large_bytes(flights));
	r = crowds_init(&flights->crowds, shares);
	if (r == 0 && flights->cells && flights->all && flights->all_large)
		return 0;
	flights_fini(flights);
	return -ENOMEM;
}

void flights_fini(struct flights *flights)
{
	while (flights->n_open)
		flights_put(flights, container_of(flights->open.next, struct flight, open));
	if (flights->all)
		munmap(flights->all, all_bytes(flights));
	if (flights->all_large)
		munmap(flights->all_large, large_bytes(flights));
	free(flights->cells);
	crowds_fini(&flights->crowds);
	*flights = (struct flights){0};
}

uint64_t flights_hash(const struct flights *flights, const struct flight_key *key)
{
	return hash_bytes(&flights->hash_key, key, sizeof(*key));
}

static struct flight **cell(const struct flights *flights, const struct flight_key *key)
{
	return &flights->cells[flights_hash(flights, key) & flights->cell_mask];
}

struct flight *flights_find(const struct flights *flights, const struct flight_key *key)
{
	struct flight *flight;

	if (!flights->n_open)
		return NULL;
	for (flight = *cell(flights, key); flight; flight = flight->chain)
		if (memcmp(&flight->key, key, sizeof(*key)) == 0)
			return flight;
	return NULL;
}

static struct flight *take(struct flights *flights)
{
	struct flight *flight = flights->free;

	if (flight) {
		flights->free = flight->chain;
		return flight;
	}
	return flights->n_fresh < flights->max ? &flights->all[flights->n_fresh++] : NULL;
}

struct flight *flights_get(struct flights *flights, const struct flight_key *key)
{
	struct flight *flight = take(flights), **head;
	struct crowd_prefix prefix;

	if (!flight)
		return NULL;
	flight_start(flight, key);
	flight->flights = flights;
	head = cell(flights, key);
	flight->chain = *head;
	*head = flight;
	list_add_tail(&flights->open, &flight->open);
	prefix = crowd_prefix_of(&key->tuple);
	flight->crowd = crowds_get(&flights->crowds, &prefix);
	crowds_add(&flights->crowds, flight->crowd, CROWD_OPEN, &flight->shares[CROWD_OPEN]);
	flights->n_open++;
	return flight;
}

void flights_put(struct flights *flights, struct flight *flight)
{
	struct flight **link = cell(flights, &flight->key);
	struct flights_large *large;

	timer_clear(&flight->timer);
	if (list_is_linked(&flight->shares[CROWD_LARGE])) {
		crowds_del(
			&flights->crowds, flight->crowd, CROWD_LARGE, &flight->shares[CROWD_LARGE]);
		large = container_of(flight->bytes, struct flights_large, bytes);
		large->next = flights->free_large;
		flights->free_large = large;
	}
	while (*link != flight)
		link = &(*link)->chain;
	*link = flight->chain;
	list_del(&flight->open);
	crowds_del(&flights->crowds, flight->crowd, CROWD_OPEN, &flight->shares[CROWD_OPEN]);
	flights->n_open--;
	flight->chain = flights->free;
	flights->free = flight;
}

bool flights_enlarge(struct flights *flights, struct flight *flight)
{
	struct flights_large *large = flights->free_large;

	if (large)
		flights->free_large = large->next;
	else if (flights->n_fresh_large < flights->max_large)
		large = &flights->all_large[flights->n_fresh_large++];
	else
		return false;
	memcpy(large->bytes, flight->bytes, flight->size);
	flight->bytes = large->bytes;
	flight->size = FLIGHT_BYTES_MAX;
	crowds_add(&flights->crowds, flight->crowd, CROWD_LARGE, &flight->shares[CROWD_LARGE]);
	return true;
}

struct flight *flights_surplus(const struct flights *flights, enum crowd_share_kind kind)
{
	struct list *link = crowds_oldest_of_heaviest(&flights->crowds, kind);

	return link ? container_of(link, struct flight, shares[kind]) : NULL;
}

struct flight *flights_over_share(
	const struct flights *flights, const struct flight_key *key, uint32_t share)
{
	struct crowd_prefix prefix = crowd_prefix_of(&key->tuple);
	const struct crowd *crowd = crowds_find(&flights->crowds, &prefix);
	const struct crowd_share *open;

	if (!crowd || crowd->shares[CROWD_OPEN].count < share)
		return NULL;
	open = &crowd->shares[CROWD_OPEN];
	return container_of(open->members.next, struct flight, shares[CROWD_OPEN]);
}
