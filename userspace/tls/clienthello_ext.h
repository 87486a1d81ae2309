/*
 * The body of one extension of a ClientHello, which is whole. Between clienthello_body.c, which
 * walks over them, and clienthello_ext.c. Pure; any thread.
 */
#ifndef SLUICE_TLS_CLIENTHELLO_EXT_H
#define SLUICE_TLS_CLIENTHELLO_EXT_H

#include "tls/clienthello.h"

/* Stores what the extension says; those that mean nothing here may hold what they like. */
enum clienthello_fault clienthello_ext_read(
	struct clienthello *hello, uint16_t type, struct slice body) must_check;

#endif
