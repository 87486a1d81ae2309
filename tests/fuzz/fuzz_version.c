/*
 * Any bytes as the file of a version of objects, as if its digest were right: what is read of them is
 * the same after being written and read again, and lies over a configuration or is refused.
 */
#include "control/config_merge.h"
#include "control/object_rows.h"
#include "control/versions_parts.h"
#include "core/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char file[] = "certificates: [{name: a, cert: /a.crt, key: /a.key}]\n"
			   "target_groups: [{name: g, protocol: http, targets: []}]\n"
			   "listeners: [{name: web, protocol: https, address: \":443\","
			   " certificates: [a], target_group: g}]\n";

static void must(bool is_so)
{
	if (!is_so)
		abort();
}

static void row_fini(struct version_row *row)
{
	free(row->about.changes);
	blob_list_fini(&row->dropped);
}

static void check_round_trip(struct version_row *row, const struct object_set *set)
{
	struct version_row again = {0};
	struct object_set same = {0};
	struct err err;
	size_t len;
	char *text = version_write(row, set, &len);

	must(version_parse(text, len, true, &again, &same, &err) == 0);
	must(again.about.number == row->about.number && object_set_eq(set, &same));
	must(again.dropped.n == row->dropped.n);
	row_fini(&again);
	object_set_fini(&same);
	free(text);
}

static void lay_over(const struct object_set *set)
{
	struct config_overlay overlay = {set, "/state/objects/blobs"};
	struct config_text text = {
		.name = mem_strdup("t.yaml"), .bytes = mem_strdup(file), .len = sizeof(file) - 1};
	struct config *config = NULL;
	struct config_errors errors;
	struct object_rows rows = {0};

	config_errors_init(&errors);
	if (config_compose(&text, &overlay, &config, &rows, &errors) == 0) {
		must(rows.n >= set->n && config_errors_total(&errors) == 0);
		config_free(config);
		object_rows_fini(&rows);
	} else {
		must(config_errors_total(&errors) > 0);
	}
	config_errors_fini(&errors);
	config_text_fini(&text);
}

static void look_at(const char *text, size_t len)
{
	struct version_row row = {0};
	struct object_set set = {0};
	struct blob_list blobs;
	struct err err;

	if (version_parse(text, len, true, &row, &set, &err) == 0) {
		object_set_blobs(&set, &blobs);
		blob_list_fini(&blobs);
		check_round_trip(&row, &set);
		lay_over(&set);
		object_set_fini(&set);
	}
	row_fini(&row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char magic[] = "sluice objects 1 ";
	size_t head = sizeof(magic) - 1 + DIGEST_HEX_BYTES;
	char *text = mem_alloc(head + size + 1);

	look_at((const char *)data, size); /* as it is, with whatever digest */
	memcpy(text, magic, sizeof(magic) - 1);
	digest_hex(data, size, text + sizeof(magic) - 1);
	text[head - 1] = '\n';
	memcpy(text + head, data, size);
	look_at(text, head + size);
	free(text);
	return 0;
}
