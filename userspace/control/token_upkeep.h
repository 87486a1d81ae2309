/*
 * Keys in tokens: a certificate whose token did not sign is served to nobody, and its token is asked
 * again, after a while that grows, until it does. Control thread; the thread for tokens asks.
 */
#ifndef SLUICE_CONTROL_TOKEN_UPKEEP_H
#define SLUICE_CONTROL_TOKEN_UPKEEP_H

#include <stdbool.h>
#include <stdint.h>

struct build;
struct token_upkeep;

struct token_upkeep *token_upkeep_new(void);
/* A generation is in force. */
void token_upkeep_look(struct token_upkeep *upkeep, const struct build *build);
/* Every second or so. True: a key was opened anew since the last time, or may have been. */
bool token_upkeep_tick(struct token_upkeep *upkeep, uint64_t now_ms);
void token_upkeep_free(struct token_upkeep *upkeep);

#endif
