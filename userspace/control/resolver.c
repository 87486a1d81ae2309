/*
 * Looking up host names: see resolver.h. c-ares waits for servers on a thread of its own, which calls
 * answered(); look-ups are begun on the loader thread (at start on the control thread), which alone
 * touches the channel. `lock` guards what is known of names; nothing of c-ares is called with it held.
 */
#define LOG_MODULE "dns"
#include "control/resolver_names.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

enum { LATEST_MS = 24 * 60 * 60 * 1000 };

struct resolver {
	struct resolver_spec spec;
	pthread_mutex_t lock;
	pthread_cond_t settled;
	struct names names;
	uint64_t version;
	bool is_stopping;
	struct dns_terms terms; /* of the configuration in force */
	struct dns_channel *channel; /* NULL: nothing was looked up yet */
	struct dns_terms channel_terms;
	struct watch news; /* eventfd: an answer came */
	uint64_t told_version; /* control thread */
	struct timer timer;
	struct job job; /* begins what is due */
	bool is_beginning;
};

/* --- asking */

/* Any thread. */
static void answered(void *arg, const struct dns_answer *answer)
{
	struct name_half *half = arg;
	struct resolver *resolver = half->name->resolver;

	pthread_mutex_lock(&resolver->lock);
	if (answer)
		resolver->version += name_take(half, answer, clock_mono_ms(), clock_unix_s());
	half->is_asking = false; /* without an answer it is due still */
	pthread_cond_broadcast(&resolver->settled);
	eventfd_write(resolver->news.fd, 1); /* the last: then it may go */
	pthread_mutex_unlock(&resolver->lock);
}

/* What is under way on other terms is asked again. */
static int have_channel(struct resolver *resolver, const struct dns_terms *terms, struct err *err)
{
	int r;

	if (resolver->channel && dns_terms_eq(&resolver->channel_terms, terms))
		return 0;
	dns_channel_free(resolver->channel);
	dns_terms_fini(&resolver->channel_terms);
	resolver->channel = NULL;
	resolver->channel_terms = dns_terms_copy(terms);
	r = dns_channel_new(terms, &resolver->channel, err);
	if (r < 0)
		resolver->channel = NULL;
	return r;
}

/* Look-ups that begin. */
struct due {
	struct name_half **halves;
	size_t n, room;
};

static void add_due(struct due *due, struct name *name, uint64_t now_ms)
{
	int i;

	for (i = 0; i < NAME_FAMILIES; i++) {
		struct name_half *half = &name->half[i];

		if (!half->is_wanted || half->is_asking || half->due_ms > now_ms)
			continue;
		if (due->n == due->room) {
			due->room = due->room ? 2 * due->room : 64;
			due->halves = mem_realloc(due->halves, due->room * sizeof(*due->halves));
		}
		half->is_asking = true;
		due->halves[due->n++] = half;
	}
}

/* The caller's to free(). They stay as long as they are asked for. */
static struct due list_due(struct resolver *resolver)
{
	uint64_t now_ms = clock_mono_ms();
	struct list *list, *link;
	struct due due = {0};

	pthread_mutex_lock(&resolver->lock);
	for_each_name_list(list, &resolver->names) list_for_each(link, list)
	{
		struct name *name = container_of(link, struct name, link);

		if (!name->is_wanted || resolver->is_stopping)
			continue;
		name->resolver = resolver;
		add_due(&due, name, now_ms);
	}
	pthread_mutex_unlock(&resolver->lock);
	return due;
}

static void ask_due(struct resolver *resolver, const struct dns_terms *terms)
{
	static const int families[] = {[NAME_V4] = AF_INET, [NAME_V6] = AF_INET6};
	struct due due = list_due(resolver);
	struct dns_answer none = {0};
	struct err err;
	int r = due.n ? have_channel(resolver, terms, &err) : 0;
	size_t i;

	none.fault = err.text;
	for (i = 0; i < due.n; i++) {
		struct name *name = due.halves[i]->name;

		if (r < 0)
			answered(due.halves[i], &none);
		else
			dns_channel_ask(resolver->channel, name->host,
				families[due.halves[i] - name->half], answered, due.halves[i]);
	}
	free(due.halves);
}

/* --- names of a configuration; with the lock held */

static void want(struct resolver *resolver, const struct config *config)
{
	uint32_t i, at;

	for (i = 0; i < config->target_groups_count; i++) {
		const struct config_target_group *group = &config->target_groups[i];

		for (at = 0; at < group->targets_count; at++)
			if (group->targets[at].address.host)
				names_want(&resolver->names, group->targets[at].address.host,
					&group->dns);
	}
}

/* Whether a look-up of each name has come to an end. With `gives_up` they count as that from now on: they are
 * waited for once. */
static bool are_settled(struct resolver *resolver, const struct config *config, bool gives_up)
{
	struct name *name;
	uint32_t i, at;

	for (i = 0; i < config->target_groups_count; i++) {
		const struct config_target_group *group = &config->target_groups[i];

		for (at = 0; at < group->targets_count; at++) {
			if (!group->targets[at].address.host)
				continue;
			name = names_find(&resolver->names, group->targets[at].address.host,
				group->dns.family);
			if (name && gives_up)
				name_give_up(name);
			if (name && !name_is_settled(name))
				return false;
		}
	}
	return true;
}

static struct timespec end_of(uint32_t wait_ms)
{
	uint64_t end_us = clock_mono_us() + UINT64_C(1000) * wait_ms;

	return (struct timespec){(time_t)(end_us / 1000000), (long)(end_us % 1000000) * 1000};
}

void resolver_prepare(struct resolver *resolver, const struct config *config, uint32_t wait_ms)
{
	struct timespec end = end_of(wait_ms);
	struct dns_terms terms = dns_terms_of(&config->dns);
	int r = 0;

	pthread_mutex_lock(&resolver->lock);
	want(resolver, config);
	pthread_mutex_unlock(&resolver->lock);
	ask_due(resolver, &terms);
	dns_terms_fini(&terms);
	pthread_mutex_lock(&resolver->lock);
	while (!resolver->is_stopping && !are_settled(resolver, config, r != 0))
		r = pthread_cond_timedwait(&resolver->settled, &resolver->lock, &end);
	pthread_mutex_unlock(&resolver->lock);
}

/* --- the control thread */

/* Something is to be done about the name: it is asked for, or an address goes. */
static uint64_t next_ms(const struct name *name)
{
	uint64_t due_ms = name_expires_ms(name);
	int i;

	for (i = 0; name->is_wanted && i < NAME_FAMILIES; i++)
		if (name->half[i].is_wanted && !name->half[i].is_asking &&
			name->half[i].due_ms < due_ms)
			due_ms = name->half[i].due_ms;
	return due_ms;
}

static void set_timer(struct resolver *resolver)
{
	uint64_t now_ms = clock_mono_ms(), due_ms = UINT64_MAX, ms;
	struct list *list, *link;

	pthread_mutex_lock(&resolver->lock);
	for_each_name_list(list, &resolver->names) list_for_each(link, list)
	{
		ms = next_ms(container_of(link, struct name, link));
		if (ms < due_ms)
			due_ms = ms;
	}
	pthread_mutex_unlock(&resolver->lock);
	if (due_ms == UINT64_MAX || resolver->is_stopping)
		timer_clear(&resolver->timer);
	else
		timer_set(resolver->spec.loop, &resolver->timer,
			due_ms <= now_ms              ? 1
			: due_ms - now_ms > LATEST_MS ? LATEST_MS
						      : (uint32_t)(due_ms - now_ms));
}

static void begin_due(struct job *job)
{
	struct resolver *resolver = container_of(job, struct resolver, job);
	struct dns_terms terms;

	pthread_mutex_lock(&resolver->lock);
	terms = dns_terms_copy(&resolver->terms);
	pthread_mutex_unlock(&resolver->lock);
	ask_due(resolver, &terms);
	dns_terms_fini(&terms);
}

static void begun(struct job *job)
{
	struct resolver *resolver = container_of(job, struct resolver, job);

	resolver->is_beginning = false;
	set_timer(resolver);
}

static void tell(struct resolver *resolver)
{
	uint64_t version = resolver_version(resolver);

	if (version == resolver->told_version || resolver->is_stopping)
		return;
	resolver->told_version = version;
	resolver->spec.changed(resolver->spec.arg);
}

static void expire(struct resolver *resolver)
{
	uint64_t now_ms = clock_mono_ms();
	struct list *list, *link;

	pthread_mutex_lock(&resolver->lock);
	for_each_name_list(list, &resolver->names) list_for_each(link, list) resolver->version +=
		name_expire(container_of(link, struct name, link), now_ms);
	pthread_mutex_unlock(&resolver->lock);
}

static void time_is_over(struct timer *timer)
{
	struct resolver *resolver = container_of(timer, struct resolver, timer);

	expire(resolver);
	tell(resolver);
	if (resolver->is_beginning)
		return; /* begun() comes */
	resolver->is_beginning = true;
	loader_submit(resolver->spec.loader, &resolver->job);
}

static void news_came(struct watch *watch, uint32_t events)
{
	struct resolver *resolver = container_of(watch, struct resolver, news);
	eventfd_t count;

	eventfd_read(watch->fd, &count);
	if (!resolver->is_beginning)
		set_timer(resolver);
	tell(resolver);
}

void resolver_apply(struct resolver *resolver, const struct config *config)
{
	struct dns_terms terms = dns_terms_of(&config->dns);

	pthread_mutex_lock(&resolver->lock);
	names_unwant(&resolver->names);
	want(resolver, config);
	names_forget(&resolver->names);
	dns_terms_fini(&resolver->terms);
	resolver->terms = terms;
	pthread_mutex_unlock(&resolver->lock);
	if (!resolver->is_beginning)
		set_timer(resolver);
}

int resolver_new(const struct resolver_spec *spec, struct resolver **ret_resolver, struct err *err)
{
	struct resolver *resolver = mem_zalloc(sizeof(*resolver));
	pthread_condattr_t monotonic;
	int r;

	resolver->spec = *spec;
	names_init(&resolver->names);
	resolver->timer.fire = time_is_over;
	resolver->job = (struct job){.run = begin_due, .done = begun};
	pthread_mutex_init(&resolver->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&resolver->settled, &monotonic);
	pthread_condattr_destroy(&monotonic);
	resolver->news = (struct watch){eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), news_came};
	r = resolver->news.fd < 0 ? -errno : loop_add_level(spec->loop, &resolver->news);
	if (r < 0) {
		resolver_free(resolver);
		return err_set(err, r, "cannot look up names: %s", strerror(-r));
	}
	*ret_resolver = resolver;
	return 0;
}

void resolver_stop(struct resolver *resolver)
{
	if (!resolver)
		return;
	pthread_mutex_lock(&resolver->lock);
	resolver->is_stopping = true;
	pthread_cond_broadcast(&resolver->settled);
	pthread_mutex_unlock(&resolver->lock);
	timer_clear(&resolver->timer);
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	dns_channel_free(resolver->channel);
	names_fini(&resolver->names);
	dns_terms_fini(&resolver->terms);
	dns_terms_fini(&resolver->channel_terms);
	timer_clear(&resolver->timer);
	if (resolver->news.fd >= 0)
		loop_close(resolver->spec.loop, &resolver->news);
	pthread_cond_destroy(&resolver->settled);
	pthread_mutex_destroy(&resolver->lock);
	free(resolver);
}

/* --- what is known */

uint64_t resolver_version(struct resolver *resolver)
{
	uint64_t version;

	pthread_mutex_lock(&resolver->lock);
	version = resolver->version;
	pthread_mutex_unlock(&resolver->lock);
	return version;
}

uint32_t resolver_addresses(struct resolver *resolver, const char *host, enum config_family family,
	union addr *ret_addresses, uint32_t max)
{
	const struct name *name;
	uint32_t n = 0;

	pthread_mutex_lock(&resolver->lock);
	name = names_find(&resolver->names, host, family);
	if (name)
		n = name_read(name, ret_addresses, max);
	pthread_mutex_unlock(&resolver->lock);
	return n;
}

bool resolver_facts(struct resolver *resolver, const char *host, enum config_family family,
	struct resolver_facts *ret_facts)
{
	const struct name *name;

	pthread_mutex_lock(&resolver->lock);
	name = names_find(&resolver->names, host, family);
	if (name)
		name_facts(name, ret_facts);
	pthread_mutex_unlock(&resolver->lock);
	return name;
}
