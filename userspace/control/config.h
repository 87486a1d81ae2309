/*
 * The configuration as the program sees it: checked, every default filled in, immutable. Read from
 * YAML (sluice.yaml(5)); each setting is one row of settings.def and one field here. A struct
 * config owns everything it points to; the last config_free() frees all of it. After parsing any thread may
 * read it. Only control/apply turns it into the spec structs of the rooms.
 * Durations are milliseconds, sizes bytes, limits of 0 mean "no limit" where the manual says so.
 */
#ifndef SLUICE_CONTROL_CONFIG_H
#define SLUICE_CONTROL_CONFIG_H

#include "control/config_errors.h"
#include "control/config_objects.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct config_store; /* memory and marks */

struct config {
	struct config_mark mark;
	uint32_t workers; /* 0: one per CPU */
	struct config_admin admin;
	struct config_metrics metrics;
	struct config_log log;
	struct config_xdp xdp;
	char *pkcs11_module_path; /* NULL: the provider's own */
	struct config_shutdown shutdown;
	struct config_upgrade upgrade;
	struct config_confinement confinement;
	struct config_tickets session_tickets;
	struct config_dns dns;
	struct config_prefix *deny;
	uint32_t deny_count;
	char *deny_path; /* NULL: none */
	struct config_prefix *allow;
	uint32_t allow_count;
	char *allow_path;
	struct config_limits limits;
	struct config_certificate *certificates;
	uint32_t certificates_count;
	uint32_t certificates_cache;
	uint32_t watchdog_ms; /* 0: off */
	char *certificates_index_path; /* NULL: none */
	char *state_dir_path;
	uint32_t history; /* versions kept */
	struct config_alerts alerts;
	struct config_security_policy *security_policies;
	uint32_t security_policies_count;
	struct config_trust_store *trust_stores;
	uint32_t trust_stores_count;
	struct config_target_group *target_groups;
	uint32_t target_groups_count;
	struct config_listener *listeners;
	uint32_t listeners_count;
	char *file; /* as the user named it */
	struct config_store *store;
	atomic_uint refs;
};

/* Reads and checks a file. 0, or a negative errno with at least one entry in `errors`. */
int config_load_file(
	const char *path, struct config **ret_config, struct config_errors *errors) must_check;
/* The same for a text; `name` stands for the file in messages and relative paths. */
int config_parse(const char *text, size_t len, const char *name, struct config **ret_config,
	struct config_errors *errors) must_check;
/* A configuration's text as it was read, and what it is called in messages. */
struct config_text {
	char *bytes; /* NULL: none */
	size_t len;
	char *name;
};

int config_text_read(
	struct config_text *text, const char *path, struct config_errors *errors) must_check;
void config_text_fini(struct config_text *text);
/* The folder of a file, absolute and without / at its end: what relative paths in it begin at. The
 * caller's to free(). */
char *config_folder(const char *name);

/* Counted: generations that differ in certificates have the same one. */
struct config *config_get(struct config *config);
/* Gives a count back; the last one frees. NULL is ignored. */
void config_free(struct config *config);

/* Where a setting is written: `field` is the address of a field (or list item) of `config`, of a
 * list item's struct too. `fallback` (usually the object's mark) if it has its default. */
struct config_mark config_mark(
	const struct config *config, const void *field, struct config_mark fallback);
/* Is the setting written in the file? */
bool config_is_given(const struct config *config, const void *field);

/* The effective configuration as YAML, every default filled in; reading it gives the same again, but
 * for what may be a secret where that is redacted. */
void config_show(const struct config *config, bool redact, FILE *out);

/* True if `new` differs from `old` in a setting that a reload cannot change; each such setting
 * becomes an entry of `errors` (may be NULL) at its place in `new`. */
bool config_is_restart_needed(
	const struct config *old, const struct config *new, struct config_errors *errors);

/* The manual page sluice.yaml(5), mdoc, made from the table of settings. */
void config_man_write(FILE *out);

#endif
