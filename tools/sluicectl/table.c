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
