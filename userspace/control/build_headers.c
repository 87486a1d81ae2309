/* Headers that tell targets about clients' TLS, and who might forge them: see build.h. */
#include "control/build_parts.h"
#include "core/mem.h"
#include "http/headers.h"
#include "proxy/tls_headers.h"

#include <stdlib.h>
#include <string.h>

/* A name that some listener tells targets something by. */
struct told_name {
	uint32_t door;
	struct slice name;
	const struct config_listener *by; /* one of those that tell it */
};

struct build_doors {
	uint32_t *of_group; /* groups with a target in common have the same one */
	struct told_name *names;
	size_t n_names;
};

struct place {
	const struct config_address *address;
	uint32_t group;
};

/* --- which groups have a target in common */
/* By port, host names (of family 0) first. */
static int compare_places(const void *a, const void *b)
{
	const struct config_address *x = ((const struct place *)a)->address;
	const struct config_address *y = ((const struct place *)b)->address;

	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	return memcmp(x->ip, y->ip, sizeof(x->ip));
}

static uint32_t door_of(const struct build_doors *doors, uint32_t group)
{
	while (doors->of_group[group] != group)
		group = doors->of_group[group];
	return group;
}

static void join_places(struct build_doors *doors, const struct place *places, size_t n)
{
	bool has_names = false; /* which may come to lead to any target with the same port */
	size_t i;

	for (i = 0; i < n; i++) {
		if (i == 0 || places[i].address->port != places[i - 1].address->port)
			has_names = places[i].address->family == 0;
		else if (has_names || compare_places(&places[i - 1], &places[i]) == 0)
			doors->of_group[door_of(doors, places[i].group)] =
				door_of(doors, places[i - 1].group);
	}
}

static size_t list_places(const struct config *config, struct place **ret_places)
{
	const struct config_target_group *group;
	struct place *places;
	uint32_t i, at;
	size_t n = 0;

	for (i = 0; i < config->target_groups_count; i++)
		n += config->target_groups[i].targets_count;
	places = mem_alloc((n + 1) * sizeof(*places));
	for (i = 0, n = 0; i < config->target_groups_count; i++) {
		group = &config->target_groups[i];
		for (at = 0; at < group->targets_count; at++)
			places[n++] = (struct place){&group->targets[at].address.address, i};
	}
	*ret_places = places;
	return n;
}

/* The groups that one listener of protocol http or https leads to: it tells all of them the same. */
struct joining {
	struct build_doors *doors;
	const struct config *config;
	uint32_t first; /* UINT32_MAX: none yet */
};

static void join_group(const struct config_target_group *wanted, void *arg)
{
	struct joining *joining = arg;
	uint32_t group = (uint32_t)(wanted - joining->config->target_groups);

	if (joining->first == UINT32_MAX)
		joining->first = group;
	else
		joining->doors->of_group[door_of(joining->doors, group)] =
			door_of(joining->doors, joining->first);
}

static void join_listener(struct build_doors *doors, const struct config *config,
	const struct config_listener *wanted)
{
	struct joining joining = {doors, config, UINT32_MAX};

	if (wanted->protocol == CONFIG_HTTP || wanted->protocol == CONFIG_HTTPS)
		config_rules_groups(wanted, join_group, &joining);
}

static void join_groups(struct build_doors *doors, const struct config *config)
{
	struct place *places;
	size_t n = list_places(config, &places);
	uint32_t group;

	doors->of_group = mem_alloc((config->target_groups_count + 1) * sizeof(*doors->of_group));
	for (group = 0; group < config->target_groups_count; group++)
		doors->of_group[group] = group;
	qsort(places, n, sizeof(*places), compare_places);
	join_places(doors, places, n);
	for (group = 0; group < config->listeners_count; group++)
		join_listener(doors, config, &config->listeners[group]);
	/* Each points at its door at once. */
	for (group = 0; group < config->target_groups_count; group++)
		doors->of_group[group] = door_of(doors, group);
	free(places);
}

/* --- names */
static struct slice name_of(const char *name)
{
	return name && strcmp(name, "off") != 0 ? slice_of(name) : (struct slice){0};
}

static void list_names(
	const struct config_listener *wanted, struct slice ret_names[static TLS_HEADERS])
{
	const struct config_auth_headers *auth = &wanted->client_auth.headers;

	ret_names[TLS_HEADER_SERIAL_NUMBER] = name_of(auth->serial_number);
	ret_names[TLS_HEADER_ISSUER] = name_of(auth->issuer);
	ret_names[TLS_HEADER_SUBJECT] = name_of(auth->subject);
	ret_names[TLS_HEADER_VALIDITY] = name_of(auth->validity);
	ret_names[TLS_HEADER_LEAF] = name_of(auth->leaf);
	ret_names[TLS_HEADER_CHAIN] = name_of(auth->chain);
	ret_names[TLS_HEADER_VERSION] = name_of(wanted->tls_headers.version);
	ret_names[TLS_HEADER_CIPHER_SUITE] = name_of(wanted->tls_headers.cipher_suite);
}

/* Also while it is switched off: targets still believe what it told them before. */
static bool has_client_auth(const struct config *config, const struct config_listener *wanted)
{
	const struct config_client_auth *auth = &wanted->client_auth;
	const struct config_auth_headers *names = &auth->headers;

	return auth->mode != CONFIG_CLIENT_AUTH_OFF || config_is_given(config, &auth->mode) ||
	       config_is_given(config, &names->serial_number) ||
	       config_is_given(config, &names->issuer) ||
	       config_is_given(config, &names->subject) ||
	       config_is_given(config, &names->validity) || config_is_given(config, &names->leaf) ||
	       config_is_given(config, &names->chain);
}

static bool is_known(const struct build_doors *doors, const struct told_name *told)
{
	size_t i;

	for (i = doors->n_names; i > 0; i--)
		if (doors->names[i - 1].door == told->door &&
			http_name_is_alike(doors->names[i - 1].name, told->name))
			return true;
	return false;
}

static void take_door(const struct config_target_group *group, void *arg)
{
	struct joining *joining = arg;

	if (joining->first == UINT32_MAX)
		joining->first = joining->doors->of_group[group - joining->config->target_groups];
}

/* UINT32_MAX: it leads nowhere. */
static uint32_t door_of_listener(const struct build_doors *doors, const struct config *config,
	const struct config_listener *wanted)
{
	struct joining joining = {(struct build_doors *)doors, config, UINT32_MAX};

	config_rules_groups(wanted, take_door, &joining);
	return joining.first;
}

static void add_names(struct build_doors *doors, const struct config *config,
	const struct config_listener *wanted)
{
	bool has_auth = has_client_auth(config, wanted);
	struct slice names[TLS_HEADERS];
	struct told_name told = {
		.door = door_of_listener(doors, config, wanted),
		.by = wanted,
	};
	int i;

	list_names(wanted, names);
	for (i = 0; i < TLS_HEADERS; i++) {
		told.name = names[i];
		if (told.name.len && (has_auth || i >= TLS_HEADER_VERSION) &&
			!is_known(doors, &told))
			doors->names[doors->n_names++] = told;
	}
}

struct build_doors *build_doors_new(const struct config *config)
{
	struct build_doors *doors = mem_zalloc(sizeof(*doors));
	uint32_t i;

	join_groups(doors, config);
	doors->names = mem_alloc(
		((size_t)config->listeners_count * TLS_HEADERS + 1) * sizeof(*doors->names));
	for (i = 0; i < config->listeners_count; i++)
		if (config->listeners[i].protocol == CONFIG_HTTPS)
			add_names(doors, config, &config->listeners[i]);
	return doors;
}

void build_doors_free(struct build_doors *doors)
{
	if (!doors)
		return;
	free(doors->of_group);
	free(doors->names);
	free(doors);
}

/* --- who cannot keep them out */
static const struct told_name *first_told(const struct build_doors *doors,
	const struct config *config, const struct config_target_group *group)
{
	uint32_t door = doors->of_group[group - config->target_groups];
	size_t i;

	for (i = 0; i < doors->n_names; i++)
		if (doors->names[i].door == door)
			return &doors->names[i];
	return NULL;
}

bool build_doors_warning(const struct build_doors *doors, const struct config *config,
	const struct config_listener *wanted, struct err *ret_text)
{
	const struct config_target_group *group = wanted->target_group;
	const struct told_name *told;
	uint32_t i;

	if (wanted->protocol == CONFIG_HTTP || wanted->protocol == CONFIG_HTTPS)
		return false;
	told = first_told(doors, config, group);
	for (i = 0; i < wanted->routes_count && !told; i++) {
		group = wanted->routes[i].target_group;
		told = first_told(doors, config, group);
	}
	if (!told)
		return false;
	err_set(ret_text, 0,
		"listener %s: what clients send goes to targets of group %s untouched, and these "
		"believe headers of listener %s (%.*s): clients can write them here",
		wanted->name, group->name, told->by->name, (int)told->name.len, told->name.ptr);
	return true;
}

static void fill_names(const struct config_listener *wanted, struct tls_headers *ret_headers)
{
	bool has_auth = wanted->client_auth.mode != CONFIG_CLIENT_AUTH_OFF;
	int i;

	list_names(wanted, ret_headers->names);
	for (i = 0; i < TLS_HEADERS; i++) {
		if (!has_auth && i < TLS_HEADER_VERSION)
			ret_headers->names[i] = (struct slice){0};
		ret_headers->any |= ret_headers->names[i].len > 0;
	}
}

void build_tls_headers(const struct config *config, const struct build_doors *doors,
	const struct config_listener *wanted, struct tls_headers *ret_headers)
{
	bool is_web = wanted->protocol == CONFIG_HTTP || wanted->protocol == CONFIG_HTTPS;
	uint32_t door = door_of_listener(doors, config, wanted);
	size_t i;

	*ret_headers = (struct tls_headers){
		.removed = mem_alloc((doors->n_names + 1) * sizeof(*ret_headers->removed))};
	if (wanted->protocol == CONFIG_HTTPS)
		fill_names(wanted, ret_headers);
	for (i = 0; is_web && i < doors->n_names; i++)
		if (doors->names[i].door == door)
			ret_headers->removed[ret_headers->n_removed++] = doors->names[i].name;
}
