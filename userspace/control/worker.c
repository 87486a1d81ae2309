/* Worker threads: see worker.h. Functions that are not in the header run on the worker. */
#define LOG_MODULE "worker"
#include "control/worker.h"
#include "control/build.h"
#include "core/clock.h"
#include "core/confine.h"
#include "core/crash.h"
#include "core/log.h"
#include "proxy/conn.h"
#include "proxy/conn_terms.h"
#include "proxy/frontend.h"
#include "proxy/upstream.h"
#include "tls/certcache.h"
#include "tls/stream.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEARTBEAT_MS = 50 };

struct acceptor_link {
	struct list link;
	struct task free_task;
	struct acceptor acceptor;
	bool keep;
};

static struct acceptor_link *acceptor_find(
	struct worker *worker, const struct listener_socket *sock, int fd)
{
	struct acceptor_link *item;
	struct list *link;

	list_for_each(link, &worker->acceptors) {
		item = container_of(link, struct acceptor_link, link);
		if (item->acceptor.socket == sock && item->acceptor.watch.fd == fd)
			return item;
	}
	return NULL;
}

static struct acceptor_link *acceptor_add(
	struct worker *worker, struct listener_socket *sock, int fd)
{
	struct acceptor_link *item = calloc(1, sizeof(*item));

	if (!item)
		goto fail;
	item->acceptor = (struct acceptor){
		.watch.fd = fd,
		.worker = &worker->proxy,
		.socket = sock,
	};
	if (acceptor_start(&item->acceptor) < 0)
		goto fail;
	shared_get(&sock->shared);
	list_add_tail(&worker->acceptors, &item->link);
	return item;
fail:
	free(item);
	log_error("worker %u cannot accept on a listener: %s", worker->proxy.io.worker,
		strerror(errno));
	return NULL;
}

static void acceptor_free(struct task *task)
{
	free(container_of(task, struct acceptor_link, free_task));
}

static void acceptor_drop(struct worker *worker, struct acceptor_link *item)
{
	acceptor_stop(&item->acceptor);
	list_del(&item->link);
	shared_put(&item->acceptor.socket->shared);
	item->free_task.run = acceptor_free;
	loop_defer(worker->proxy.io.loop, &item->free_task);
}

static void accept_on(
	struct worker *worker, struct listener *listener, struct listener_socket *sock, int fd)
{
	struct acceptor_link *item = acceptor_find(worker, sock, fd);

	if (!item)
		item = acceptor_add(worker, sock, fd);
	if (!item)
		return;
	item->acceptor.listener = listener;
	item->keep = true;
}

/* True: on other terms than before. */
static bool accept_for(struct worker *worker, struct listener *listener)
{
	bool has_other_terms =
		listener_set_current(listener, worker->proxy.io.worker, worker->proxy.generation);
	struct listener_socket *sock;
	uint32_t i, at;

	for (i = 0; i < listener->spec.n_sockets; i++) {
		sock = listener->spec.sockets[i];
		for (at = worker->proxy.io.worker; at < sock->n_fds; at += listener->spec.n_workers)
			accept_on(worker, listener, sock, sock->fds[at]);
	}
	return has_other_terms;
}

static void show_gate_its_listeners(struct worker *worker, const struct build *build)
{
	if (worker->gate)
		gate_set_listeners(worker->gate, build ? build->gate_listeners : NULL,
			build ? build->n_gate_listeners : 0);
}

/* Before any event of the turn: the snapshot of the turn before may be gone already. */
static void take_snapshot(struct worker *worker)
{
	const struct build *build = snapshot_read(worker->root);
	uint64_t generation = build ? build->generation : 0;
	struct list *link, *after;
	struct acceptor_link *item;
	bool has_other_terms = false;
	uint32_t i;

	/* Not by address: the one before last may have been freed and its place used again. */
	if (generation == worker->proxy.generation)
		return;
	worker->proxy.generation = generation;
	list_for_each(link, &worker->acceptors)
		container_of(link, struct acceptor_link, link)->keep = false;
	for (i = 0; build && i < build->n_listeners; i++)
		has_other_terms |= accept_for(worker, build->listeners[i]);
	list_for_each_safe(link, after, &worker->acceptors) {
		item = container_of(link, struct acceptor_link, link);
		if (item->keep)
			continue;
		if (!build) /* the end: the last build lives on until the workers have ended */
			frontend_accept_last(&item->acceptor);
		acceptor_drop(worker, item);
	}
	show_gate_its_listeners(worker, build);
	if (has_other_terms)
		conn_terms_look(&worker->proxy);
	upstream_sweep(&worker->proxy);
}

static void unpark(struct worker *worker)
{
	const struct gate_share *share = worker->share;
	uint32_t i, n = 0;

	for (i = 0; worker->gate && i < share->n_parked; i++)
		n += gate_unpark(worker->gate, share->places, &share->parked[i]);
	if (n)
		log_info("worker %u goes on with %u incomplete first flights",
			worker->proxy.io.worker, n);
}

/* The control thread has dealt the AF_XDP sockets anew. */
static void take_share(struct worker *worker)
{
	const struct gate_share *wanted =
		atomic_load_explicit(&worker->share_wanted, memory_order_acquire);
	struct gate_spec spec = {.io = &worker->proxy.io, .worker = &worker->gate_worker};
	struct err err;

	if (wanted == worker->share)
		return;
	if (wanted && wanted->parks && worker->gate)
		gate_park(worker->gate, worker->share->places, &worker->parked);
	gate_free(worker->gate);
	worker->gate = NULL;
	worker->share = wanted;
	if (wanted && wanted->n_xsks) {
		spec.xsks = wanted->xsks;
		spec.n_xsks = wanted->n_xsks;
		spec.tun_fd = wanted->tun_fd;
		if (gate_new(&spec, &worker->gate, &err) < 0)
			log_error("worker %u has no gate: %s", worker->proxy.io.worker, err.text);
		show_gate_its_listeners(worker, snapshot_read(worker->root));
		unpark(worker);
	}
	atomic_store_explicit(&worker->share_seen, wanted, memory_order_release);
}

static void before_wait(void *arg)
{
	struct worker *worker = arg;

	atomic_fetch_add_explicit(
		&worker->busy_us, clock_mono_us() - worker->turn_began_us, memory_order_relaxed);
	snapshot_reader_offline();
}

static void after_wait(void *arg)
{
	struct worker *worker = arg;
	uint64_t now_ns = dp_heartbeat_now_ns();

	snapshot_reader_online();
	worker->turn_began_us = loop_now_us(worker->proxy.io.loop);
	dp_heartbeat_stamp(&worker->heartbeat, now_ns);
	atomic_store_explicit(&worker->stamp_ns, now_ns, memory_order_relaxed);
	take_snapshot(worker);
	gate_worker_turn(&worker->gate_worker, loop_now_us(worker->proxy.io.loop));
}

static void drop_acceptors(struct worker *worker)
{
	while (!list_is_empty(&worker->acceptors))
		acceptor_drop(
			worker, container_of(worker->acceptors.next, struct acceptor_link, link));
}

/* Sockets and heartbeat are another process's, which has those who wait, too. */
static void hand_over(struct worker *worker)
{
	worker->heartbeat.row = NULL;
	drop_acceptors(worker);
	atomic_store_explicit(&worker->has_handed_over, true, memory_order_release);
}

static void obey(struct worker *worker)
{
	uint32_t sweeps = atomic_load_explicit(&worker->sweeps, memory_order_acquire);
	/* First: who is told to stop has been told before whether to hand over. */
	bool stops = atomic_load_explicit(&worker->stop, memory_order_acquire);

	if (sweeps != worker->sweeps_seen) {
		worker->sweeps_seen = sweeps;
		upstream_sweep(&worker->proxy);
		certcache_sweep(tls_thread_certs(worker->proxy.tls));
	}
	if (atomic_load_explicit(&worker->hand_over, memory_order_relaxed))
		hand_over(worker);
	worker->proxy.leaving = atomic_load_explicit(&worker->leave, memory_order_relaxed);
	if (atomic_load_explicit(&worker->drain, memory_order_relaxed) && !worker->proxy.draining)
		conn_drain_all(&worker->proxy);
	if (stops) {
		dp_heartbeat_stop(&worker->heartbeat);
		conn_close_all(&worker->proxy, CLOSE_shutdown);
		loop_stop(worker->proxy.io.loop);
	}
}

static void turn_end(void *arg)
{
	struct worker *worker = arg;

	take_share(worker); /* not earlier: events of this turn may be the old gate's */
	overload_turn(&worker->proxy);
	connections_serve(&worker->connections, &worker->proxy);
	obey(worker);
}

static void *thread_main(void *arg)
{
	struct worker *worker = arg;
	char name[16];

	snprintf(name, sizeof(name), "sluice-w%u", worker->proxy.io.worker);
	crash_thread_init();
	pthread_setname_np(pthread_self(), name);
	confine_thread(CONFINE_WORKER);
	snapshot_reader_register();
	loop_run(worker->proxy.io.loop);
	gate_free(worker->gate);
	worker->gate = NULL;
	drop_acceptors(worker);
	snapshot_reader_unregister();
	sem_post(&worker->ended);
	return NULL;
}

int worker_init(struct worker *worker, uint32_t index, const struct snapshot_root *root,
	struct proxy_node *node, struct gate_node *gate_node)
{
	int r;

	memset(worker, 0, sizeof(*worker));
	list_init(&worker->acceptors);
	sem_init(&worker->ended, 0, 0);
	worker->root = root;
	worker->cpu = -1;
	r = proxy_worker_init(&worker->proxy, node, index);
	if (r < 0)
		return r;
	r = gate_worker_init(&worker->gate_worker, gate_node);
	if (r < 0) {
		proxy_worker_fini(&worker->proxy);
		worker->proxy.io.loop = NULL; /* nothing to take down */
		return r;
	}
	worker->proxy.gate = &worker->gate_worker;
	loop_hooks_set(worker->proxy.io.loop, &(struct loop_hooks){
						      .before_wait = before_wait,
						      .after_wait = after_wait,
						      .turn_end = turn_end,
						      .arg = worker,
						      .max_wait_ms = HEARTBEAT_MS,
					      });
	worker->turn_began_us = clock_mono_us();
	return 0;
}

int worker_start(struct worker *worker, int cpu)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int r;

	pthread_attr_init(&attr);
	if (cpu >= 0) {
		CPU_ZERO(&set);
		CPU_SET((unsigned int)cpu, &set);
		if (pthread_attr_setaffinity_np(&attr, sizeof(set), &set) == 0)
			worker->cpu = cpu;
	}
	r = -pthread_create(&worker->thread, &attr, thread_main, worker);
	pthread_attr_destroy(&attr);
	worker->started = r == 0;
	return r;
}

void worker_wake(struct worker *worker)
{
	loop_wake(worker->proxy.io.loop);
}

uint64_t worker_turn_age_ms(const struct worker *worker)
{
	uint64_t stamp_ns = atomic_load_explicit(&worker->stamp_ns, memory_order_relaxed);
	uint64_t now_ns = dp_heartbeat_now_ns();

	return stamp_ns && now_ns > stamp_ns ? (now_ns - stamp_ns) / 1000000 : 0;
}

void worker_tell_leave(struct worker *worker)
{
	atomic_store(&worker->leave, true);
	worker_wake(worker);
}

void worker_tell_drain(struct worker *worker)
{
	atomic_store(&worker->drain, true);
	worker_wake(worker);
}

void worker_tell_hand_over(struct worker *worker)
{
	atomic_store(&worker->hand_over, true);
	worker_wake(worker);
}

void worker_tell_stop(struct worker *worker)
{
	atomic_store(&worker->stop, true);
	worker_wake(worker);
}

void worker_tell_sweep(struct worker *worker)
{
	atomic_fetch_add(&worker->sweeps, 1);
	worker_wake(worker);
}

bool worker_join(struct worker *worker, uint64_t until_ms)
{
	struct timespec at = {
		.tv_sec = (time_t)(until_ms / 1000),
		.tv_nsec = (long)(until_ms % 1000) * 1000000,
	};
	int r;

	if (!worker->started)
		return true;
	do
		r = sem_clockwait(&worker->ended, CLOCK_MONOTONIC, &at);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return false;
	pthread_join(worker->thread, NULL);
	worker->started = false;
	return true;
}

void worker_fini(struct worker *worker)
{
	gate_worker_fini(&worker->gate_worker);
	free(worker->parked.bytes);
	proxy_worker_fini(&worker->proxy);
}
