/* The dashboard: its page, and where that has its figures from. See views.h. */
#include "control/events.h"
#include "control/overview.h"
#include "control/views_parts.h"

/* Nothing from elsewhere, nothing in the page itself, in no frame. */
#define PAGE_HEADERS                                                                               \
	"Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "       \
	"connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "          \
	"frame-ancestors 'none'\r\n"                                                               \
	"Referrer-Policy: no-referrer\r\n"                                                         \
	"Cross-Origin-Opener-Policy: same-origin\r\n"                                              \
	"Cross-Origin-Resource-Policy: same-origin\r\n"

/* clang-format off */
#pragma clang diagnostic ignored "-Wc23-extensions" /* #embed */
static const char page[] = {
#embed "dashboard/index.html"
};

static const char style[] = {
#embed "dashboard/dashboard.css"
};

static const char script[] = {
#embed "dashboard/dashboard.js"
};
/* clang-format on */

void view_page(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	admin_reply_page(reply, "text/html; charset=utf-8", PAGE_HEADERS, page, sizeof(page));
}

void view_page_style(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	admin_reply_page(reply, "text/css; charset=utf-8", PAGE_HEADERS, style, sizeof(style));
}

void view_page_script(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	admin_reply_page(
		reply, "text/javascript; charset=utf-8", PAGE_HEADERS, script, sizeof(script));
}

int view_overview(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root)
{
	return overview_put(arg, false, doc, root);
}

void view_events(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	events_open(((struct daemon *)arg)->events, reply);
}
