/* The loader thread, and the one that writes logs: see loader.h. */
#define LOG_MODULE "log"
#include "control/loader.h"
#include "core/confine.h"
#include "core/crash.h"
#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

/* Jobs crossing from one thread to another: a list under a mutex, and a descriptor to wake by. */
struct channel {
	pthread_mutex_t lock;
	struct list jobs;
	struct loop *receiver;
	struct watch watch; /* eventfd, in the receiver's loop */
};

struct loader {
	struct loop *loop;
	struct channel todo, finished;
	struct watch log_watch;
	uint64_t log_dropped; /* told so far */
	const char *name;
	enum confine_role role;
	pthread_t thread;
	sem_t ended; /* posted as its last: it can be waited for, for so long */
};

static int channel_init(
	struct channel *channel, struct loop *receiver, void (*ready)(struct watch *, uint32_t))
{
	pthread_mutex_init(&channel->lock, NULL);
	list_init(&channel->jobs);
	channel->receiver = receiver;
	channel->watch.ready = ready;
	channel->watch.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (channel->watch.fd < 0)
		return -errno;
	return loop_add_level(receiver, &channel->watch);
}

static void channel_fini(struct channel *channel)
{
	if (channel->watch.fd >= 0)
		loop_close(channel->receiver, &channel->watch);
	pthread_mutex_destroy(&channel->lock);
}

static void channel_put(struct channel *channel, struct job *job)
{
	pthread_mutex_lock(&channel->lock);
	list_add_tail(&channel->jobs, &job->link);
	pthread_mutex_unlock(&channel->lock);
	eventfd_write(channel->watch.fd, 1);
}

static struct job *channel_take(struct channel *channel)
{
	struct job *job = NULL;

	pthread_mutex_lock(&channel->lock);
	if (!list_is_empty(&channel->jobs)) {
		job = container_of(channel->jobs.next, struct job, link);
		list_del(&job->link);
	}
	pthread_mutex_unlock(&channel->lock);
	return job;
}

static void clear_wake(struct watch *watch)
{
	eventfd_t count;

	eventfd_read(watch->fd, &count);
}

static void run_jobs(struct watch *watch, uint32_t events)
{
	struct loader *loader = container_of(watch, struct loader, todo.watch);
	struct job *job;

	clear_wake(watch);
	while ((job = channel_take(&loader->todo))) {
		job->run(job);
		channel_put(&loader->finished, job);
	}
}

static void finish_jobs(struct watch *watch, uint32_t events)
{
	struct loader *loader = container_of(watch, struct loader, finished.watch);
	struct job *job;

	clear_wake(watch);
	while ((job = channel_take(&loader->finished)))
		if (job->done)
			job->done(job);
}

static void drain_log(struct watch *watch, uint32_t events)
{
	struct loader *loader = container_of(watch, struct loader, log_watch);
	uint64_t dropped;

	log_drain();
	dropped = log_dropped();
	if (dropped == loader->log_dropped)
		return;
	log_warn("%llu lines were lost: they came faster than they could be written",
		(unsigned long long)(dropped - loader->log_dropped));
	loader->log_dropped = dropped;
}

static void *thread_main(void *arg)
{
	struct loader *loader = arg;

	pthread_setname_np(pthread_self(), loader->name);
	crash_thread_init();
	confine_thread(loader->role);
	loop_run(loader->loop);
	run_jobs(&loader->todo.watch, 0); /* what came last: here, where it may hang */
	sem_post(&loader->ended);
	return NULL;
}

int loader_new(struct loop *control, const char *name, bool writes_log, struct loader **ret_loader)
{
	struct loader *loader = mem_zalloc(sizeof(*loader));
	int r;

	loader->name = name;
	loader->role = writes_log ? CONFINE_LOG : CONFINE_LOADER;
	sem_init(&loader->ended, 0, 0);
	loader->todo.watch.fd = loader->finished.watch.fd = -1;
	r = loop_new(&loader->loop);
	if (r < 0)
		goto fail;
	r = channel_init(&loader->todo, loader->loop, run_jobs);
	if (r == 0)
		r = channel_init(&loader->finished, control, finish_jobs);
	if (r == 0 && writes_log && log_event_fd() >= 0) {
		loader->log_watch = (struct watch){.fd = log_event_fd(), .ready = drain_log};
		r = loop_add_level(loader->loop, &loader->log_watch);
	}
	if (r == 0)
		r = -pthread_create(&loader->thread, NULL, thread_main, loader);
	if (r < 0)
		goto fail;
	*ret_loader = loader;
	return 0;
fail:
	channel_fini(&loader->todo);
	channel_fini(&loader->finished);
	loop_free(loader->loop);
	free(loader);
	return r;
}

static void finish_and_free(struct loader *loader)
{
	finish_jobs(&loader->finished.watch, 0);
	channel_fini(&loader->todo);
	channel_fini(&loader->finished);
	loop_free(loader->loop);
	free(loader);
}

void loader_free(struct loader *loader)
{
	if (!loader)
		return;
	loop_stop(loader->loop);
	pthread_join(loader->thread, NULL);
	finish_and_free(loader);
}

bool loader_free_within(struct loader *loader, uint32_t ms)
{
	struct timespec end;
	int r;

	if (!loader)
		return true;
	loop_stop(loader->loop);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += ms / 1000;
	end.tv_nsec += (long)(ms % 1000) * 1000 * 1000;
	if (end.tv_nsec >= 1000 * 1000 * 1000) {
		end.tv_nsec -= 1000 * 1000 * 1000;
		end.tv_sec++;
	}
	do
		r = sem_clockwait(&loader->ended, CLOCK_MONOTONIC, &end);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return false;
	pthread_join(loader->thread, NULL);
	finish_and_free(loader);
	return true;
}

void loader_submit(struct loader *loader, struct job *job)
{
	channel_put(&loader->todo, job);
}
