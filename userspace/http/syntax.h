/*
 * The small grammars that every HTTP version shares: tokens, comma lists, numbers, host[:port].
 * Pure functions over slices and constant data, any thread.
 */
#ifndef SLUICE_HTTP_SYNTAX_H
#define SLUICE_HTTP_SYNTAX_H

#include "core/attr.h"
#include "core/slice.h"
#include <stdint.h>

/* Classes of bytes; one byte may be in several. */
enum {
	SYNTAX_TOKEN = 1 << 0,  /* tchar, RFC 9110 section 5.6.2 */
	SYNTAX_TARGET = 1 << 1, /* may stand in a request target: visible ASCII without '#' */
	SYNTAX_HOST = 1 << 2,   /* reg-name without '%', RFC 3986 section 3.2.2 */
	SYNTAX_DIGIT = 1 << 3,
	SYNTAX_HEX = 1 << 4,
	SYNTAX_VALUE = 1 << 5, /* may stand in a field value: all but control bytes; tab is in */
	SYNTAX_UPPER = 1 << 6,
	SYNTAX_NAME =
		1 << 7, /* letters, digits and the hyphen: the names of headers have no others */
};

extern const uint8_t syntax_class[256];

static inline bool syntax_byte_is(char byte, unsigned int class)
{
	return syntax_class[(uint8_t)byte] & class;
}

/* All bytes are of the class; true for the empty slice. */
bool syntax_all(struct slice text, unsigned int class);
/* A non-empty run of token bytes. */
bool syntax_is_token(struct slice text);
/* Without spaces and tabs at both ends. */
struct slice syntax_trim(struct slice text);

/* Takes the next element off a comma list: trimmed, empty ones are left out. False at the end. */
bool syntax_list_next(struct slice *list, struct slice *ret_element);
/* Is `word` an element, in any letter case? */
bool syntax_list_has(struct slice list, struct slice word);

/* Decimal digits only, at most 18 of them. 0 or -EINVAL. */
int syntax_number(struct slice text, uint64_t *ret_number) must_check;

/* host[:port], RFC 9112 section 3.2: host is a name, an IPv4 address or an IPv6 address in
 * brackets, and not empty; no user. *ret_port is 0 if none is given. 0 or -EINVAL. */
int syntax_authority(struct slice text, struct slice *ret_host, uint16_t *ret_port) must_check;

#endif
