/* No two listeners on one address and port, nor one on every address beside one on a single
 * address: see config_read.h. IPv4 and IPv6 listeners never meet (sockets are IPv6-only). */
#include "control/config_read.h"

#include "core/mem.h"

#include <stdlib.h>

struct place {
	const struct config_listener *listener;
	const struct config_address *address;
};

/* By port and family, then every address of the host first, then by address, then by file order. */
static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int order = (int)x->address->port - (int)y->address->port;

	if (order == 0)
		order = (int)x->address->family - (int)y->address->family;
	if (order == 0)
		order = memcmp(x->address->ip, y->address->ip, sizeof(x->address->ip));
	if (order == 0)
		order = x->listener < y->listener ? -1 : x->listener > y->listener;
	if (order == 0)
		order = x->address < y->address ? -1 : x->address > y->address;
	return order;
}

static bool is_wildcard(const struct config_address *address)
{
	static const uint8_t zeros[16];

	return memcmp(address->ip, zeros, sizeof(zeros)) == 0;
}

static bool same_socket_kind(const struct config_address *a, const struct config_address *b)
{
	return a->port == b->port && a->family == b->family;
}

static void refuse_place(const struct config *config, struct config_errors *errors,
	const struct place *first, const struct place *again)
{
	struct config_mark mark = config_mark(config, again->address, again->listener->mark);
	struct config_mark other = config_mark(config, first->address, first->listener->mark);
	bool same = !memcmp(first->address->ip, again->address->ip, sizeof(again->address->ip));
	char text[ADDRESS_TEXT_BYTES], other_text[ADDRESS_TEXT_BYTES];
	struct config_path path = {0};

	config_path_enter(&path, "listeners");
	config_path_item(
		&path, again->listener->name, (uint32_t)(again->listener - config->listeners));
	config_path_enter(&path, "address");
	address_text(again->address, text, sizeof(text));
	address_text(first->address, other_text, sizeof(other_text));
	config_errors_add(errors, mark, path.text, "%s %s %s of listener \"%s\" (line %u)", text,
		same ? "is the same as" : "is already covered by", other_text,
		first->listener->name ?: "", other.line);
}

static void check_sorted(const struct config *config, struct config_errors *errors,
	const struct place *places, uint32_t count)
{
	const struct place *every = NULL;

	for (uint32_t i = 0; i < count; i++) {
		const struct place *before = i ? &places[i - 1] : NULL, *p = &places[i];

		if (!before || !same_socket_kind(before->address, p->address))
			every = is_wildcard(p->address) ? p : NULL;
		if (every && every != p)
			refuse_place(config, errors, every, p);
		else if (before && same_socket_kind(before->address, p->address) &&
			 !memcmp(before->address->ip, p->address->ip, sizeof(p->address->ip)))
			refuse_place(config, errors, before, p);
	}
}

void config_check_overlaps(const struct config *config, struct config_errors *errors)
{
	struct place *places;
	uint32_t count = 0, room = 0;

	for (uint32_t i = 0; i < config->listeners_count; i++)
		room += config->listeners[i].address_count;
	places = mem_alloc(room * sizeof(places[0]));
	for (uint32_t i = 0; i < config->listeners_count; i++) {
		const struct config_listener *l = &config->listeners[i];

		for (uint32_t j = 0; j < l->address_count; j++) {
			if (l->address[j].family)
				places[count++] = (struct place){l, &l->address[j]};
		}
	}
	if (count > 1) {
		qsort(places, count, sizeof(places[0]), compare_places);
		check_sorted(config, errors, places, count);
	}
	free(places);
}
