/*
 * What can only be said about several settings together: see config_read.h. Walks the finished
 * structs by the table of settings, so that every section is seen with its path, and calls the
 * check of that section. Values that could not be read are NULL, 0 or PROTOCOL_UNKNOWN here; they
 * have their error already and cause no second one.
 */
#include "control/config_read.h"

#include "core/mem.h"

#include <stdlib.h>

static void check_section(struct config_checker *checker, enum setting_section section,
	const void *base, uint32_t protocol);

void config_refuse(struct config_checker *checker, const void *field, struct config_mark object,
	const char *name, const char *format, ...)
{
	size_t before = config_path_enter(&checker->path, name);
	char text[ERR_TEXT_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	config_errors_add(checker->errors, config_mark(checker->config, field, object),
		checker->path.text, "%s", text);
	config_path_cut(&checker->path, before);
}

bool config_is_unread(const struct config_checker *checker, const void *field)
{
	const struct config_mark *mark = config_store_find(checker->config->store, field);

	return mark && !mark->line;
}

static bool is_web(enum config_protocol protocol)
{
	return protocol == CONFIG_HTTP || protocol == CONFIG_HTTPS;
}

static const char *protocol_word(enum config_protocol protocol)
{
	static const char *const words[] = {"http", "https", "tls", "tcp"};

	return words[protocol];
}

static void check_password(struct config_checker *checker, const struct config_certificate *c)
{
	int n = (c->key_password_path != NULL) + (c->key_password_env != NULL) +
		(c->key_password_command_count != 0);

	if (n > 1)
		config_refuse(checker, &c->name, c->mark, "key_password_file",
			"and key_password_env and key_password_command: only one of them can be given");
	else if (c->directory_path && c->key_password_command_count)
		config_refuse(checker, &c->key_password_command, c->mark, "key_password_command",
			"has no effect beside directory: it would run once for each key");
	else if (c->key_password_command_count && c->key_password_command[0] &&
		 c->key_password_command[0][0] != '/')
		config_refuse(checker, &c->key_password_command, c->mark, "key_password_command",
			"must begin with the whole path of a program (it is run without a shell)");
}

static void check_certificate(struct config_checker *checker, const void *base)
{
	const struct config_certificate *c = base;

	check_password(checker, c);
	if (c->key_path && !strncmp(c->key_path, "pkcs11:", 7) && strstr(c->key_path, "pin-"))
		config_refuse(checker, &c->key_path, c->mark, "key",
			"names a PIN: say where that is with key_password_file, key_password_env or "
			"key_password_command");
	if (!c->name || config_is_unread(checker, &c->directory_path) ||
		config_is_unread(checker, &c->cert_path) ||
		config_is_unread(checker, &c->key_path) ||
		config_is_unread(checker, &c->pkcs12_path))
		return;
	if (c->directory_path && c->cert_path)
		config_refuse(
			checker, &c->cert_path, c->mark, "cert", "has no effect beside directory");
	else if (c->directory_path && c->key_path)
		config_refuse(
			checker, &c->key_path, c->mark, "key", "has no effect beside directory");
	else if (c->directory_path && c->pkcs12_path)
		config_refuse(checker, &c->pkcs12_path, c->mark, "pkcs12",
			"has no effect beside directory");
	else if (c->pkcs12_path && c->cert_path)
		config_refuse(
			checker, &c->cert_path, c->mark, "cert", "has no effect beside pkcs12");
	else if (c->pkcs12_path && c->key_path)
		config_refuse(checker, &c->key_path, c->mark, "key", "has no effect beside pkcs12");
	else if (c->directory_path && c->ocsp_path)
		config_refuse(checker, &c->ocsp_path, c->mark, "ocsp_file",
			"has no effect beside directory (put NAME.ocsp beside NAME.crt)");
	else if (!c->directory_path && !c->pkcs12_path && !c->cert_path)
		config_refuse(checker, &c->cert_path, c->mark, "cert",
			"is required (or pkcs12, or directory, for many pairs)");
	else if (!c->directory_path && !c->pkcs12_path && !c->key_path)
		config_refuse(checker, &c->key_path, c->mark, "key", "is required");
}

static void check_alerts(struct config_checker *checker, const void *base)
{
	const struct config_alerts *a = base;

	if (a->webhook && strncmp(a->webhook, "https://", 8) != 0 &&
		strncmp(a->webhook, "http://", 7) != 0)
		config_refuse(checker, &a->webhook, a->mark, "webhook",
			"is no URL that begins with https:// or http://");
	if (a->ca_path && !a->webhook && !config_is_unread(checker, &a->webhook))
		config_refuse(checker, &a->ca_path, a->mark, "ca", "has no effect without webhook");
}

void config_check_group_fits(struct config_checker *checker, const struct config_listener *l,
	const struct config_target_group *const *field, struct config_mark mark)
{
	const struct config_target_group *group = *field;

	if (!group || group->protocol > CONFIG_TCP ||
		is_web(group->protocol) == is_web(l->protocol))
		return;
	config_refuse(checker, field, mark, "target_group",
		"a listener of protocol %s cannot use \"%s\", whose protocol is %s (it needs %s)",
		protocol_word(l->protocol), group->name ?: "", protocol_word(group->protocol),
		is_web(l->protocol) ? "http or https" : "tls or tcp");
}

static void check_routes(struct config_checker *checker, const struct config_listener *l)
{
	size_t before = config_path_enter(&checker->path, "routes");

	for (uint32_t i = 0; i < l->routes_count; i++) {
		size_t list = config_path_item(&checker->path, NULL, i);

		config_check_group_fits(checker, l, &l->routes[i].target_group, l->routes[i].mark);
		config_path_cut(&checker->path, list);
	}
	config_path_cut(&checker->path, before);
}

static void check_listener(struct config_checker *checker, const void *base)
{
	const struct config_listener *l = base;

	if (l->protocol > CONFIG_TCP)
		return;
	if ((l->protocol == CONFIG_HTTPS || l->protocol == CONFIG_TLS) && !l->certificates_count)
		config_refuse(checker, &l->certificates, l->mark, "certificates",
			"a listener of protocol %s needs at least one certificate",
			protocol_word(l->protocol));
	if (l->certificates_count && l->certificates[0] && l->certificates[0]->directory_path)
		config_refuse(checker, &l->certificates[0], l->mark, "certificates",
			"begins with the directory \"%s\": the first one is the default and must be "
			"one pair (cert and key)",
			l->certificates[0]->name ?: "");
	config_check_group_fits(checker, l, &l->target_group, l->mark);
	check_routes(checker, l);
	if (l->tls.max_version && l->tls.min_version <= CONFIG_TLS_1_3 &&
		l->tls.min_version > l->tls.max_version)
		config_refuse(checker, &l->tls.min_version, l->mark, "tls.min_version",
			"is newer than max_version");
	if (l->protocol == CONFIG_HTTPS && config_is_given(checker->config, &l->tls.alpn))
		config_refuse(checker, &l->tls.alpn, l->mark, "tls.alpn",
			"has no effect with protocol https, which offers http/1.1 (only tls uses it)");
}

static void check_health_protocol(
	struct config_checker *checker, const struct config_target_group *g)
{
	const struct config_health_check *check = &g->health_check;
	bool secure_group = g->protocol == CONFIG_HTTPS || g->protocol == CONFIG_TLS;

	/* On a port of its own a check may speak what it likes; so may a check of bytes. */
	if (check->port != 0 || g->protocol == CONFIG_TCP)
		return;
	if ((check->protocol == CONFIG_CHECK_HTTP || check->protocol == CONFIG_CHECK_GRPC) &&
		secure_group)
		config_refuse(checker, &check->protocol, check->mark, "health_check.protocol",
			"targets of a group of protocol %s do not speak plain http: use https, tls or "
			"tcp, or give the port of the check",
			protocol_word(g->protocol));
	if ((check->protocol == CONFIG_CHECK_HTTPS || check->protocol == CONFIG_CHECK_TLS ||
		    check->protocol == CONFIG_CHECK_GRPCS) &&
		!secure_group)
		config_refuse(checker, &check->protocol, check->mark, "health_check.protocol",
			"targets of a group of protocol %s do not speak TLS: use http or tcp, or give "
			"the port of the check",
			protocol_word(g->protocol));
}

static int compare_endpoints(const struct config_endpoint *x, const struct config_endpoint *y)
{
	int order = memcmp(&x->address, &y->address, sizeof(x->address));

	if (order || (!x->host && !y->host))
		return order;
	return !x->host ? -1 : !y->host ? 1 : strcmp(x->host, y->host);
}

static int compare_targets(const void *a, const void *b)
{
	const struct config_target *x = *(const struct config_target *const *)a;
	const struct config_target *y = *(const struct config_target *const *)b;
	int order = compare_endpoints(&x->address, &y->address);

	return order ? order : x < y ? -1 : x > y;
}

static void refuse_same_target(struct config_checker *checker, const struct config_target_group *g,
	const struct config_target *first, const struct config_target *again)
{
	char text[ADDRESS_TEXT_BYTES];
	const char *host = again->address.host;
	size_t before = config_path_enter(&checker->path, "targets");

	if (!host)
		address_text(&again->address.address, text, sizeof(text));
	else
		snprintf(text, sizeof(text), ":%u", again->address.address.port);
	config_path_item(&checker->path, again->name, (uint32_t)(again - g->targets));
	config_refuse(checker, &again->address, again->mark, "address",
		"%s%s is already a target of this group (line %u)", host ? host : "", text,
		config_mark(checker->config, &first->address, first->mark).line);
	config_path_cut(&checker->path, before);
}

static void check_same_targets(struct config_checker *checker, const struct config_target_group *g)
{
	const struct config_target **sorted = mem_alloc(g->targets_count * sizeof(sorted[0]));

	for (uint32_t i = 0; i < g->targets_count; i++)
		sorted[i] = &g->targets[i];
	qsort(sorted, g->targets_count, sizeof(sorted[0]), compare_targets);
	for (uint32_t i = 1; i < g->targets_count; i++) {
		const struct config_target *first = sorted[i - 1], *again = sorted[i];

		if (first->address.address.port &&
			!compare_endpoints(&first->address, &again->address))
			refuse_same_target(checker, g, first, again);
	}
	free(sorted);
}

static void check_target_group(struct config_checker *checker, const void *base)
{
	const struct config_target_group *g = base;

	if (g->targets_count)
		check_same_targets(checker, g);
	if (!g->tls.verify && g->tls.ca_path)
		config_refuse(checker, &g->tls.ca_path, g->mark, "tls.ca",
			"has no effect with verify: false");
	if (g->tls.certificate && g->tls.certificate->directory_path)
		config_refuse(checker, &g->tls.certificate, g->mark, "tls.certificate",
			"is the directory \"%s\": targets are shown one pair",
			g->tls.certificate->name ?: "");
	if (g->protocol <= CONFIG_TCP)
		check_health_protocol(checker, g);
}

static void check_health_check(struct config_checker *checker, const void *base)
{
	const struct config_health_check *check = base;

	if (check->protocol == CONFIG_CHECK_OFF || check->timeout_ms <= check->interval_ms ||
		config_is_unread(checker, &check->timeout_ms) ||
		config_is_unread(checker, &check->interval_ms))
		return;
	config_refuse(checker, &check->timeout_ms,
		config_mark(checker->config, &check->interval_ms, check->mark), "timeout",
		"is longer than interval (%u ms, interval %u ms)", check->timeout_ms,
		check->interval_ms);
}

static void check_xdp(struct config_checker *checker, const void *base)
{
	const struct config_xdp *xdp = base;

	if ((xdp->mode == CONFIG_XDP_NATIVE || xdp->mode == CONFIG_XDP_GENERIC) &&
		!xdp->interfaces_count)
		config_refuse(checker, &xdp->mode, xdp->mark, "mode",
			"needs at least one of xdp.interfaces to attach to");
}

/* What has a row of its own in the maps of the packet plane. */
static void check_totals(struct config_checker *checker, const void *base)
{
	const struct config *config = base;
	uint32_t addresses = 0, targets = 0;

	for (uint32_t i = 0; i < config->listeners_count; i++)
		addresses += config->listeners[i].address_count;
	for (uint32_t i = 0; i < config->target_groups_count; i++)
		targets += config->target_groups[i].targets_count;
	if (addresses > SLUICE_MAX_LISTENERS)
		config_refuse(checker, &config->listeners, config->mark, "listeners",
			"have %u addresses in all: at most %d are allowed", addresses,
			SLUICE_MAX_LISTENERS);
	if (targets > SLUICE_MAX_BACKENDS)
		config_refuse(checker, &config->target_groups, config->mark, "target_groups",
			"have %u targets in all: at most %d are allowed", targets,
			SLUICE_MAX_BACKENDS);
}

static void (*const section_checks[SECTION_COUNT])(
	struct config_checker *checker, const void *base) = {
	[SECTION_config] = check_totals,
	[SECTION_config_certificate] = check_certificate,
	[SECTION_config_alerts] = check_alerts,
	[SECTION_config_listener] = check_listener,
	[SECTION_config_target_group] = check_target_group,
	[SECTION_config_health_check] = check_health_check,
	[SECTION_config_xdp] = check_xdp,
};

struct list_item {
	const struct setting *row;
	const char *value;
	uint32_t number;
};

/* Values of one list: by what they are, then by their place. */
static int compare_values(const void *a, const void *b)
{
	const struct list_item *x = a, *y = b;
	const void *const *x_pointer = (const void *const *)x->value;
	const void *const *y_pointer = (const void *const *)y->value;

	if (x->row->type == SETTING_TEXT || x->row->type == SETTING_INTERFACE)
		return *x_pointer && *y_pointer
			       ? strcmp(*x_pointer, *y_pointer)
			       : (*x_pointer > *y_pointer) - (*x_pointer < *y_pointer);
	return memcmp(x->value, y->value, x->row->size);
}

static int compare_items(const void *a, const void *b)
{
	const struct list_item *x = a, *y = b;
	int order = compare_values(x, y);

	return order ? order : (x->number > y->number) - (x->number < y->number);
}

/* An item that could not be read is all zeros. */
static bool is_blank(const struct list_item *item)
{
	for (uint16_t i = 0; i < item->row->size; i++) {
		if (item->value[i])
			return false;
	}
	return true;
}

static void check_repeats(
	struct config_checker *checker, const struct setting *row, const void *base)
{
	uint32_t count = *config_field_count(row, base);
	const char *values = *(char **)config_field(row, base);
	struct list_item *item;

	if (count < 2)
		return;
	item = mem_alloc(count * sizeof(*item));
	for (uint32_t i = 0; i < count; i++)
		item[i] = (struct list_item){row, values + (size_t)row->size * i, i};
	qsort(item, count, sizeof(*item), compare_items);
	for (uint32_t i = 1; i < count; i++) {
		size_t before = checker->path.len;

		if (compare_values(&item[i - 1], &item[i]) != 0 || is_blank(&item[i]))
			continue;
		config_path_enter(&checker->path, row->name);
		config_path_item(&checker->path, NULL, item[i].number);
		config_errors_add(checker->errors,
			config_mark(checker->config, item[i].value, (struct config_mark){0}),
			checker->path.text, "is in the list twice");
		config_path_cut(&checker->path, before);
	}
	free(item);
}

/* The words of `only`, as "http, https". */
static void only_text(
	const struct setting *row, const struct setting *protocol, char *buf, size_t len)
{
	const char *words = protocol->words;
	struct slice word;
	size_t used = 0;

	buf[0] = '\0';
	for (uint32_t value = 0; config_word_next(&words, &word); value++) {
		if (row->only & 1u << value && used < len)
			used += (size_t)snprintf(buf + used, len - used, "%s%.*s", used ? ", " : "",
				(int)word.len, word.ptr);
	}
}

static bool is_written(
	const struct config_checker *checker, const struct setting *row, const void *base)
{
	const void *field = config_field(row, base);

	if (row->type == SETTING_SECTION && !row->list)
		return ((const struct config_mark *)field)->line != 0;
	return config_is_given(checker->config, field);
}

static void refuse_useless(struct config_checker *checker, enum setting_section section,
	const struct setting *row, const void *base, uint32_t protocol)
{
	/* A section without a protocol of its own belongs to a listener or a target group. */
	const struct setting *protocol_row =
		config_setting_find(section, SLICE("protocol"))
			?: config_setting_find(SECTION_config_listener, SLICE("protocol"));
	const void *field = config_field(row, base);
	struct config_mark mark = row->type == SETTING_SECTION ? *(const struct config_mark *)field
							       : (struct config_mark){0};
	const char *words = protocol_row->words;
	struct slice word = {"", 0};
	char only[96];

	for (uint32_t i = 0; i <= protocol; i++) {
		if (!config_word_next(&words, &word))
			break;
	}
	only_text(row, protocol_row, only, sizeof(only));
	config_refuse(checker, field, mark, row->name,
		"has no effect with protocol %.*s (only with %s)", (int)word.len, word.ptr, only);
}

static void check_list(struct config_checker *checker, const struct setting *row, const void *base,
	uint32_t protocol)
{
	const struct setting *name_row;
	uint32_t count = *config_field_count(row, base);
	const char *items = *(char **)config_field(row, base);
	size_t before = config_path_enter(&checker->path, row->name);

	name_row = config_setting_find(row->child, SLICE("name"));
	for (uint32_t i = 0; i < count; i++) {
		const char *item = items + (size_t)row->size * i;
		const char *name = name_row ? *(char **)config_field(name_row, item) : NULL;
		size_t list = config_path_item(&checker->path, name, i);

		check_section(checker, row->child, item, protocol);
		config_path_cut(&checker->path, list);
	}
	config_path_cut(&checker->path, before);
}

static void check_setting(struct config_checker *checker, const struct setting *row,
	const void *base, uint32_t protocol)
{
	size_t before;

	if (row->list && row->type == SETTING_SECTION) {
		check_list(checker, row, base, protocol);
	} else if (row->type == SETTING_SECTION) {
		before = config_path_enter(&checker->path, row->name);
		check_section(checker, row->child, config_field(row, base), protocol);
		config_path_cut(&checker->path, before);
	} else if (row->list && row->type != SETTING_ADDRESS) {
		check_repeats(checker, row, base); /* addresses: config_overlap.c */
	}
}

static void check_section(struct config_checker *checker, enum setting_section section,
	const void *base, uint32_t around)
{
	uint32_t protocol = config_protocol_in(section, base, around);
	const struct setting *row;

	for_each_setting(row, section)
	{
		if (config_setting_applies(row, protocol))
			check_setting(checker, row, base, protocol);
		else if (is_written(checker, row, base))
			refuse_useless(checker, section, row, base, protocol);
	}
	if (section_checks[section])
		section_checks[section](checker, base);
}

void config_check(struct config *config, struct config_errors *errors)
{
	struct config_checker checker = {.config = config, .errors = errors};

	check_section(&checker, SECTION_config, config, PROTOCOL_UNKNOWN);
	config_check_policies(config, errors);
	config_check_client_auth(config, errors);
	config_check_targets(config, errors);
	config_check_rules(config, errors);
	config_check_admin(config, errors);
	config_check_overlaps(config, errors);
}
