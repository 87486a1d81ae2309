/*
 * Keys in tokens: a certificate whose token did not sign is served to nobody, and its token is asked
 * again every few seconds until it does. Control thread; asking is a job of the loader thread.
 */
#ifndef SLUICE_CONTROL_TOKEN_UPKEEP_H
#define SLUICE_CONTROL_TOKEN_UPKEEP_H

struct build;
struct loader;
struct loop;
struct token_upkeep;

struct token_upkeep *token_upkeep_new(struct loop *loop, struct loader *loader);
/* A generation is in force. */
void token_upkeep_look(struct token_upkeep *upkeep, const struct build *build);
/* No new job begins. */
void token_upkeep_stop(struct token_upkeep *upkeep);
/* After the loader thread's end. */
void token_upkeep_free(struct token_upkeep *upkeep);

#endif
