/* Circular intrusive doubly linked list. A zeroed link is in no list. One thread. */
#ifndef SLUICE_CORE_LIST_H
#define SLUICE_CORE_LIST_H

#include "core/attr.h"
#include <stdbool.h>

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *head)
{
	head->prev = head->next = head;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool list_is_linked(const struct list *link)
{
	return link->next != NULL;
}

static inline void list_add_head(struct list *head, struct list *link)
{
	link->prev = head;
	link->next = head->next;
	head->next->prev = link;
	head->next = link;
}

static inline void list_add_tail(struct list *head, struct list *link)
{
	list_add_head(head->prev, link);
}

/* Nothing happens to a link that is in no list. */
static inline void list_del(struct list *link)
{
	if (!link->next)
		return;
	link->prev->next = link->next;
	link->next->prev = link->prev;
	link->prev = link->next = NULL;
}

#define list_for_each(link, head)                                                                  \
	for ((link) = (head)->next; (link) != (head); (link) = (link)->next)

/* `link` may be deleted in the body. */
#define list_for_each_safe(link, after, head)                                                      \
	for ((link) = (head)->next, (after) = (link)->next; (link) != (head);                      \
		(link) = (after), (after) = (link)->next)

#endif
