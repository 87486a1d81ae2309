/*
 * The heads of frames in what a client sends, wherever its bytes are cut. The library passes over
 * frames it has no use for without a word (PRIORITY, unknown types, what comes on streams that are over):
 * somebody must see how many they are. Pure.
 */
#ifndef SLUICE_HTTP_H2_SCAN_H
#define SLUICE_HTTP_H2_SCAN_H

#include "http/h2_budget.h"
#include <stddef.h>

enum { H2_FRAME_HEAD_BYTES = 9 };

/* Begins in front of the preface. */
struct h2_scan {
	uint32_t passed; /* bytes of the preface */
	uint32_t left;   /* bytes of the payload under way */
	uint8_t have;    /* bytes of `head` */
	uint8_t head[H2_FRAME_HEAD_BYTES];
};

/* Begins behind it, or where none comes. */
void h2_scan_skip_preface(struct h2_scan *scan);
/* The next frame head that ends in bytes[*at..len); moves *at behind it. False: there is none. */
bool h2_scan_next(struct h2_scan *scan, const uint8_t *bytes, size_t len, size_t *at);
/* The stream of the frame that was found; 0: the connection. */
int32_t h2_scan_stream(const struct h2_scan *scan);
/* What that frame costs, if its stream is over or not; H2_COSTS: nothing, or it is told otherwise. */
enum h2_cost h2_scan_cost(const struct h2_scan *scan, bool is_over);

#endif
