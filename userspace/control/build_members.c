/* The targets of a group: those of the generation before where they are the same. See build.h. */
#define LOG_MODULE "config"
#include "control/build_members.h"

#include "control/departing.h"
#include "control/ids.h"
#include "control/resolver.h"
#include "core/log.h"
#include "core/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 256, NAME_BYTES = 384 };

/* --- where they are */

struct places {
	struct build_place *list;
	uint32_t n, room;
};

static bool has_place(const struct places *places, const union addr *addr)
{
	uint32_t i;

	for (i = 0; i < places->n; i++)
		if (addr_eq(&places->list[i].addr, addr))
			return true;
	return false;
}

static void add_place(
	struct places *places, const struct config_target *wanted, const union addr *addr)
{
	if (places->n == places->room) {
		places->room = places->room ? 2 * places->room : 16;
		places->list = mem_realloc(places->list, places->room * sizeof(*places->list));
	}
	places->list[places->n++] = (struct build_place){wanted, *addr};
}

static bool is_configured(const struct config_target_group *group, const union addr *addr)
{
	union addr own;
	uint32_t i;

	for (i = 0; i < group->targets_count; i++) {
		own = build_addr(&group->targets[i].address.address);
		if (!group->targets[i].address.host && addr_eq(&own, addr))
			return true;
	}
	return false;
}

/* A place that two names lead to is one target, that of the first; one that is configured is no name's. */
static void add_name(const struct building *building, const struct config_target_group *group,
	const struct config_target *wanted, struct places *places)
{
	union addr *addresses = mem_alloc(group->dns.max_addresses * sizeof(*addresses));
	uint32_t i, n = 0;

	if (building->env->resolver)
		n = resolver_addresses(building->env->resolver, wanted->address.host,
			group->dns.family, addresses, group->dns.max_addresses);
	for (i = 0; i < n; i++) {
		addr_port_set(&addresses[i], wanted->address.address.port);
		if (!has_place(places, &addresses[i]) && !is_configured(group, &addresses[i]))
			add_place(places, wanted, &addresses[i]);
	}
	free(addresses);
}

struct build_place *build_places(
	const struct building *building, const struct config_target_group *wanted, uint32_t *ret_n)
{
	struct places places = {0};
	const struct config_target *target;
	union addr addr;
	uint32_t i;

	for (i = 0; i < wanted->targets_count; i++) {
		target = &wanted->targets[i];
		addr = build_addr(&target->address.address);
		if (target->address.host)
			add_name(building, wanted, target, &places);
		else
			add_place(&places, target, &addr);
	}
	*ret_n = places.n;
	return places.list;
}

/* --- targets */

/* As it is in certificates: without the dot that says there is nothing to be added. NULL: it has none. */
static const char *bare_host(const struct config_target *wanted, char *buf, size_t len)
{
	const char *host = wanted->address.host;
	size_t host_len = host ? strlen(host) : 0;

	if (!host)
		return NULL;
	snprintf(buf, len, "%.*s", (int)(host_len - (host[host_len - 1] == '.')), host);
	return buf;
}

static void name_target(const struct build_place *place, char *buf, size_t len)
{
	const struct config_target *wanted = place->wanted;
	char text[ADDR_TEXT_BYTES], host[NAME_BYTES];

	addr_format(&place->addr, text);
	if (wanted->address.host)
		snprintf(buf, len, "%s/%s",
			wanted->name ? wanted->name : bare_host(wanted, host, sizeof(host)), text);
	else
		snprintf(buf, len, "%s", wanted->name ? wanted->name : text);
}

static bool is_target(const struct target *target, const struct build_place *place)
{
	char name[NAME_BYTES], host[NAME_BYTES];

	name_target(place, name, sizeof(name));
	return addr_eq(&target->addr, &place->addr) && strcmp(target->name, name) == 0 &&
	       build_text_eq(target->host, bare_host(place->wanted, host, sizeof(host)));
}

static struct target *same_target(const struct built_group *old, const struct build_place *place)
{
	uint32_t i;

	for (i = 0; old && i < old->n_targets; i++)
		if (is_target(old->targets[i], place))
			return old->targets[i];
	return NULL;
}

/* One that is leaving the group. */
static struct target *departing_target(const struct building *building,
	const struct config_target_group *group, const struct build_place *place)
{
	const struct list *list = building->env->departing, *link;

	for (link = list ? list->next : NULL; link && link != list; link = link->next) {
		struct target *target = container_of(link, struct departing, link)->target;

		if (strcmp(target->group_name, group->name) == 0 && is_target(target, place))
			return target;
	}
	return NULL;
}

/* Those that were left out are no change as long as there is no room. */
bool build_places_have_changed(const struct building *building,
	const struct config_target_group *wanted, const struct built_group *old)
{
	uint32_t i, n, at = 0, left_out = 0;
	struct build_place *places = build_places(building, wanted, &n);

	for (i = 0; i < n; i++)
		if (at < old->n_targets && is_target(old->targets[at], &places[i]))
			at++;
		else
			left_out++;
	free(places);
	return at != old->n_targets || left_out != old->n_left_out ||
	       (left_out && ids_have_room(building->env->target_ids));
}

/* The configuration has no more than there can be; what comes of names is left out. */
static void refuse(struct building *building, const struct config_target_group *group,
	const struct build_place *place, const char *name)
{
	char path[PATH_BYTES];

	if (place->wanted->address.host) {
		log_error("target %s/%s is left out: too many targets on this node", group->name,
			name);
		return;
	}
	snprintf(path, sizeof(path), "target_groups[%s].targets", group->name);
	config_errors_add(
		building->errors, place->wanted->mark, path, "too many targets on this node");
}

static struct target *build_target(struct building *building,
	const struct config_target_group *group, const struct build_place *place)
{
	const struct built_group *old = build_before_group(building, group->name);
	char name[NAME_BYTES], buf[NAME_BYTES];
	const char *host = bare_host(place->wanted, buf, sizeof(buf));
	struct target *target;
	uint32_t id;

	name_target(place, name, sizeof(name));
	target = same_target(old, place) ?: departing_target(building, group, place);
	if (target) {
		shared_get(&target->shared);
		return target;
	}
	if (ids_get(building->env->target_ids, &id) < 0) {
		refuse(building, group, place, name);
		return NULL;
	}
	target = target_new(group->name, name, &place->addr, id, building->env->n_workers);
	target_set_host(target, host);
	target->is_founder = !old;
	return target;
}

struct target_member *build_members(struct building *building,
	const struct config_target_group *wanted, struct built_group *group)
{
	uint32_t i, n;
	struct build_place *places = build_places(building, wanted, &n);
	struct target_member *members = mem_zalloc((n + 1) * sizeof(*members));
	struct target *target;

	group->targets = mem_zalloc((n + 1) * sizeof(*group->targets));
	for (i = 0; i < n; i++) {
		target = build_target(building, wanted, &places[i]);
		if (!target) {
			group->n_left_out++;
			continue;
		}
		members[group->n_targets] =
			(struct target_member){target, places[i].wanted->weight};
		group->targets[group->n_targets++] = target;
	}
	free(places);
	return members;
}
