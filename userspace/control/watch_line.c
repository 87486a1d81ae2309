/* One drop as a line of JSON: see watch_line.h. */
#include "control/watch_line.h"

#include "dataplane/dp_counters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

static void address_from_sample(
	const __u32 words_be[4], __u16 port_be, bool is_v6, union addr *ret_addr)
{
	static const __u32 none[4];

	*ret_addr = (union addr){0};
	if (memcmp(words_be, none, sizeof(none)) == 0)
		return;
	if (is_v6) {
		ret_addr->v6.sin6_family = AF_INET6;
		memcpy(&ret_addr->v6.sin6_addr, words_be, 16);
		ret_addr->v6.sin6_port = port_be;
	} else {
		ret_addr->v4.sin_family = AF_INET;
		ret_addr->v4.sin_addr.s_addr = words_be[3];
		ret_addr->v4.sin_port = port_be;
	}
}

void watch_drop_from_sample(
	const struct sluice_sample *sample, int64_t at_unix_us, struct watch_drop *ret_drop)
{
	*ret_drop = (struct watch_drop){
		.at_unix_us = at_unix_us,
		.where = "xdp",
		.reason = sample->reason < COUNTER_COUNT
				  ? dp_counter_describe((enum sluice_counter)sample->reason)->name
				  : "unknown",
		.length_bytes = sample->length,
		.weight = sample->weight ? sample->weight : 1,
		.tcp_flags = sample->tcp_flags,
		.has_tcp_flags = true,
	};
	address_from_sample(sample->saddr_be, sample->sport_be, sample->v6, &ret_drop->source);
	address_from_sample(sample->daddr_be, sample->dport_be, sample->v6, &ret_drop->destination);
}

void watch_drop_from_event(const struct gate_event *event, struct watch_drop *ret_drop)
{
	*ret_drop = (struct watch_drop){
		.at_unix_us = event->at_unix_us,
		.where = event->ungated ? "accept" : "gate",
		.reason = gate_reason_rows[event->reason].name,
		.source = event->client,
		.destination = event->local,
		.weight = 1,
		.server_name = *event->server_name ? event->server_name : NULL,
		.ja4 = *event->ja4 ? event->ja4 : NULL,
	};
}

/* --- the line */

struct line {
	yyjson_mut_doc *doc;
	yyjson_mut_val *root;
};

static void must(bool done)
{
	if (done)
		return;
	fputs("sluice: out of memory\n", stderr);
	abort();
}

static void put_text(const struct line *line, const char *name, const char *text)
{
	must(text ? yyjson_mut_obj_add_strcpy(line->doc, line->root, name, text)
		  : yyjson_mut_obj_add_null(line->doc, line->root, name));
}

static void put_number(const struct line *line, const char *name, uint64_t number, bool is_known)
{
	must(is_known ? yyjson_mut_obj_add_uint(line->doc, line->root, name, number)
		      : yyjson_mut_obj_add_null(line->doc, line->root, name));
}

static void put_address(
	const struct line *line, const char *name, const char *port_name, const union addr *addr)
{
	bool is_known = addr->any.sa_family != AF_UNSPEC;
	char text[ADDR_TEXT_BYTES];

	put_text(line, name, is_known ? addr_format_host(addr, text) : NULL);
	put_number(line, port_name, is_known ? addr_port(addr) : 0, is_known);
}

/* "SYN ACK", in the order of RFC 9293 figure 1. */
static const char *flags_text(uint8_t flags, char text[static 48])
{
	static const char *const names[] = {"CWR", "ECE", "URG", "ACK", "PSH", "RST", "SYN", "FIN"};
	size_t used = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < array_len(names); i++)
		if (flags & (0x80u >> i))
			used += (size_t)snprintf(
				text + used, 48 - used, "%s%s", used ? " " : "", names[i]);
	return text;
}

char *watch_line(const struct watch_drop *drop, size_t *ret_len)
{
	struct line line = {.doc = yyjson_mut_doc_new(NULL)};
	int64_t at_unix_ms = drop->at_unix_us / 1000;
	char flags[48], *text;

	line.root = line.doc ? yyjson_mut_obj(line.doc) : NULL;
	must(line.root);
	yyjson_mut_doc_set_root(line.doc, line.root);
	must(yyjson_mut_obj_add_real(line.doc, line.root, "at", (double)at_unix_ms / 1000));
	put_text(&line, "where", drop->where);
	put_text(&line, "reason", drop->reason);
	put_address(&line, "source", "source_port", &drop->source);
	put_address(&line, "destination", "destination_port", &drop->destination);
	put_text(&line, "interface", drop->interface);
	put_number(&line, "length_bytes", drop->length_bytes, drop->length_bytes > 0);
	put_number(&line, "weight", drop->weight, true);
	put_text(&line, "tcp_flags",
		drop->has_tcp_flags ? flags_text(drop->tcp_flags, flags) : NULL);
	put_text(&line, "server_name", drop->server_name);
	put_text(&line, "ja4", drop->ja4);
	put_text(&line, "listener", drop->listener);
	text = yyjson_mut_write(line.doc,
		YYJSON_WRITE_NEWLINE_AT_END | YYJSON_WRITE_ALLOW_INVALID_UNICODE |
			YYJSON_WRITE_ESCAPE_UNICODE,
		ret_len);
	must(text);
	yyjson_mut_doc_free(line.doc);
	return text;
}

/* --- filters */

bool watch_prefix_holds(const struct dp_prefix *prefix, const union addr *addr)
{
	uint32_t whole = prefix->length_bits / 8, bits = prefix->length_bits % 8;
	const uint8_t *bytes;

	if (addr->any.sa_family != (prefix->v6 ? AF_INET6 : AF_INET))
		return false;
	bytes = prefix->v6 ? addr->v6.sin6_addr.s6_addr : (const uint8_t *)&addr->v4.sin_addr;
	if (memcmp(bytes, prefix->addr, whole) != 0)
		return false;
	return bits == 0 || (bytes[whole] ^ prefix->addr[whole]) >> (8 - bits) == 0;
}

bool watch_filter_takes(const struct watch_filter *filter, const struct watch_drop *drop)
{
	if (*filter->reason && strcmp(filter->reason, drop->reason) != 0)
		return false;
	return !filter->has_source || watch_prefix_holds(&filter->source, &drop->source);
}

bool watch_reason_exists(const char *name)
{
	uint32_t i;

	for (i = 0; i < COUNTER_COUNT; i++)
		if (strcmp(dp_counter_describe((enum sluice_counter)i)->name, name) == 0)
			return true;
	for (i = 0; i < GATE_REASONS; i++)
		if (strcmp(gate_reason_rows[i].name, name) == 0)
			return true;
	return false;
}
