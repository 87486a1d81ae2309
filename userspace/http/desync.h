/*
 * Requests that one recipient reads otherwise than the next, which is what request smuggling lives
 * on: the rows of desync.def, how a request is searched for them, and what becomes of it. Constant
 * data and pure functions, any thread.
 */
#ifndef SLUICE_HTTP_DESYNC_H
#define SLUICE_HTTP_DESYNC_H

#include "http/h1_error.h"
#include "http/message.h"

enum desync {
#define DESYNC(id, class, monitor, defensive, strictest, help) DESYNC_##id,
#include "http/desync.def"
#undef DESYNC
	DESYNCS
};
_Static_assert(DESYNCS <= 64, "what is found is a 64-bit set");

#define DESYNC_BIT(id) (UINT64_C(1) << DESYNC_##id)

enum desync_class { DESYNC_ACCEPTABLE, DESYNC_AMBIGUOUS, DESYNC_SEVERE, DESYNC_CLASSES };
enum desync_mode { DESYNC_MONITOR, DESYNC_DEFENSIVE, DESYNC_STRICTEST, DESYNC_MODES };
/* The worse, the greater. */
enum desync_verdict { DESYNC_FORWARD, DESYNC_CLOSE, DESYNC_REFUSE };

struct desync_row {
	const char *name, *help;
	enum desync_class class;
	enum desync_verdict verdicts[DESYNC_MODES];
};

extern const struct desync_row desync_rows[DESYNCS];
/* "acceptable", "ambiguous", "severe"; "monitor", "defensive", "strictest". */
extern const char *const desync_class_names[DESYNC_CLASSES];
extern const char *const desync_mode_names[DESYNC_MODES];

/* The row of a refused request; DESYNCS: it is refused for another reason (a limit, a method that
 * is not implemented). */
enum desync desync_of_error(enum h1_error error);
/* What a request that the codec has let through has: bits of enum desync. */
uint64_t desync_scan(const struct http_request *request);
/* The worst of what was found. */
enum desync_verdict desync_judge(uint64_t found, enum desync_mode mode);
/* A header or trailer because of which there would be one of these bits: suspicious_header,
 * header_name_odd. */
bool desync_is_found(const struct http_header *header, uint64_t what);
/* Drops the headers because of which there are these bits: suspicious_header, header_name_odd. */
void desync_drop(struct http_headers *headers, uint64_t what);

#endif
