/*
 * What the admin API says, for people at a shell: tables aligned to a terminal, and YAML. Pure:
 * JSON values in, text out; unknown members are ignored and missing ones shown as "-", so that a
 * tool and a daemon of different versions understand each other. Any thread.
 */
#ifndef SLUICE_CONTROL_RENDER_H
#define SLUICE_CONTROL_RENDER_H

#include "core/attr.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <yyjson.h>

struct render_look {
	uint32_t width;       /* columns of the terminal; 0: as wide as needed */
	uint32_t rows;        /* of the terminal that there is room on; 0: as many as needed */
	bool all; /* rows that count zero too (drops, counters); packets (listeners) */
	bool wide; /* more columns (connections, listeners, targets, groups) */
	int64_t now_unix_s; /* for "since" */
	yyjson_val *previous; /* the answer before this one, for rates; NULL: there is none */
	double elapsed_s; /* since `previous` */
};

/* The views, by the name of their command. */
void render_status(yyjson_val *root, const struct render_look *look, FILE *out);
void render_listeners(yyjson_val *root, const struct render_look *look, FILE *out);
void render_targets(yyjson_val *root, const struct render_look *look, FILE *out);
void render_groups(yyjson_val *root, const struct render_look *look, FILE *out);
void render_certs(yyjson_val *root, const struct render_look *look, FILE *out);
void render_cert(yyjson_val *root, const struct render_look *look, FILE *out);
void render_choice(yyjson_val *root, const struct render_look *look, FILE *out);
void render_objects(yyjson_val *root, const struct render_look *look, FILE *out);
void render_object(yyjson_val *root, const struct render_look *look, FILE *out);
void render_change(yyjson_val *root, const struct render_look *look, FILE *out);
void render_history(yyjson_val *root, const struct render_look *look, FILE *out);
/* Line by line, as diff -u does. */
void render_diff(yyjson_val *root, const struct render_look *look, FILE *out);
void render_drops(yyjson_val *root, const struct render_look *look, FILE *out);
void render_desync(yyjson_val *root, const struct render_look *look, FILE *out);
void render_counters(yyjson_val *root, const struct render_look *look, FILE *out);
void render_rules(yyjson_val *root, const struct render_look *look, FILE *out);
void render_rules_test(yyjson_val *root, const struct render_look *look, FILE *out);
void render_policies(yyjson_val *root, const struct render_look *look, FILE *out);
void render_policy(yyjson_val *root, const struct render_look *look, FILE *out);
void render_trust(yyjson_val *root, const struct render_look *look, FILE *out);
void render_trust_store(yyjson_val *root, const struct render_look *look, FILE *out);
void render_upgrade(yyjson_val *root, const struct render_look *look, FILE *out);
void render_state(yyjson_val *root, const struct render_look *look, FILE *out);
void render_reopened(yyjson_val *root, const struct render_look *look, FILE *out);
void render_connections(yyjson_val *root, const struct render_look *look, FILE *out);
void render_top(yyjson_val *root, const struct render_look *look, FILE *out);
/* {"status", "listeners", "targets", "drops", "sources"}: what these views say, together. */
void render_overview(yyjson_val *root, const struct render_look *look, FILE *out);
void render_list(yyjson_val *root, const struct render_look *look, FILE *out);
void render_list_change(yyjson_val *root, const struct render_look *look, FILE *out);
void render_hits(yyjson_val *root, const struct render_look *look, FILE *out);
void render_rotated(yyjson_val *root, const struct render_look *look, FILE *out);
void render_config(yyjson_val *root, const struct render_look *look, FILE *out);
void render_reload(yyjson_val *root, const struct render_look *look, FILE *out);

/* A line of /v1/watch/drops as a line of text; and the titles above them. */
void render_watch_titles(FILE *out);
void render_watch_line(yyjson_val *root, FILE *out);

/* Any JSON as YAML 1.2; every reader, also one of YAML 1.1, gets the same values back. */
void render_yaml(yyjson_val *value, FILE *out);

#endif
