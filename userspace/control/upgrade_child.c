/* The program that is to take over: see upgrade_child.h. */
#define LOG_MODULE "upgrade"
#include "control/upgrade_child.h"

#include "control/upgrade_program.h"
#include "core/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

static void log_lines(char *text)
{
	char *save, *line;

	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		log_info("the new one says: %s", line);
}

/* The last lines are kept for the answer. */
static void keep_output(struct upgrade_child *child, const char *bytes, size_t len)
{
	size_t room = sizeof(child->text) - 1, drop;

	if (len > room) {
		bytes += len - room;
		len = room;
	}
	drop = child->len + len > room ? child->len + len - room : 0;
	memmove(child->text, child->text + drop, child->len - drop);
	child->len -= drop;
	memcpy(child->text + child->len, bytes, len);
	child->len += len;
	child->text[child->len] = '\0';
}

static void stop_watching(struct upgrade_child *child, struct watch *watch)
{
	if (watch->fd >= 0)
		loop_close(child->loop, watch);
	watch->fd = -1;
}

void upgrade_child_read(struct upgrade_child *child)
{
	char bytes[UPGRADE_CHILD_TEXT_BYTES];
	ssize_t len = -1;

	while (child->output.fd >= 0 &&
		(len = read(child->output.fd, bytes, sizeof(bytes) - 1)) > 0) {
		bytes[len] = '\0';
		keep_output(child, bytes, (size_t)len);
		log_lines(bytes);
	}
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* Its standard error is ours from now on, or closed. */
	stop_watching(child, &child->output);
}

static void output_ready(struct watch *watch, uint32_t events)
{
	upgrade_child_read(container_of(watch, struct upgrade_child, output));
}

static void end_ready(struct watch *watch, uint32_t events)
{
	struct upgrade_child *child = container_of(watch, struct upgrade_child, end);
	int status = 0;

	if (waitpid(child->pid, &status, WNOHANG) == 0)
		return;
	upgrade_child_read(child);
	stop_watching(child, &child->end);
	child->pid = 0;
	child->ended(child, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

void upgrade_child_init(struct upgrade_child *child, struct loop *loop,
	void (*ended)(struct upgrade_child *child, int status))
{
	*child = (struct upgrade_child){
		.loop = loop,
		.ended = ended,
		.end.fd = -1,
		.output.fd = -1,
	};
}

void upgrade_child_fini(struct upgrade_child *child)
{
	stop_watching(child, &child->output);
	stop_watching(child, &child->end);
}

int upgrade_child_start(struct upgrade_child *child, const char *path, struct err *err)
{
	int r;

	child->len = 0;
	child->text[0] = '\0';
	r = upgrade_program_start(path, &child->pid, &child->output.fd, err);
	if (r < 0) {
		child->pid = 0;
		child->output.fd = -1;
		return r;
	}
	child->end.ready = end_ready;
	child->end.fd = pidfd_open(child->pid, 0);
	child->output.ready = output_ready;
	if (child->end.fd < 0 || loop_add_level(child->loop, &child->end) < 0 ||
		loop_add_level(child->loop, &child->output) < 0)
		log_warn("the end of pid %d will not be seen", (int)child->pid);
	return 0;
}

bool upgrade_child_is(const struct upgrade_child *child, uint32_t pid)
{
	return child->pid && child->pid == (pid_t)pid;
}

void upgrade_child_signal(const struct upgrade_child *child, int number)
{
	kill(child->pid, number);
}
