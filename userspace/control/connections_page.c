/* Pages of connections: see connections_page.h. */
#include "control/connections_page.h"
#include "control/watch_line.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

static void push(_Atomic(struct connections_page *) *pages, struct connections_page *page)
{
	page->next = atomic_load_explicit(pages, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(
		pages, &page->next, page, memory_order_release, memory_order_relaxed))
		;
}

void connections_inbox_put(struct connections_inbox *inbox, struct connections_page *page)
{
	push(&inbox->pages, page);
}

struct connections_page *connections_outbox_take(struct connections_outbox *outbox)
{
	uint64_t count;

	/* Before the pages: one that is put after this look raises the event again. */
	(void)eventfd_read(outbox->fd, &count);
	return atomic_exchange_explicit(&outbox->pages, NULL, memory_order_acquire);
}

/* --- on the worker */

static void give_back(struct connections_page *page, bool is_last)
{
	struct connections_outbox *outbox = page->outbox;

	page->is_last = is_last;
	if (is_last)
		conn_walk_end(&page->walk);
	push(&outbox->pages, page);
	/* The counter cannot be full: there are few pages. */
	(void)eventfd_write(outbox->fd, 1);
}

static bool is_wanted(const struct connections_filter *filter, const struct conn *conn)
{
	if (filter->has_after && conn->id <= filter->after_id)
		return false;
	if (filter->states && !(filter->states & (1u << conn->state)))
		return false;
	if (filter->listener[0] && strcmp(filter->listener, conn->listener->spec.name) != 0)
		return false;
	return !filter->has_client || watch_prefix_holds(&filter->client, &conn->client);
}

#define copy_text(to, from) snprintf(to, sizeof(to), "%s", (from) ? (from) : "")

static void copy_tls(const struct tls_stream_facts *facts, struct connections_tls *ret_tls)
{
	*ret_tls = (struct connections_tls){.is_there = true, .resumed = facts->resumed};
	copy_text(ret_tls->version, facts->version);
	copy_text(ret_tls->cipher, facts->cipher);
	copy_text(ret_tls->group, facts->group);
	copy_text(ret_tls->alpn, facts->alpn);
	for (int direction = 0; direction < TLS_DIRECTIONS; direction++)
		ret_tls->places[direction] = (uint8_t)facts->places[direction];
	ret_tls->key_updates = facts->key_updates;
}

static void copy_row(const struct conn *conn, struct connections_row *ret_row)
{
	struct conn_facts facts;

	conn_facts(conn, &facts);
	ret_row->id = conn->id;
	ret_row->age_ms = facts.age_ms;
	ret_row->idle_ms = facts.idle_ms;
	ret_row->bytes_in = facts.bytes_in;
	ret_row->bytes_out = facts.bytes_out;
	ret_row->requests = conn->requests;
	ret_row->state = (uint8_t)conn->state;
	ret_row->client = conn->client;
	ret_row->local = conn->local;
	copy_text(ret_row->listener, conn->listener->spec.name);
	copy_text(ret_row->ja4, conn->ja4);
	copy_text(ret_row->sni, facts.has_tls ? facts.tls.sni : "");
	ret_row->tls.is_there = ret_row->target_tls.is_there = false;
	if (facts.has_tls)
		copy_tls(&facts.tls, &ret_row->tls);
	if (facts.has_target_tls)
		copy_tls(&facts.target_tls, &ret_row->target_tls);
	copy_text(ret_row->target_group, facts.target ? facts.target->group_name : "");
	copy_text(ret_row->target, facts.target ? facts.target->name : "");
}

/* A turn's share. */
static void look_on(struct connections_page *page)
{
	struct conn *conn;
	int looks;

	for (looks = 0; looks < CONNECTIONS_LOOKS_PER_TURN; looks++) {
		if (page->n_rows == page->max_rows) {
			give_back(page, false);
			return;
		}
		conn = conn_walk_next(&page->walk);
		if (!conn) {
			give_back(page, true);
			return;
		}
		if (is_wanted(&page->filter, conn))
			copy_row(conn, &page->rows[page->n_rows++]);
	}
	loop_post(page->worker->io.loop, &page->task);
}

static void look_again(struct task *task)
{
	look_on(container_of(task, struct connections_page, task));
}

static void begin(struct connections_page *page, struct proxy_worker *worker)
{
	page->n_rows = 0;
	page->worker = worker;
	page->task.run = look_again;
	if (page->is_cancelled) {
		give_back(page, true);
		return;
	}
	if (!list_is_linked(&page->walk.link))
		conn_walk_begin(&page->walk, worker);
	look_on(page);
}

void connections_serve(struct connections_inbox *inbox, struct proxy_worker *worker)
{
	struct connections_page *page, *next;

	if (!atomic_load_explicit(&inbox->pages, memory_order_relaxed))
		return;
	page = atomic_exchange_explicit(&inbox->pages, NULL, memory_order_acquire);
	for (; page; page = next) {
		next = page->next;
		begin(page, worker);
	}
}
