/* The view "status": what an operator wants to know first, then workers, XDP, fallbacks. */
#include "control/render.h"
#include "control/render_table.h"
#include "control/render_value.h"

#include <string.h>

static void line(FILE *out, const char *title)
{
	fprintf(out, "%-13s ", title);
}

/* Of GET /v1/ready and POST /v1/drain. */
void render_state(yyjson_val *root, const struct render_look *look, FILE *out)
{
	uint64_t left_ms = yyjson_get_uint(yyjson_obj_get(root, "left_ms"));
	struct render_value text;

	fputs(render_get(root, "state", &text), out);
	fprintf(out, ", %s connections open", render_get(root, "connections_open", &text));
	if (left_ms)
		fprintf(out, ", for %llu s at most", (unsigned long long)(left_ms + 999) / 1000);
	putc('\n', out);
}

/* Of POST /v1/upgrade. */
void render_upgrade(yyjson_val *root, const struct render_look *look, FILE *out)
{
	struct render_value text;

	fprintf(out, "pid %s serves, ", render_get(root, "pid", &text));
	fprintf(out, "version %s; ", render_get(root, "version", &text));
	fprintf(out, "%s connections are left with the one before\n",
		render_get(root, "connections_left", &text));
}

static void put_config(yyjson_val *config, const struct render_look *look, FILE *out)
{
	yyjson_val *last = yyjson_obj_get(config, "last_reload");
	struct render_value text;

	line(out, "configuration");
	render_text(render_get(config, "path", &text), out);
	fprintf(out, ", generation %s", render_get(config, "generation", &text));
	fprintf(out, ", loaded %s ago\n",
		render_get_ago(config, "loaded_at", look->now_unix_s, &text));
	if (!yyjson_is_obj(last))
		return;
	line(out, "last reload");
	fprintf(out, "%s", render_get(last, "result", &text));
	fprintf(out, " %s ago", render_get_ago(last, "at", look->now_unix_s, &text));
	if (*render_get_or_empty(last, "error", &text)) {
		fputs(": ", out);
		render_text(text.text, out);
	}
	putc('\n', out);
}

static void put_reason(yyjson_val *object, FILE *out)
{
	struct render_value text;

	if (*render_get_or_empty(object, "reason", &text)) {
		fputs(": ", out);
		render_text(text.text, out);
	}
	putc('\n', out);
}

/* "none; files 3 % of 18976, memory 40 % of 512 MiB" */
static void put_overload(yyjson_val *overload, FILE *out)
{
	struct render_value text;
	yyjson_val *row;
	size_t i, n;

	if (!yyjson_is_obj(overload)) /* of an older daemon */
		return;
	line(out, "overload");
	fputs(render_get(overload, "level", &text), out);
	yyjson_arr_foreach(yyjson_obj_get(overload, "resources"), i, n, row)
	{
		uint64_t used = yyjson_get_uint(yyjson_obj_get(row, "used"));
		uint64_t limit = yyjson_get_uint(yyjson_obj_get(row, "limit"));
		bool is_bytes = strstr(yyjson_get_str(yyjson_obj_get(row, "name")), "memory");

		fprintf(out, "%s %s", i ? "," : ";", render_get(row, "name", &text));
		fprintf(out, " %llu %% of ", (unsigned long long)(limit ? used * 100 / limit : 0));
		fputs(is_bytes ? render_get_bytes(row, "limit", &text)
			       : render_get(row, "limit", &text),
			out);
	}
	putc('\n', out);
}

/* "from pid 812 (1.4), which has 3 connections left"; nothing where there was none. */
static void put_upgrade(yyjson_val *upgrade, FILE *out)
{
	struct render_value text;

	if (yyjson_is_uint(yyjson_obj_get(upgrade, "from_pid"))) {
		line(out, "taken over");
		fprintf(out, "from pid %s", render_get(upgrade, "from_pid", &text));
		fprintf(out, " (%s), which ", render_get(upgrade, "from_version", &text));
		if (yyjson_is_true(yyjson_obj_get(upgrade, "from_alive")))
			fprintf(out, "has %s connections left\n",
				render_get(upgrade, "connections_left", &text));
		else
			fputs("has ended\n", out);
	}
	if (*render_get_or_empty(upgrade, "error", &text)) {
		line(out, "upgrade");
		render_text(text.text, out);
		putc('\n', out);
	}
}

static void put_totals(yyjson_val *root, FILE *out)
{
	yyjson_val *handshakes = yyjson_obj_get(root, "handshakes");
	yyjson_val *memory = yyjson_obj_get(root, "memory");
	struct render_value text;

	line(out, "connections");
	fprintf(out, "%s open", render_get(root, "connections_open", &text));
	fprintf(out, ", %s accepted\n", render_get(root, "accepted_total", &text));
	line(out, "requests");
	fprintf(out, "%s\n", render_get(root, "requests_total", &text));
	line(out, "handshakes");
	fprintf(out, "%s full", render_get(handshakes, "full", &text));
	fprintf(out, ", %s resumed", render_get(handshakes, "resumed", &text));
	fprintf(out, ", %s failed", render_get(handshakes, "failed", &text));
	fprintf(out, ", %s tickets refused\n", render_get(handshakes, "ticket_refused", &text));
	if (yyjson_is_str(yyjson_obj_get(yyjson_obj_get(root, "session_tickets"), "fault"))) {
		line(out, "tickets");
		fprintf(out, "the keys stay as they were: %s\n",
			render_get(yyjson_obj_get(root, "session_tickets"), "fault", &text));
	}
	line(out, "memory");
	fprintf(out, "%s resident", render_get_bytes(memory, "rss_bytes", &text));
	if (yyjson_is_num(yyjson_obj_get(memory, "idle_tls_connection_bytes"))) {
		fprintf(out, ", an idle connection %s bytes",
			render_get(memory, "idle_connection_bytes", &text));
		fprintf(out, ", with TLS %s",
			render_get(memory, "idle_tls_connection_bytes", &text));
	}
	putc('\n', out);
	put_overload(yyjson_obj_get(root, "overload"), out);
	put_upgrade(yyjson_obj_get(root, "upgrade"), out);
	if (yyjson_get_uint(yyjson_obj_get(root, "log_lines_lost")) > 0) {
		line(out, "log");
		fprintf(out, "%s lines lost\n", render_get(root, "log_lines_lost", &text));
	}
}

static void put_log(yyjson_val *log, FILE *out)
{
	struct render_value text;

	line(out, "log file");
	render_text(render_get(log, "path", &text), out);
	fprintf(out, ": %s lines", render_get(log, "lines", &text));
	fprintf(out, ", %s dropped since they came too fast",
		render_get(log, "dropped_full", &text));
	fprintf(out, ", %s not taken", render_get(log, "dropped_error", &text));
	if (yyjson_is_str(yyjson_obj_get(log, "error")))
		fprintf(out, "; %s", render_get(log, "error", &text));
	putc('\n', out);
}

static void put_logs(yyjson_val *root, FILE *out)
{
	yyjson_val *log;
	size_t i, n;

	if (yyjson_is_obj(yyjson_obj_get(root, "connection_log")))
		put_log(yyjson_obj_get(root, "connection_log"), out);
	yyjson_arr_foreach(yyjson_obj_get(root, "access_logs"), i, n, log) put_log(log, out);
}

/* A heartbeat older than this is a worker that hangs: the packet plane goes around it. */
enum { HEARTBEAT_STALE_MS = 1000 };

static void worker_row(struct render_table *table, yyjson_val *row)
{
	yyjson_val *age = yyjson_obj_get(row, "heartbeat_age_ms");
	struct render_value text;

	render_table_cell(table, "%s", render_get(row, "id", &text));
	render_table_cell(table, "%s", render_get(row, "cpu", &text));
	render_table_cell(table, "%s%s", render_get(row, "heartbeat_age_ms", &text),
		yyjson_is_num(age) ? "ms" : "");
	render_table_cell(table, "%s", render_get(row, "connections", &text));
	render_table_cell(table, "%s", render_get(row, "accepted", &text));
	render_table_cell(table, "%s", render_get(row, "requests", &text));
	render_table_cell(table, "%s", render_get(row, "busy_percent", &text));
	if (yyjson_is_num(age))
		render_table_cell(
			table, "%s", yyjson_get_num(age) > HEARTBEAT_STALE_MS ? "HUNG" : "alive");
	else
		render_table_cell(table, "-");
}

static void put_workers(yyjson_val *workers, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"WORKER", RENDER_NUMBER},
		{"CPU", RENDER_NUMBER}, {"HEARTBEAT", RENDER_NUMBER}, {"OPEN", RENDER_NUMBER},
		{"ACCEPTED", RENDER_NUMBER}, {"REQUESTS", RENDER_NUMBER}, {"BUSY%", RENDER_NUMBER},
		{"STATE", RENDER_TEXT}};
	struct render_table table;
	yyjson_val *row;
	size_t i, n;

	if (yyjson_arr_size(workers) == 0)
		return;
	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(workers, i, n, row)
	{
		worker_row(&table, row);
	}
	putc('\n', out);
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
}

static void put_interfaces(yyjson_val *interfaces, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"INTERFACE", RENDER_TEXT},
		{"XDP", RENDER_TEXT}, {"PROGRAM", RENDER_NUMBER}, {"REASON", RENDER_FLEXIBLE}};
	struct render_table table;
	struct render_value text;
	yyjson_val *row;
	size_t i, n;

	if (yyjson_arr_size(interfaces) == 0)
		return;
	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(interfaces, i, n, row)
	{
		render_table_cell(&table, "%s", render_get(row, "name", &text));
		render_table_cell(&table, "%s", render_get(row, "mode", &text));
		render_table_cell(&table, "%s", render_get(row, "prog_id", &text));
		render_table_cell(&table, "%s", render_get_or_empty(row, "reason", &text));
	}
	putc('\n', out);
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
}

static void put_capabilities(yyjson_val *capabilities, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"CAPABILITY", RENDER_TEXT},
		{"STATE", RENDER_TEXT}, {"USING", RENDER_FLEXIBLE}, {"REASON", RENDER_FLEXIBLE}};
	struct render_table table;
	struct render_value text;
	yyjson_val *row;
	size_t i, n;

	if (yyjson_arr_size(capabilities) == 0)
		return;
	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(capabilities, i, n, row)
	{
		render_table_cell(&table, "%s", render_get(row, "name", &text));
		render_table_cell(&table, "%s", render_get(row, "state", &text));
		render_table_cell(&table, "%s", render_get_or_empty(row, "using", &text));
		render_table_cell(&table, "%s", render_get_or_empty(row, "reason", &text));
	}
	putc('\n', out);
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
}

/* How connections come in: who answers SYNs, and what judges first flights. */
static void put_packets(yyjson_val *root, FILE *out)
{
	yyjson_val *handover = yyjson_obj_get(root, "handover");
	yyjson_val *gate = yyjson_obj_get(root, "gate");
	struct render_value text;

	if (yyjson_is_obj(handover)) {
		line(out, "handover");
		fputs(render_get(handover, "mode", &text), out);
		put_reason(handover, out);
	}
	if (!yyjson_is_obj(gate))
		return;
	line(out, "gate");
	if (yyjson_is_true(yyjson_obj_get(gate, "active"))) {
		fprintf(out, "on %s", render_get(gate, "device", &text));
		fprintf(out, ", AF_XDP sockets: %s", render_get(gate, "sockets", &text));
		fprintf(out, " (%s without copying)", render_get(gate, "zero_copy", &text));
		fprintf(out, ", %s frames", render_get(gate, "frames", &text));
		fprintf(out, ", %s flights incomplete", render_get(gate, "flights_open", &text));
	} else {
		fputs("off", out);
	}
	put_reason(gate, out);
}

void render_status(yyjson_val *root, const struct render_look *look, FILE *out)
{
	struct render_value text;

	line(out, "sluiced");
	fprintf(out, "%s", render_get(root, "version", &text));
	fprintf(out, ", pid %s", render_get(root, "pid", &text));
	fprintf(out, ", up %s\n",
		render_duration((int64_t)yyjson_get_num(yyjson_obj_get(root, "uptime_s")), &text));
	put_config(yyjson_obj_get(root, "config"), look, out);
	put_totals(root, out);
	put_packets(root, out);
	put_logs(root, out);
	put_workers(yyjson_obj_get(root, "workers"), look, out);
	put_interfaces(yyjson_obj_get(yyjson_obj_get(root, "xdp"), "interfaces"), look, out);
	put_capabilities(yyjson_obj_get(root, "capabilities"), look, out);
}
