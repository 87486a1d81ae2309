/* Sampled drops: see dp_samples.h. Control thread. */
#include "dataplane/dp_samples.h"

#include "bpf/sluice_xdp.skel.h"
#include "core/mem.h"
#include "dataplane/dp_internal.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct dp_samples {
	struct ring_buffer *ring; /* NULL: inactive */
	dp_sample_fn *each;
	void *arg;
};

static int sample_take(void *arg, void *data, size_t bytes)
{
	const struct dp_samples *samples = arg;

	if (bytes >= sizeof(struct sluice_sample))
		samples->each(samples->arg, data);
	return 0;
}

int dp_samples_open(struct dataplane *dp, dp_sample_fn *each, void *arg,
	struct dp_samples **ret_samples, struct err *err)
{
	struct dp_samples *samples = mem_zalloc(sizeof(*samples));

	samples->each = each;
	samples->arg = arg;
	if (dp->active) {
		samples->ring = ring_buffer__new(
			bpf_map__fd(dp->xdp->maps.samples), sample_take, samples, NULL);
		if (!samples->ring) {
			int code = -errno;

			free(samples);
			return err_set(err, code, "ring buffer of samples: %s", strerror(-code));
		}
	}
	*ret_samples = samples;
	return 0;
}

void dp_samples_close(struct dp_samples *samples)
{
	if (!samples)
		return;
	ring_buffer__free(samples->ring);
	free(samples);
}

int dp_samples_fd(const struct dp_samples *samples)
{
	return samples->ring ? ring_buffer__epoll_fd(samples->ring) : -1;
}

int dp_samples_read(struct dp_samples *samples)
{
	return samples->ring ? ring_buffer__consume(samples->ring) : 0;
}

void dp_samples_pace_set(struct dataplane *dp, uint32_t per_second)
{
	uint32_t every = per_second ? (uint32_t)dp_jiffies_per_s() / per_second : 0;

	if (!dp->active)
		return;
	if (per_second && !every)
		every = 1;
	__atomic_store_n(&dp->settings->sample_every_jiffies, every, __ATOMIC_RELAXED);
}
