/* The tables of commands.def. */
#include "sluicectl.h"

#include <string.h>

const struct command commands[] = {
#define VIEW(name, path, renderer, help) {#name, path, renderer, run_view, 0, "", "", help},
#define COMMAND(name, function, max, arguments, words, help)                                       \
	{#name, NULL, NULL, function, max, arguments, words, help},
#include "commands.def"
	{0},
};

const struct option_row option_rows[] = {
#define OPTION(key, name, argument, words, commands, help)                                         \
	{key, name, argument, words, commands, help},
#include "commands.def"
	{0},
};

const struct command *command_find(const char *name)
{
	for (const struct command *command = commands; command->name; command++) {
		if (strcmp(command->name, name) == 0)
			return command;
	}
	return NULL;
}

const struct command *command_like(const char *word)
{
	size_t len = strlen(word);

	for (const struct command *command = commands; len > 2 && command->name; command++) {
		if (strncmp(command->name, word, len) == 0 ||
			strncmp(command->name, word, strlen(command->name)) == 0)
			return command;
	}
	return NULL;
}

static bool is_among(const char *name, const char *words)
{
	size_t len;

	for (; *words; words += len + (words[len] == ' ')) {
		len = strcspn(words, " ");
		if (strlen(name) == len && strncmp(name, words, len) == 0)
			return true;
	}
	return false;
}

bool option_is_for(const struct option_row *row, const struct command *command)
{
	return !row->commands || is_among(command->name, row->commands) ||
	       (command->path && is_among("VIEWS", row->commands));
}
