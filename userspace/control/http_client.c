/*
 * HTTP requests of the daemon, by libcurl: see http_client.h. libcurl's sockets are level triggered,
 * our loop is not: they are in an epoll of their own, which the loop watches as one descriptor.
 */
#include "control/http_client.h"

#include "core/list.h"
#include "core/loop.h"
#include "core/mem.h"
#include "core/version.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	EVENTS_AT_ONCE = 16,
	REDIRECTIONS_MAX = 3,
	CONNECTIONS_KEPT = 4,
	PLACE_BYTES = 200,
};

struct http_client {
	struct loop *loop;
	CURLM *multi;
	struct watch sockets; /* an epoll */
	struct timer timer;
	struct list calls;
	struct task free_task;
};

struct http_client_call {
	struct list link;
	struct http_client *client;
	CURL *easy;
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE];
	uint8_t *body;
	size_t body_len;
	bool wants_status_only;
	void (*done)(void *arg, const struct http_client_answer *answer);
	void *arg;
};

/* --- calls */
static void call_free(struct http_client_call *call)
{
	list_del(&call->link);
	curl_multi_remove_handle(call->client->multi, call->easy);
	curl_easy_cleanup(call->easy);
	curl_slist_free_all(call->headers);
	free(call->body);
	free(call);
}

static void finish(struct http_client_call *call, CURLcode result)
{
	struct http_client_answer answer = {.error = ""};
	long status = 0;

	if (result == CURLE_WRITE_ERROR && call->wants_status_only)
		result = CURLE_OK; /* by take_body(): the head was there */
	if (result == CURLE_OK)
		curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	answer.status = (int)status;
	if (result == CURLE_WRITE_ERROR)
		answer.error = "the answer is too long";
	else if (result == CURLE_COULDNT_CONNECT || result == CURLE_OPERATION_TIMEDOUT)
		answer.error = curl_easy_strerror(result); /* the other has times in it */
	else if (result != CURLE_OK)
		answer.error = *call->error ? call->error : curl_easy_strerror(result);
	answer.body = call->body;
	answer.body_len = call->body_len;
	call->done(call->arg, &answer);
	call_free(call);
}

/* `done` may start and cancel calls: each message is fetched anew. */
static void finish_calls(struct http_client *client)
{
	struct http_client_call *call;
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left))) {
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		finish(call, message->data.result);
	}
}

static size_t take_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct http_client_call *call = arg;
	size_t len = size * n;

	if (call->body_len + len > HTTP_CLIENT_ANSWER_BYTES_MAX)
		return CURL_WRITEFUNC_ERROR;
	call->body = mem_realloc(call->body, call->body_len + len + 1);
	memcpy(call->body + call->body_len, bytes, len);
	call->body_len += len;
	return len;
}

/* --- libcurl in the loop */
static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct http_client *client = arg;
	struct epoll_event event = {.data.fd = fd};

	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (what == CURL_POLL_REMOVE)
		epoll_ctl(client->sockets.fd, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(client->sockets.fd, EPOLL_CTL_MOD, fd, &event) < 0 && errno == ENOENT &&
		 epoll_ctl(client->sockets.fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -1;
	return 0;
}

static int timer_wanted(CURLM *multi, long after_ms, void *arg)
{
	struct http_client *client = arg;

	if (after_ms < 0)
		timer_clear(&client->timer);
	else
		timer_set(client->loop, &client->timer, after_ms ? (uint32_t)after_ms : 1);
	return 0;
}

static void act(struct http_client *client, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(client->multi, fd, what, &running);
}

static void sockets_ready(struct watch *watch, uint32_t unused)
{
	struct http_client *client = container_of(watch, struct http_client, sockets);
	struct epoll_event events[EVENTS_AT_ONCE];
	int i, what, n = epoll_wait(watch->fd, events, EVENTS_AT_ONCE, 0);

	for (i = 0; i < n; i++) {
		what = events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		act(client, events[i].data.fd, what);
	}
	finish_calls(client);
}

static void time_is_up(struct timer *timer)
{
	struct http_client *client = container_of(timer, struct http_client, timer);

	act(client, CURL_SOCKET_TIMEOUT, 0);
	finish_calls(client);
}

/* --- life */
static bool set_up_multi(struct http_client *client)
{
	client->multi = curl_multi_init();
	return client->multi &&
	       !curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted) &&
	       !curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client) &&
	       !curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, timer_wanted) &&
	       !curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client) &&
	       !curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
}

int http_client_new(struct loop *loop, struct http_client **ret_client, struct err *err)
{
	struct http_client *client = mem_zalloc(sizeof(*client));
	int r = 0;

	list_init(&client->calls);
	client->loop = loop;
	client->timer.fire = time_is_up;
	client->sockets =
		(struct watch){.fd = epoll_create1(EPOLL_CLOEXEC), .ready = sockets_ready};
	if (client->sockets.fd < 0) {
		r = err_set(err, -errno, "cannot ask other servers: %s", strerror(errno));
		free(client);
		return r;
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) || !set_up_multi(client))
		r = err_set(err, -ENOMEM, "cannot ask other servers: libcurl cannot be set up");
	else
		r = loop_add_level(loop, &client->sockets);
	if (r == 0) {
		*ret_client = client;
		return 0;
	}
	curl_multi_cleanup(client->multi);
	close(client->sockets.fd);
	free(client);
	return r;
}

static void free_client(struct task *task)
{
	free(container_of(task, struct http_client, free_task));
}

void http_client_free(struct http_client *client)
{
	struct list *link, *after;

	if (!client)
		return;
	list_for_each_safe(link, after, &client->calls)
		call_free(container_of(link, struct http_client_call, link));
	curl_multi_cleanup(client->multi);
	timer_clear(&client->timer);
	loop_close(client->loop, &client->sockets);
	client->free_task.run = free_client;
	loop_defer(client->loop, &client->free_task);
}

/* --- requests */
static CURLcode set_limits(CURL *easy)
{
	CURLcode r = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");

	r = r ?: curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	r = r ?: curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
	r = r ?: curl_easy_setopt(easy, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL);
	r = r ?: curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)REDIRECTIONS_MAX);
	r = r ?: curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)HTTP_CLIENT_TIMEOUT_MS);
	r = r ?: curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	/* The end of a call does not wait for the thread that resolves its name. */
	r = r ?: curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	return r ?: curl_easy_setopt(easy, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
}

static CURLcode set_request(
	struct http_client_call *call, const struct http_client_request *request)
{
	CURL *easy = call->easy;
	CURLcode r = curl_easy_setopt(easy, CURLOPT_URL, request->url);

	r = r ?: curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)request->body_len);
	r = r ?: curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body);
	r = r ?: curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
	r = r ?: curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	r = r ?: curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
	r = r ?: curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
	r = r ?: curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
	if (request->ca_path)
		r = r ?: curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca_path);
	return r;
}

/* Without "Expect: 100-continue", which small servers do not answer. */
static struct curl_slist *headers_of(const struct http_client_request *request)
{
	char *line = mem_printf("Content-Type: %s", request->content_type);
	struct curl_slist *list = curl_slist_append(NULL, line);

	free(line);
	return curl_slist_append(list, "Expect:");
}

void http_client_place(const char *url, char *ret_place, size_t size)
{
	const char *scheme = strstr(url, "://"), *host, *end, *at;

	host = scheme ? scheme + 3 : url;
	end = host + strcspn(host, "/?#");
	at = memrchr(host, '@', (size_t)(end - host));
	snprintf(ret_place, size, "%.*s%.*s", (int)(host - url), url,
		(int)(end - (at ? at + 1 : host)), at ? at + 1 : host);
}

int http_client_start(struct http_client *client, const struct http_client_request *request,
	struct http_client_call **ret_call, struct err *err)
{
	struct http_client_call *call = mem_zalloc(sizeof(*call));
	CURLMcode added = CURLM_OUT_OF_MEMORY;
	CURLcode r = CURLE_OUT_OF_MEMORY;
	char place[PLACE_BYTES];

	call->client = client;
	call->done = request->done;
	call->arg = request->arg;
	call->wants_status_only = request->wants_status_only;
	call->headers = headers_of(request);
	list_add_tail(&client->calls, &call->link);
	call->easy = curl_easy_init();
	if (call->easy && call->headers)
		r = set_limits(call->easy) ?: set_request(call, request);
	if (!r)
		added = curl_multi_add_handle(client->multi, call->easy);
	if (!r && !added) {
		*ret_call = call;
		return 0;
	}
	http_client_place(request->url, place, sizeof(place));
	err_set(err, -EINVAL, "%s cannot be asked: %s", place,
		r ? curl_easy_strerror(r) : curl_multi_strerror(added));
	call_free(call);
	return -EINVAL;
}

void http_client_cancel(struct http_client_call *call)
{
	call_free(call);
}
