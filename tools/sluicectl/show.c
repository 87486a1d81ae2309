/* The views, once or again and again. */
#include "answer.h"
#include "show.h"

#include "core/clock.h"
#include "core/mem.h"
#include "request_target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { VIEW_TIMEOUT_S = 10 };

/* Of standard output; zero if it is not a terminal. */
static struct winsize terminal_size(void)
{
	struct winsize size = {0};

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		return (struct winsize){0};
	return size;
}

bool show_is_terminal(void)
{
	return terminal_size().ws_row > 0;
}

/* Above an answer that is shown again and again, and the last row, where the cursor is. */
enum { TITLE_ROWS = 2, CURSOR_ROWS = 1 };

struct render_look look_now(const struct invocation *invocation)
{
	uint32_t rows = invocation->watch_s > 0 ? terminal_size().ws_row : 0;
	bool wide = invocation->output == OUTPUT_WIDE;

	return (struct render_look){
		.width = wide ? 0 : terminal_size().ws_col,
		.rows = rows > TITLE_ROWS + CURSOR_ROWS ? rows - TITLE_ROWS - CURSOR_ROWS : rows,
		.all = invocation->all,
		.wide = wide,
		.now_unix_s = clock_unix_s(),
	};
}

int show_ask(const struct invocation *invocation, const char *target, struct answer *ret_answer,
	struct err *err)
{
	struct client_request request = {
		.where = &invocation->where,
		.method = "GET",
		.target = target,
		.timeout_s = VIEW_TIMEOUT_S,
	};

	return client_ask(&request, ret_answer, err);
}

static int ask(const struct shown *shown, struct answer *ret_answer, struct err *err)
{
	if (shown->ask)
		return shown->ask(shown->invocation, ret_answer, err);
	return show_ask(shown->invocation, shown->target, ret_answer, err);
}

static int show_once(const struct shown *shown)
{
	struct render_look look = look_now(shown->invocation);
	struct answer answer;
	struct err err;
	int code;

	if (ask(shown, &answer, &err)) {
		fprintf(stderr, "sluicectl: %s\n", err.text);
		return EXIT_UNREACHABLE;
	}
	code = answer_print(&answer, shown->invocation, shown->render, &look, stdout);
	client_answer_free(&answer);
	return code;
}

/* Bytes of a line of UTF-8 that fit. */
static size_t fitting(const char *line, size_t len, uint32_t columns)
{
	size_t i = 0;

	for (; i < len; i++)
		if (((unsigned char)line[i] & 0xc0) != 0x80 && columns-- == 0)
			break;
	return i;
}

/* Overwrites the screen line by line, which does not flicker; what is below it, or beside it, is not shown. */
static void redraw(const char *text, struct winsize size)
{
	fputs("\033[H", stdout);
	for (uint32_t row = 1; *text && row < size.ws_row; row++) {
		size_t len = strcspn(text, "\n");

		printf("%.*s\033[K\n", (int)fitting(text, len, size.ws_col ?: UINT32_MAX), text);
		text += len + (text[len] == '\n');
	}
	fputs("\033[J", stdout);
}

static void put_block(const struct invocation *invocation, const char *text)
{
	struct winsize size = terminal_size();
	time_t now = time(NULL);
	char clock[32] = "", *whole;
	struct tm local;

	if (localtime_r(&now, &local))
		strftime(clock, sizeof(clock), "%H:%M:%S", &local);
	if (size.ws_row > 0) {
		whole = mem_printf("sluicectl %s, every %gs, %s (Ctrl-C ends)\n\n%s",
			invocation->command->name, invocation->watch_s, clock, text);
		redraw(whole, size);
		free(whole);
	} else if (is_table(invocation->output)) {
		printf("%s\n%s\n", clock, text);
	} else if (invocation->output == OUTPUT_YAML) {
		printf("---\n%s", text);
	} else {
		fputs(text, stdout);
	}
}

/* What is kept between two looks. */
struct watching {
	struct answer previous; /* no document: there is none */
	uint64_t previous_mono_ms;
};

/* The text of one look. A daemon that is away for a moment (a restart) is what one may be watching
 * for: its absence is shown, and the next look tries again. */
static char *look_once(const struct shown *shown, struct watching *watching)
{
	struct render_look look = look_now(shown->invocation);
	uint64_t now_ms = clock_mono_ms();
	struct answer answer;
	struct err err;
	char *text = NULL;
	size_t len;
	FILE *out;

	if (ask(shown, &answer, &err))
		return mem_printf("%s\n", err.text);
	out = open_memstream(&text, &len);
	if (!out) {
		client_answer_free(&answer);
		return mem_printf("out of memory\n");
	}
	if (watching->previous.doc) {
		look.previous = yyjson_doc_get_root(watching->previous.doc);
		look.elapsed_s = (double)(now_ms - watching->previous_mono_ms) / 1000;
	}
	answer_print(&answer, shown->invocation, shown->render, &look, out);
	fclose(out);
	client_answer_free(&watching->previous);
	watching->previous = answer;
	watching->previous_mono_ms = now_ms;
	return text;
}

static void pause_for(double seconds)
{
	struct timespec rest = {.tv_sec = (time_t)seconds};

	rest.tv_nsec = (long)((seconds - (double)rest.tv_sec) * 1e9);
	while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
		;
}

/* Until a signal ends it, or nobody reads what it prints. */
static int show_repeatedly(const struct shown *shown)
{
	struct watching watching = {0};
	struct answer answer;
	struct err err;

	if (ask(shown, &answer, &err)) {
		fprintf(stderr, "sluicectl: %s\n", err.text);
		return EXIT_UNREACHABLE;
	}
	client_answer_free(&answer);
	if (terminal_size().ws_row > 0)
		fputs("\033[2J", stdout);
	do {
		char *text = look_once(shown, &watching);

		put_block(shown->invocation, text);
		free(text);
		if (fflush(stdout) == EOF)
			break;
		pause_for(shown->invocation->watch_s);
	} while (true);
	client_answer_free(&watching.previous);
	return EXIT_OK;
}

int show(const struct shown *shown)
{
	return shown->invocation->watch_s > 0 ? show_repeatedly(shown) : show_once(shown);
}

int run_view(const struct invocation *invocation)
{
	struct shown shown = {invocation, invocation->command->path, invocation->command->render};

	return show(&shown);
}

int run_certs_view(const struct invocation *invocation)
{
	struct shown shown = {invocation, "/v1/certificates?limit=256", render_certs};

	return show(&shown);
}

/* All of them, or with "show NAME" one in full. */
static int show_or_one(const struct invocation *invocation, const char *path,
	render_function *render_all, render_function *render_one)
{
	struct shown shown = {.invocation = invocation, .render = render_all};
	char *target = target_new(path);
	int code;

	if (invocation->n_arguments > 0) {
		if (strcmp(invocation->arguments[0], "show") != 0 || invocation->n_arguments != 2) {
			free(target);
			return usage("either nothing follows, or", "show NAME");
		}
		target = target_add(target, "name", invocation->arguments[1]);
		shown.render = render_one;
	}
	shown.target = target;
	code = show(&shown);
	free(target);
	return code;
}

int run_policies(const struct invocation *invocation)
{
	return show_or_one(invocation, "/v1/policies", render_policies, render_policy);
}

int run_trust_view(const struct invocation *invocation)
{
	return show_or_one(invocation, "/v1/trust", render_trust, render_trust_store);
}

int run_connections(const struct invocation *invocation)
{
	const char *const filters[][2] = {{"listener", invocation->listener},
		{"client", invocation->client}, {"state", invocation->state},
		{"limit", invocation->limit}};
	struct shown shown = {.invocation = invocation, .render = render_connections};
	char *target = target_new("/v1/connections");
	int code;

	for (size_t i = 0; i < array_len(filters); i++)
		if (filters[i][1])
			target = target_add(target, filters[i][0], filters[i][1]);
	shown.target = target;
	code = show(&shown);
	free(target);
	return code;
}
