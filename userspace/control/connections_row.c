/* One connection as JSON: see connections_row.h. */
#include "control/connections_row.h"
#include "control/views_parts.h"

#include <stdlib.h>

static void put_known(const struct view *view, const char *name, const char *text)
{
	view_text(view, name, *text ? text : NULL);
}

static void put_address(const struct view *view, const char *name, const union addr *addr)
{
	char text[ADDR_TEXT_BYTES];

	view_text(view, name, addr->any.sa_family != AF_UNSPEC ? addr_format(addr, text) : NULL);
}

static void put_place(const struct view *tls, const char *name, uint8_t place)
{
	struct view object = view_object(tls, name);

	view_text(&object, "place", ktls_place_name((enum ktls_place)place));
	view_text(&object, "reason",
		place == KTLS_kernel ? NULL : ktls_place_help((enum ktls_place)place));
}

static void put_tls(const struct view *row, const char *name, const struct connections_tls *tls)
{
	struct view object;

	if (!tls->is_there) {
		view_null(row, name);
		return;
	}
	object = view_object(row, name);
	put_known(&object, "version", tls->version);
	put_known(&object, "cipher", tls->cipher);
	put_known(&object, "group", tls->group);
	put_known(&object, "alpn", tls->alpn);
	view_bool(&object, "resumed", tls->resumed);
	view_number(&object, "key_updates", tls->key_updates);
	put_place(&object, "rx", tls->places[TLS_RX]);
	put_place(&object, "tx", tls->places[TLS_TX]);
}

static void put_row(const struct view *view, const struct connections_row *row)
{
	view_number(view, "id", row->id);
	view_number(view, "worker", conn_id_worker(row->id));
	view_text(view, "listener", row->listener);
	view_text(view, "state", conn_state_name((enum conn_state)row->state));
	put_address(view, "client", &row->client);
	put_address(view, "local", &row->local);
	view_number(view, "age_ms", row->age_ms);
	view_number(view, "idle_ms", row->idle_ms);
	view_number(view, "bytes_in", row->bytes_in);
	view_number(view, "bytes_out", row->bytes_out);
	view_number(view, "requests", row->requests);
	put_known(view, "server_name", row->sni);
	put_known(view, "ja4", row->ja4);
	put_tls(view, "tls", &row->tls);
	put_known(view, "target_group", row->target_group);
	put_known(view, "target", row->target);
	put_tls(view, "target_tls", &row->target_tls);
}

char *connections_row_json(const struct connections_row *row, size_t *ret_len)
{
	yyjson_mut_doc *doc = admin_doc_new();
	struct view view = {doc, yyjson_mut_doc_get_root(doc)};
	char *text;

	put_row(&view, row);
	text = yyjson_mut_write(
		doc, YYJSON_WRITE_ALLOW_INVALID_UNICODE | YYJSON_WRITE_ESCAPE_UNICODE, ret_len);
	if (!text)
		abort();
	yyjson_mut_doc_free(doc);
	return text;
}
