/* The thread for tokens: see token_thread.h. It is made for the first task, and never ends. */
#include "tls/token_thread.h"

#include "core/clock.h"
#include "core/confine.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>

/* All under `lock`. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_task = PTHREAD_COND_INITIALIZER, has_result;
static struct list tasks;
static bool is_started, is_stopped;
static uint64_t inside_since_us; /* 0: it waits for tasks */

/* The last one ends it, without the lock. */
static bool locked_put(struct token_task *task)
{
	return --task->refs == 0;
}

static void *thread_main(void *arg)
{
	struct token_task *task;
	bool is_last;

	pthread_setname_np(pthread_self(), "sluice-token");
	confine_thread(CONFINE_TOKEN);
	pthread_mutex_lock(&lock);
	for (;;) {
		while (is_stopped || list_is_empty(&tasks))
			pthread_cond_wait(&has_task, &lock);
		task = container_of(tasks.next, struct token_task, link);
		list_del(&task->link);
		inside_since_us = clock_mono_us();
		pthread_mutex_unlock(&lock);
		task->run(task);
		pthread_mutex_lock(&lock);
		inside_since_us = 0;
		if (task->tell && !is_stopped)
			task->tell(task);
		task->is_done = true;
		is_last = locked_put(task);
		pthread_cond_broadcast(&has_result);
		if (!is_last)
			continue;
		pthread_mutex_unlock(&lock);
		task->end(task);
		pthread_mutex_lock(&lock);
	}
	return NULL;
}

/* Signals are the control thread's. */
static int start_thread(void)
{
	sigset_t all, before;
	pthread_t thread;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&thread, NULL, thread_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		pthread_detach(thread);
	return r;
}

static int locked_start(void)
{
	pthread_condattr_t attr;
	int r;

	if (is_started)
		return 0;
	list_init(&tasks);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&has_result, &attr);
	pthread_condattr_destroy(&attr);
	r = start_thread();
	is_started = r == 0;
	return r;
}

/* What somebody waits for comes first. */
static int locked_add(struct token_task *task, bool is_waited_for)
{
	int r = is_stopped ? -ECANCELED : locked_start();

	if (r < 0)
		return r;
	task->refs = is_waited_for ? 2 : 1;
	task->is_done = false;
	if (is_waited_for)
		list_add_head(&tasks, &task->link);
	else
		list_add_tail(&tasks, &task->link);
	pthread_cond_signal(&has_task);
	return 0;
}

int token_thread_begin(struct token_task *task)
{
	int r;

	pthread_mutex_lock(&lock);
	r = locked_add(task, false);
	pthread_mutex_unlock(&lock);
	return r;
}

/* What the thread does now has had its time. */
static bool is_held_up(void)
{
	return inside_since_us &&
	       clock_mono_us() - inside_since_us > UINT64_C(1000) * TOKEN_ANSWER_MS;
}

static struct timespec deadline(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += TOKEN_ANSWER_MS / 1000;
	at.tv_nsec += TOKEN_ANSWER_MS % 1000 * 1000000L;
	at.tv_sec += at.tv_nsec / 1000000000;
	at.tv_nsec %= 1000000000;
	return at;
}

static int locked_wait(struct token_task *task)
{
	struct timespec at = deadline();
	int r = 0;

	while (!task->is_done && !is_stopped && !r)
		r = is_held_up() ? ETIMEDOUT : pthread_cond_timedwait(&has_result, &lock, &at);
	return task->is_done ? 0 : is_stopped ? -ECANCELED : -r;
}

/* Nobody waits for it: one that has not begun never does. True: the last count went. */
static bool locked_forget(struct token_task *task)
{
	if (list_is_linked(&task->link)) {
		list_del(&task->link);
		task->refs--;
	}
	return locked_put(task);
}

int token_thread_do(struct token_task *task)
{
	bool is_last = true;
	int r;

	pthread_mutex_lock(&lock);
	r = locked_add(task, true);
	if (r == 0) {
		r = locked_wait(task);
		is_last = r < 0 && locked_forget(task);
	}
	pthread_mutex_unlock(&lock);
	if (is_last)
		task->end(task);
	return r;
}

void token_thread_end(struct token_task *task)
{
	bool is_last;

	pthread_mutex_lock(&lock);
	is_last = locked_put(task);
	pthread_mutex_unlock(&lock);
	if (is_last)
		task->end(task);
}

void token_thread_stop(void)
{
	pthread_mutex_lock(&lock);
	is_stopped = true;
	if (is_started)
		pthread_cond_broadcast(&has_result);
	pthread_mutex_unlock(&lock);
}

bool token_thread_is_inside(void)
{
	bool is_inside;

	pthread_mutex_lock(&lock);
	is_inside = inside_since_us != 0;
	pthread_mutex_unlock(&lock);
	return is_inside;
}
