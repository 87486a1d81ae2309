/* The view "desync": malformed and ambiguous requests by what was found in them. See views.h. */
#include "control/views_parts.h"

static bool is_http(const struct config_listener *config)
{
	return config->protocol == CONFIG_HTTP || config->protocol == CONFIG_HTTPS;
}

void view_listener_desync(const struct config_listener *config, const struct listener_counts *sum,
	const struct view *row)
{
	uint64_t classes[DESYNC_CLASSES][2] = {0};
	struct view desync, class;
	uint32_t i;

	if (!is_http(config)) {
		view_null(row, "desync");
		return;
	}
	for (i = 0; i < DESYNCS; i++) {
		classes[desync_rows[i].class][0] += sum->desync[i][0];
		classes[desync_rows[i].class][1] += sum->desync[i][1];
	}
	desync = view_object(row, "desync");
	view_text(&desync, "mode", desync_mode_names[config->http.desync_mode]);
	for (i = 0; i < DESYNC_CLASSES; i++) {
		class = view_object(&desync, desync_class_names[i]);
		view_number(&class, "forwarded", classes[i][0]);
		view_number(&class, "refused", classes[i][1]);
	}
}

static void put(const struct config_listener *config, const struct listener_counts *sum,
	uint32_t found, const struct view_list *list)
{
	const struct desync_row *about = &desync_rows[found];
	struct view row = view_list_object(list);

	view_text(&row, "listener", config->name);
	view_text(&row, "mode", desync_mode_names[config->http.desync_mode]);
	view_text(&row, "class", desync_class_names[about->class]);
	view_text(&row, "found", about->name);
	view_number(&row, "forwarded", sum->desync[found][0]);
	view_number(&row, "refused", sum->desync[found][1]);
	view_text(&row, "help", about->help);
}

int view_desync(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root_value)
{
	const struct daemon *daemon = arg;
	struct view root = {doc, root_value};
	struct view_list list = view_list(&root, "desync");
	const struct config_listener *config;
	struct listener_counts sum;
	uint32_t i, found;

	for (i = 0; i < daemon->build->n_listeners; i++) {
		config = &daemon->build->config->listeners[i];
		counts_of_stats(
			daemon->build->listeners[i]->spec.stats, daemon->env.n_workers, &sum);
		for (found = 0; is_http(config) && found < DESYNCS; found++)
			put(config, &sum, found, &list);
	}
	return 0;
}
