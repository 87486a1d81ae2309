/* Failed TLS with targets: see tls_refusal.h. */
#define LOG_MODULE "targets"
#include "proxy/tls_refusal.h"

#include "core/clock.h"
#include "core/counter.h"
#include "core/log.h"
#include "tls/stream.h"

enum { TELL_AGAIN_US = 60 * 1000000 };

/* With several reasons in turn each is new: then, too, one line a second. */
enum { TELL_AT_ONCE_US = 1000000 };

static bool may_tell(struct target_refusal *row, enum tls_failure failure)
{
	uint64_t now_us = clock_mono_us();
	uint64_t pause_us = row->told_failure == failure ? TELL_AGAIN_US : TELL_AT_ONCE_US;

	if (row->told_us && now_us - row->told_us < pause_us)
		return false;
	row->told_us = now_us;
	row->told_failure = (uint8_t)failure;
	return true;
}

static void tell(const struct target_group *group, const struct target *target,
	enum tls_failure failure, const char *detail)
{
	const char *name = group->spec.tls_name ? group->spec.tls_name : target->host;

	log_warn("target %s/%s (%s): TLS failed: %s: %s%s%s%s%s%s", target->group_name,
		target->name, target->text, tls_failure_name(failure), tls_failure_help(failure),
		*detail ? ": " : "", detail, name ? " (server_name " : "", name ? name : "",
		name ? ")" : "");
}

void tls_refusal_note(const struct target_group *group, struct target *target, uint32_t worker,
	const struct stream *stream)
{
	struct target_refusal *row = &target->workers[worker].refusal;
	enum tls_failure failure = tls_stream_failure(stream);
	const char *detail = tls_stream_failure_detail(stream);

	if (failure == TLS_FAILURE_none)
		return;
	__atomic_store_n(&row->failure, (uint8_t)failure, __ATOMIC_RELAXED);
	__atomic_store_n(&row->detail, detail, __ATOMIC_RELAXED);
	__atomic_store_n(&row->at_unix_s, clock_unix_s(), __ATOMIC_RELAXED);
	counter_inc(&row->count);
	if (may_tell(row, failure))
		tell(group, target, failure, detail);
}

void tls_refusals_sum(
	const struct target *target, uint32_t n_workers, struct tls_refusals *ret_refusals)
{
	const struct target_refusal *row;
	enum tls_failure failure;
	int64_t at_unix_s;
	uint32_t i;

	*ret_refusals = (struct tls_refusals){.failure = "", .help = "", .detail = ""};
	for (i = 0; i < n_workers; i++) {
		row = &target->workers[i].refusal;
		ret_refusals->count += __atomic_load_n(&row->count, __ATOMIC_RELAXED);
		at_unix_s = __atomic_load_n(&row->at_unix_s, __ATOMIC_RELAXED);
		if (at_unix_s <= ret_refusals->last_unix_s)
			continue;
		failure = __atomic_load_n(&row->failure, __ATOMIC_RELAXED);
		ret_refusals->last_unix_s = at_unix_s;
		ret_refusals->failure = tls_failure_name(failure);
		ret_refusals->help = tls_failure_help(failure);
		ret_refusals->detail = __atomic_load_n(&row->detail, __ATOMIC_RELAXED);
	}
}
