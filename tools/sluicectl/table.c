/* The tables of commands.def. */
#include "sluicectl.h"

#include <string.h>

const struct command commands[] = {
#define VIEW(name, path, renderer, help)         {#name, path, renderer, run_view, "", help},
#define COMMAND(name, function, arguments, help) {#name, NULL, NULL, function, arguments, help},
#include "commands.def"
	{0},
};

const struct option_row option_rows[] = {
#define OPTION(key, name, argument, words, help) {key, name, argument, words, help},
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
