/*
 * Request and response heads: bytes in, message or reason out. Every row is fed whole, byte by
 * byte and cut at every place, each time in fresh memory of exactly its size.
 */
#include "describe.h"
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

struct row {
	struct slice bytes;
	enum h1_error error;         /* NONE: accepted */
	const char *description;     /* of the accepted message */
	struct h1_expected expected; /* responses */
};

#define IN(text)              {text, sizeof(text) - 1}
#define GET                   "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST                  "POST / HTTP/1.1\r\nHost: a\r\n"
#define BAD(text, id)         {IN(text), H1_ERROR_##id, NULL, {0}}
#define OK(text, description) {IN(text), H1_ERROR_NONE, description, {0}}
/* `tail` shares what every GET has. */
#define OK_GET(tail, fields, headers)                                                              \
	OK(GET tail "\r\n",                                                                        \
		"GET GET / 11 authority[a] host[a] path[/] none " fields " {Host=a}" headers)

static const struct row requests[] = {
	OK_GET("", "keep", ""),
	OK_GET("X: \t b c \t\r\nY:\r\nZ:z\r\n", "keep", " {X=b c} {Y=} {Z=z}"),
	OK_GET("X: \x80\xff\r\n", "keep", " {X=\x80\xff}"),
	OK_GET("!#$%&'*+-.^_`|~09azAZ: 1\r\n", "keep", " {!#$%&'*+-.^_`|~09azAZ=1}"),
	OK("GET /a/b?c=d?e HTTP/1.1\r\nhOST: Ex.org:8080\r\n\r\n",
		"GET GET /a/b?c=d?e 11 authority[Ex.org:8080] host[Ex.org] port[8080] path[/a/b] "
		"query[c=d?e] none keep {hOST=Ex.org:8080}"),
	OK("GET /? HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET GET /? 11 authority[a] host[a] path[/] query[] none keep {Host=a}"),
	OK("HEAD //x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
		"HEAD HEAD //x 11 authority[[::1]:80] host[[::1]] port[80] path[//x] none keep "
		"{Host=[::1]:80}"),
	OK("PROPFIND / HTTP/1.1\r\nHost: 10.0.0.1:\r\n\r\n",
		"OTHER PROPFIND / 11 authority[10.0.0.1:] host[10.0.0.1] path[/] none keep "
		"{Host=10.0.0.1:}"),
	OK("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET GET / 11 authority[a] host[a] path[/] none keep {Host=a}"),
	OK("GET / HTTP/1.0\r\n\r\n", "GET GET / 10 path[/] none close"),
	OK("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
		"GET GET / 10 path[/] none keep {Connection=Keep-Alive}"),
	OK_GET("Connection: x, ,Close\r\n", "close", " {Connection=x, ,Close}"),
	OK_GET("Connection: x\r\nConnection: close\r\n", "close",
		" {Connection=x} {Connection=close}"),
	/* targets */
	OK("GET http://A.b:81/c?d HTTP/1.1\r\nHost: a.B:81\r\n\r\n",
		"GET GET /c?d 11 scheme[http] authority[A.b:81] host[A.b] port[81] path[/c] query[d] "
		"none keep {Host=a.B:81}"),
	OK("GET HTTPS://a HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET GET / 11 scheme[https] authority[a] host[a] path[/] none keep {Host=a}"),
	OK("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
		"OPTIONS OPTIONS * 11 scheme[http] authority[a] host[a] path[*] none keep {Host=a}"),
	OK("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		"OPTIONS OPTIONS * 11 authority[a] host[a] path[*] none keep {Host=a}"),
	BAD("GET * HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("GET a HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("GET /\r/ HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", TARGET),
	BAD("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", HOST_DIFFERS),
	BAD("GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", HOST_DIFFERS),
	BAD("GET http://a/ HTTP/1.1\r\n\r\n", HOST_MISSING),
	BAD("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", CONNECT),
	/* start line */
	BAD("GET /\r\n\r\n", START_LINE),
	BAD("GET /\r\nHost: a\r\n\r\n", START_LINE),
	BAD("GET / \r\n\r\n", START_LINE),
	BAD("GET /xHTTP/1.1\r\nHost: a\r\n\r\n", START_LINE),
	BAD("GET /x?HTTP/1.1\r\nHost: a\r\n\r\n", START_LINE),
	BAD("GET\r\n\r\n", START_LINE),
	BAD("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", START_LINE),
	BAD("GET / http/1.1\r\nHost: a\r\n\r\n", START_LINE),
	BAD("GET / HTTP/1.10\r\nHost: a\r\n\r\n", START_LINE),
	BAD("GET / RTSP/1.0\r\n\r\n", START_LINE),
	BAD("SOURCE / ICE/1.0\r\n\r\n", START_LINE),
	BAD("GET HTTP/1.1\r\nHost: a\r\n\r\n", START_LINE),
	BAD("GET / HTTP/1.2\r\nHost: a\r\n\r\n", VERSION),
	BAD("GET / HTTP/0.9\r\nHost: a\r\n\r\n", VERSION),
	BAD("GET / HTTP/2.0\r\nHost: a\r\n\r\n", VERSION),
	BAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VERSION),
	BAD("PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", METHOD_UNKNOWN),
	BAD("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", METHOD_UNKNOWN),
	BAD("get / HTTP/1.1\r\nHost: a\r\n\r\n", METHOD_UNKNOWN),
	BAD("DESCRIBE / HTTP/1.1\r\nHost: a\r\n\r\n", METHOD_UNKNOWN),
	BAD("GE\tT / HTTP/1.1\r\nHost: a\r\n\r\n", METHOD),
	BAD(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", METHOD),
	BAD("\x16\x03\x01\x02", METHOD),
	BAD("\0", METHOD),
	BAD("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BARE_LF),
	BAD("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", START_LINE),
	BAD("\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", EMPTY_LINES),
	/* header syntax */
	BAD(GET "X : b\r\n\r\n", HEADER_NAME),
	BAD(GET "X\t: b\r\n\r\n", HEADER_NAME),
	BAD(GET ": b\r\n\r\n", HEADER_NAME),
	BAD(GET "X\r\n\r\n", HEADER_NAME),
	BAD(GET "X\0: b\r\n\r\n", HEADER_NAME),
	BAD(GET "X\x80: b\r\n\r\n", HEADER_NAME),
	BAD(GET "X(: b\r\n\r\n", HEADER_NAME),
	BAD(GET "X: a\r\n b\r\n\r\n", FOLDED),
	BAD(GET "X: a\r\n\tb\r\n\r\n", FOLDED),
	BAD(GET "X:\r\n b\r\n\r\n", FOLDED),
	BAD("GET / HTTP/1.1\r\n Host: a\r\n\r\n", FOLDED),
	BAD(GET "X: a\0b\r\n\r\n", HEADER_VALUE),
	BAD(GET "X: a\x01\r\n\r\n", HEADER_VALUE),
	BAD(GET "X: a\x1f\r\n\r\n", HEADER_VALUE),
	BAD(GET "X: a\x7f\r\n\r\n", HEADER_VALUE),
	BAD(GET "X: a\rb\r\n\r\n", HEADER_VALUE),
	BAD(GET "X: a\r\r\n\r\n", HEADER_VALUE),
	BAD(GET "X: a\n\r\n", BARE_LF),
	BAD(GET "\n", BARE_LF),
	BAD("GET / HTTP/1.1\nHost: a\n\n", BARE_LF),
	BAD("GET / HTTP/1.1\r\nHost: a\n\n", BARE_LF),
	/* host */
	BAD("GET / HTTP/1.1\r\n\r\n", HOST_MISSING),
	BAD(GET "Host: a\r\n\r\n", HOST_REPEATED),
	BAD(GET "HOST: b\r\n\r\n", HOST_REPEATED),
	BAD("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", HOST_REPEATED),
	BAD("GET / HTTP/1.1\r\nHost:\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: a?\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: a#\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: a:0\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: a:+1\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: []\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: a%zz\r\n\r\n", HOST),
	BAD("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", HOST),
	/* framing */
	OK(POST "Content-Length: 5\r\n\r\n",
		"POST POST / 11 authority[a] host[a] path[/] length:5 keep {Host=a} {Content-Length=5}"),
	OK(POST "Content-Length: 0\r\n\r\n",
		"POST POST / 11 authority[a] host[a] path[/] none keep {Host=a} {Content-Length=0}"),
	OK(POST "Transfer-Encoding: Chunked\r\n\r\n",
		"POST POST / 11 authority[a] host[a] path[/] chunked keep {Host=a} "
		"{Transfer-Encoding=Chunked}"),
	BAD(POST "Content-Length: +5\r\n\r\n", LENGTH),
	BAD(POST "Content-Length: -5\r\n\r\n", LENGTH),
	BAD(POST "Content-Length: 0x5\r\n\r\n", LENGTH),
	BAD(POST "Content-Length: 5 5\r\n\r\n", LENGTH),
	BAD(POST "Content-Length: 5, 5\r\n\r\n", LENGTH),
	BAD(POST "Content-Length: 5;\r\n\r\n", LENGTH),
	BAD(POST "Content-Length:\r\n\r\n", LENGTH),
	BAD(POST "Content-Length: 18446744073709551616\r\n\r\n", LENGTH),
	BAD(POST "Content-Length: 1000000000000000000\r\n\r\n", LENGTH),
	BAD(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", LENGTH_REPEATED),
	BAD(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", LENGTH_REPEATED),
	/* smuggling: CL.TE, TE.CL, TE.TE */
	BAD(POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
		LENGTH_AND_CODING),
	BAD(POST "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n", LENGTH_AND_CODING),
	BAD(POST "Transfer-Encoding: x\r\nContent-Length: 6\r\n\r\n", LENGTH_AND_CODING),
	BAD(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", CODING),
	BAD(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", CODING),
	BAD(POST "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n", CODING),
	BAD(POST "Transfer-Encoding: chunked, identity\r\n\r\n", CODING),
	BAD(POST "Transfer-Encoding: identity, chunked\r\n\r\n", CODING_UNKNOWN),
	BAD(POST "Transfer-Encoding: chunked, chunked\r\n\r\n", CODING),
	BAD(POST "Transfer-Encoding: ,chunked\r\n\r\n", CODING_UNKNOWN),
	BAD(POST "Transfer-Encoding: identity\r\n\r\n", CODING_UNKNOWN),
	BAD(POST "Transfer-Encoding: gzip\r\n\r\n", CODING_UNKNOWN),
	BAD(POST "Transfer-Encoding: xchunked\r\n\r\n", CODING_UNKNOWN),
	BAD(POST "Transfer-Encoding: chunkedx\r\n\r\n", CODING_UNKNOWN),
	BAD(POST "Transfer-Encoding: \"chunked\"\r\n\r\n", CODING),
	BAD(POST "Transfer-Encoding: chunked;q=1\r\n\r\n", CODING),
	BAD(POST "Transfer-Encoding:\r\n\r\n", CODING),
	BAD(POST "Transfer-Encoding:\x0b"
		 "chunked\r\n\r\n",
		HEADER_VALUE),
	BAD(POST "Transfer-Encoding: \0chunked\r\n\r\n", HEADER_VALUE),
	BAD(POST "Transfer-Encoding : chunked\r\n\r\n", HEADER_NAME),
	BAD(POST "Transfer-Encoding\r\n : chunked\r\n\r\n", HEADER_NAME),
	BAD(POST "X: y\r\n Transfer-Encoding: chunked\r\n\r\n", FOLDED),
	BAD(POST "X: y\nTransfer-Encoding: chunked\r\n\r\n", BARE_LF),
	BAD(POST "X: y\rTransfer-Encoding: chunked\r\n\r\n", HEADER_VALUE),
	BAD("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", CODING_IN_1_0),
	BAD("POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
		CODING_IN_1_0),
	/* connection, upgrade, expect */
	BAD(GET "Connection: a b\r\n\r\n", CONNECTION),
	BAD(GET "Connection: @\r\n\r\n", CONNECTION),
	OK_GET("Upgrade: websocket\r\nConnection: Upgrade\r\n", "keep upgrade[websocket]",
		" {Upgrade=websocket} {Connection=Upgrade}"),
	OK_GET("Upgrade: websocket\r\n", "keep", " {Upgrade=websocket}"),
	/* what is not ours to let by */
	OK_GET("Upgrade: h2c\r\nConnection: upgrade\r\n", "keep",
		" {Upgrade=h2c} {Connection=upgrade}"),
	OK_GET("Upgrade: websocket, H2C\r\nConnection: upgrade\r\n", "keep",
		" {Upgrade=websocket, H2C} {Connection=upgrade}"),
	OK_GET("Upgrade: HTTP/2.0\r\nConnection: upgrade\r\n", "keep",
		" {Upgrade=HTTP/2.0} {Connection=upgrade}"),
	OK_GET("Upgrade: TLS/1.0\r\nConnection: upgrade\r\n", "keep",
		" {Upgrade=TLS/1.0} {Connection=upgrade}"),
	OK_GET("Upgrade: h2see\r\nConnection: upgrade\r\n", "keep upgrade[h2see]",
		" {Upgrade=h2see} {Connection=upgrade}"),
	OK_GET("Connection: upgrade\r\n", "keep", " {Connection=upgrade}"),
	OK_GET("Upgrade: a\r\nUpgrade: b\r\nConnection: upgrade\r\n", "keep",
		" {Upgrade=a} {Upgrade=b} {Connection=upgrade}"),
	OK_GET("Upgrade: a@b\r\nConnection: upgrade\r\n", "keep",
		" {Upgrade=a@b} {Connection=upgrade}"),
	OK("GET / HTTP/1.0\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n",
		"GET GET / 10 path[/] none close {Upgrade=a} {Connection=upgrade}"),
	OK(POST "Content-Length: 1\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n",
		"POST POST / 11 authority[a] host[a] path[/] length:1 keep {Host=a} "
		"{Content-Length=1} {Upgrade=a} {Connection=upgrade}"),
	OK_GET("TE: gzip, trailers\r\n", "keep trailers", " {TE=gzip, trailers}"),
	OK(POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n",
		"POST POST / 11 authority[a] host[a] path[/] length:1 keep expect {Host=a} "
		"{Expect=100-Continue} {Content-Length=1}"),
	OK_GET("Expect: 100-continue\r\n", "keep", ""),
	OK("POST / HTTP/1.0\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n",
		"POST POST / 10 path[/] length:1 close {Content-Length=1}"),
	BAD(GET "Expect: tea\r\n\r\n", EXPECT),
	BAD(GET "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n", REPEATED),
};

#define RESPONSE(text, description, ...)                                                           \
	{                                                                                          \
		IN(text), H1_ERROR_NONE, description,                                              \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define BAD_RESPONSE(text, id, ...)                                                                \
	{                                                                                          \
		IN(text), H1_ERROR_##id, NULL,                                                     \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

static const struct row responses[] = {
	RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"200 11 reason[OK] length:3 keep {Content-Length=3}"),
	RESPONSE(
		"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 11 none keep {Content-Length=0}"),
	RESPONSE("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
		"200 11 none keep {Content-Length=0}"),
	RESPONSE("HTTP/1.1 404 N\x80 f\r\nTransfer-Encoding: chunked\r\n\r\n",
		"404 11 reason[N\x80 f] chunked keep {Transfer-Encoding=chunked}"),
	RESPONSE("HTTP/1.1 200 OK\r\n\r\n", "200 11 reason[OK] until-close close"),
	RESPONSE("HTTP/1.0 200 OK\r\n\r\n", "200 10 reason[OK] until-close close"),
	RESPONSE("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n",
		"200 10 reason[OK] length:1 close {Content-Length=1}"),
	RESPONSE("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n",
		"200 10 reason[OK] length:1 keep {Connection=keep-alive} {Content-Length=1}"),
	RESPONSE("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n",
		"200 11 reason[OK] length:1 close {Connection=close} {Content-Length=1}"),
	RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
		"200 11 reason[OK] none keep {Content-Length=3}", .head_request = true),
	RESPONSE("HTTP/1.1 200 OK\r\n\r\n", "200 11 reason[OK] none keep", .head_request = true),
	RESPONSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"200 11 reason[OK] none keep {Transfer-Encoding=chunked}", .head_request = true),
	RESPONSE("HTTP/1.1 304 NM\r\nContent-Length: 3\r\n\r\n",
		"304 11 reason[NM] none keep {Content-Length=3}"),
	RESPONSE("HTTP/1.1 204 NC\r\n\r\n", "204 11 reason[NC] none keep"),
	RESPONSE("HTTP/1.1 204 NC\r\nContent-Length: 0\r\n\r\n", "204 11 reason[NC] none keep"),
	RESPONSE("HTTP/1.1 100 C\r\n\r\n", "100 11 reason[C] none keep"),
	RESPONSE("HTTP/1.1 103 E\r\nLink: x\r\n\r\n", "103 11 reason[E] none keep {Link=x}"),
	RESPONSE("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		"101 11 reason[S] none keep upgrade[websocket] {Connection=upgrade} "
		"{Upgrade=websocket}",
		.upgrade_asked = true),
	BAD_RESPONSE("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		UPGRADE_UNASKED),
	BAD_RESPONSE("HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n", UPGRADE_UNASKED,
		.upgrade_asked = true),
	BAD_RESPONSE("HTTP/1.1 101 S\r\n\r\n", UPGRADE_UNASKED, .upgrade_asked = true),
	BAD_RESPONSE("HTTP/1.1 100 C\r\nContent-Length: 3\r\n\r\n", FRAMING_FORBIDDEN),
	BAD_RESPONSE("HTTP/1.1 204 NC\r\nContent-Length: 3\r\n\r\n", FRAMING_FORBIDDEN),
	BAD_RESPONSE("HTTP/1.1 204 NC\r\nTransfer-Encoding: chunked\r\n\r\n", FRAMING_FORBIDDEN),
	BAD_RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		LENGTH_AND_CODING),
	BAD_RESPONSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
		LENGTH_AND_CODING),
	BAD_RESPONSE("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
		LENGTH_REPEATED),
	BAD_RESPONSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", CODING_UNKNOWN),
	BAD_RESPONSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
		     "chunked\r\n\r\n",
		CODING),
	BAD_RESPONSE("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", CODING_IN_1_0),
	BAD_RESPONSE("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", FOLDED),
	BAD_RESPONSE("HTTP/1.1 200 OK\r\nX : a\r\n\r\n", HEADER_NAME),
	BAD_RESPONSE("HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n", HEADER_VALUE),
	BAD_RESPONSE("HTTP/1.1 200 OK\nX: a\n\n", BARE_LF),
	BAD_RESPONSE("HTTP/2.0 200 OK\r\n\r\n", VERSION),
	BAD_RESPONSE("HTTP/0.9 200 OK\r\n\r\n", VERSION),
	BAD_RESPONSE("HTTP/1.1 099 x\r\n\r\n", STATUS),
	BAD_RESPONSE("HTTP/1.1 600 x\r\n\r\n", STATUS),
	BAD_RESPONSE("HTTP/1.1 20 x\r\n\r\n", STATUS),
	BAD_RESPONSE("HTTP/1.1 2000 x\r\n\r\n", STATUS),
	BAD_RESPONSE("HTTP/1.1 200x\r\n\r\n", STATUS),
	BAD_RESPONSE("HTTP/1.1 200 O\x01K\r\n\r\n", STATUS),
	BAD_RESPONSE("HTTP/1.1  200 OK\r\n\r\n", STATUS),
	BAD_RESPONSE("RTSP/1.0 200 OK\r\n\r\n", START_LINE),
	BAD_RESPONSE("HTTP/1.1\r\n\r\n", START_LINE),
	BAD_RESPONSE("\r\nHTTP/1.1 200 OK\r\n\r\n", START_LINE),
	BAD_RESPONSE("<html>", START_LINE),
};

static struct judge judge;

/* Feeds bytes[0..n) for each n of `step` more from `first`, then all: what the last call says. */
static void feed(struct slice bytes, size_t first, size_t step, struct judgement *ret)
{
	struct h1_head head = {0};
	size_t n = first < bytes.len ? first : bytes.len;

	for (;;) {
		char *copy = malloc(n ? n : 1);

		memcpy(copy, bytes.ptr, n);
		judge_once(&judge, &head, copy, n, ret);
		free(copy);
		if (ret->result != -EAGAIN || n == bytes.len)
			return;
		n = step == 0 || step > bytes.len - n ? bytes.len : n + step;
	}
}

static void row_check(const struct row *row, size_t first, size_t step)
{
	struct judgement seen;

	judge.expected = row->expected;
	feed(row->bytes, first, step, &seen);
	if (row->error != seen.error)
		fail_msg("%.*s: first %zu step %zu: %s instead of %s", (int)row->bytes.len,
			row->bytes.ptr, first, step, h1_error_row(seen.error)->name,
			h1_error_row(row->error)->name);
	if (row->error) {
		assert_int_equal(seen.result, -EBADMSG);
		return;
	}
	assert_string_equal(seen.description.text, row->description);
	const char *end = memmem(row->bytes.ptr + 4, row->bytes.len - 4, "\r\n\r\n", 4);

	if (row->bytes.ptr[0] != '\r')
		assert_ptr_equal(row->bytes.ptr + seen.result, end + 4);
}

static void rows_check(const struct row *rows, size_t n, bool is_response)
{
	judge.limits = H1_LIMITS_DEFAULT;
	judge.is_response = is_response;
	for (size_t i = 0; i < n; i++) {
		row_check(&rows[i], rows[i].bytes.len, 0);
		row_check(&rows[i], 0, 1);
		for (size_t cut = 0; cut < rows[i].bytes.len; cut++)
			row_check(&rows[i], cut, 0);
	}
}

static void test_requests(void **state)
{
	rows_check(requests, array_len(requests), false);
}

static void test_responses(void **state)
{
	rows_check(responses, array_len(responses), true);
}

static void test_incomplete_head_waits(void **state)
{
	static const struct slice head = SLICE("\r\n\r\n" GET "X: y\r\n\r\n");
	struct judgement seen;

	judge.limits = H1_LIMITS_DEFAULT;
	judge.is_response = false;
	for (size_t n = 0; n < head.len; n++) {
		feed((struct slice){head.ptr, n}, 0, 1, &seen);
		assert_int_equal(seen.result, -EAGAIN);
		assert_int_equal(seen.error, H1_ERROR_NONE);
	}
}

/* `text` with the limits, whole and byte by byte. */
static void limit_check(const char *text, struct h1_limits limits, enum h1_error error)
{
	struct row row = {slice_of(text), error, NULL, {0}};
	struct judgement seen;

	judge.limits = limits;
	judge.is_response = false;
	if (error) {
		row_check(&row, row.bytes.len, 0);
		row_check(&row, 0, 1);
		return;
	}
	feed(row.bytes, row.bytes.len, 0, &seen);
	assert_int_equal(seen.result, row.bytes.len);
	feed(row.bytes, 0, 1, &seen);
	assert_int_equal(seen.result, row.bytes.len);
}

static void test_limits_are_exact(void **state)
{
	/* an end of line could not come in time any more */
	limit_check(
		"GET /1234 HTTP/1.1\r", (struct h1_limits){37, 19, 9, 2}, H1_ERROR_TARGET_TOO_LONG);
	/* 20 bytes, 9 bytes, 6 bytes, 2 bytes */
	const char *text = "GET /1234 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";

	limit_check(text, (struct h1_limits){37, 20, 9, 2}, H1_ERROR_NONE);
	limit_check(text, (struct h1_limits){36, 20, 9, 2}, H1_ERROR_HEAD_TOO_LARGE);
	limit_check(text, (struct h1_limits){37, 19, 9, 2}, H1_ERROR_TARGET_TOO_LONG);
	limit_check(text, (struct h1_limits){15, 20, 9, 2}, H1_ERROR_TARGET_TOO_LONG);
	limit_check(text, (struct h1_limits){37, 20, 8, 2}, H1_ERROR_LINE_TOO_LONG);
	limit_check(text, (struct h1_limits){37, 20, 9, 1}, H1_ERROR_TOO_MANY_HEADERS);
	limit_check(text, (struct h1_limits){28, 20, 9, 2}, H1_ERROR_HEAD_TOO_LARGE);
}

static void test_more_headers_than_lent(void **state)
{
	struct http_header one[1];
	struct http_request request;
	enum h1_error error;
	struct h1_head head = {0};
	struct slice text = SLICE(GET "X: y\r\n\r\n");

	http_headers_lend(&request.headers, one, 1);
	assert_int_equal(
		h1_head_request(&head, &H1_LIMITS_DEFAULT, text.ptr, text.len, &request, &error),
		-EBADMSG);
	assert_int_equal(error, H1_ERROR_TOO_MANY_HEADERS);
}

static void test_unending_start_line_is_refused_early(void **state)
{
	char *text = malloc(20000);
	struct judgement seen;

	memset(text, 'A', 20000);
	judge.limits = H1_LIMITS_DEFAULT;
	judge.is_response = false;
	feed((struct slice){text, 20000}, 0, 1000, &seen);
	assert_int_equal(seen.error, H1_ERROR_TARGET_TOO_LONG);
	assert_int_equal(h1_error_row(seen.error)->status, 414);
	free(text);
}

static void test_bad_start_line_is_refused_before_the_head_ends(void **state)
{
	struct judgement seen;

	judge.limits = H1_LIMITS_DEFAULT;
	judge.is_response = false;
	feed(SLICE("GET / HTTP/3.0\r\n"), 0, 1, &seen);
	assert_int_equal(seen.error, H1_ERROR_VERSION);
	feed(SLICE("BREW / HTTP/1.1\r\n"), 100, 0, &seen);
	assert_int_equal(seen.error, H1_ERROR_METHOD_UNKNOWN);
}

static void test_pipelined_heads(void **state)
{
	struct slice text = SLICE(GET "\r\nHEAD /2 HTTP/1.1\r\nHost: b\r\n\r\n");
	struct h1_head head = {0};
	struct judgement seen;

	judge.limits = H1_LIMITS_DEFAULT;
	judge.is_response = false;
	judge_once(&judge, &head, text.ptr, text.len, &seen);
	assert_true(seen.result > 0);
	judge_once(&judge, &head, text.ptr + seen.result, text.len - (size_t)seen.result, &seen);
	assert_string_equal(seen.description.text,
		"HEAD HEAD /2 11 authority[b] host[b] path[/2] none keep {Host=b}");
}

static void test_connection_words_are_bounded(void **state)
{
	char text[512] = GET "Connection: ";

	for (int i = 0; i < 33; i++)
		strcat(text, "a,");
	strcat(text, "\r\n\r\n");
	limit_check(text, H1_LIMITS_DEFAULT, H1_ERROR_CONNECTION);
}

static void test_every_error_has_a_row(void **state)
{
	for (int i = 1; i < H1_ERRORS; i++) {
		const struct h1_error_row *row = h1_error_row((enum h1_error)i);

		assert_non_null(row->name);
		assert_true(row->status >= 400 && row->status < 600);
		assert_true(http_status_reason(row->status).len > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_incomplete_head_waits),
		cmocka_unit_test(test_limits_are_exact),
		cmocka_unit_test(test_more_headers_than_lent),
		cmocka_unit_test(test_unending_start_line_is_refused_early),
		cmocka_unit_test(test_bad_start_line_is_refused_before_the_head_ends),
		cmocka_unit_test(test_pipelined_heads),
		cmocka_unit_test(test_connection_words_are_bounded),
		cmocka_unit_test(test_every_error_has_a_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
