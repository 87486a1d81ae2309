/* Small numbers lent out, the lowest free one first: rows of the packet plane's maps. Any thread. */
#ifndef SLUICE_CONTROL_IDS_H
#define SLUICE_CONTROL_IDS_H

#include "core/attr.h"
#include <stdbool.h>
#include <stdint.h>

struct ids;

struct ids *ids_new(uint32_t n);
void ids_free(struct ids *ids);
/* 0, or -ENOSPC: all are lent. */
int ids_get(struct ids *ids, uint32_t *ret_id) must_check;
/* That one; false: it is lent, or there is none of that number. */
bool ids_take(struct ids *ids, uint32_t id) must_check;
void ids_put(struct ids *ids, uint32_t id);
/* Some are not lent, at this moment. */
bool ids_have_room(struct ids *ids);

#endif
