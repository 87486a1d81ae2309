/*
 * One value of the configuration: from the text a person wrote, and back. Pure functions over the
 * row of the setting; REF and SECTION are not values in this sense. One thread at a time per store.
 */
#ifndef SLUICE_CONTROL_CONFIG_SCALAR_H
#define SLUICE_CONTROL_CONFIG_SCALAR_H

#include "control/config_settings.h"
#include "control/config_store.h"
#include "core/err.h"

struct scalar_place {
	struct config_store *store; /* owns strings that are made */
	const char *folder;         /* what relative paths begin at, absolute */
};

/* Writes the value to `ret_field`. 0, or -EINVAL and in `err` what is wrong with the text. */
int scalar_read(const struct setting *row, struct slice text, const struct scalar_place *place,
	void *ret_field, struct err *err) must_check;

/* The value as scalar_read understands it, without quotes. */
void config_print_scalar(const struct setting *row, const void *field, FILE *out);
/* A number in the unit of the setting: "64k", "10s", "10%". */
void config_print_number(const struct setting *row, uint64_t value, FILE *out);
/* An optional text without a value: there is nothing to print. */
bool config_print_is_unset(const struct setting *row, const void *field);

/* The text in quotes for a message: cut when long, characters a terminal would act on replaced. */
enum { QUOTED_BYTES = 96 };
const char *scalar_quote(struct slice text, char buf[static QUOTED_BYTES]);

/* config_address.c */
enum { ADDRESS_TEXT_BYTES = 64 };
int address_read(struct slice text, struct config_address *ret_address, struct err *err) must_check;
/* An address, or a host name, with a port; the name is the store's. */
int config_endpoint_read(struct slice text, struct config_store *store,
	struct config_endpoint *ret_endpoint, struct err *err) must_check;
int config_address_read_prefix(
	struct slice text, struct config_prefix *ret_prefix, struct err *err) must_check;
const char *address_text(const struct config_address *address, char *buf, size_t len);
const char *config_address_prefix_text(const struct config_prefix *prefix, char *buf, size_t len);

#endif
