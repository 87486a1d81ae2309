/* Bodies on their way through a pipe, and by copy where that is not possible. */
#include "pump_fakes.h"

#define LOG_MODULE "test"
#include "core/log.h"

/* A body of `len` bytes with `behind` more after it, between streams that splice. */
static char *begin_spliced(size_t len, size_t behind, enum http_body kind, bool chunked)
{
	char *bytes = malloc(len + behind + 1);

	fill(bytes, len + behind);
	src.splices = dst.splices = true;
	begin(bytes, len + behind, kind, len, chunked);
	pump.pipes = &pipes;
	return bytes;
}

/* All sizes around what decides: sizes of buffers, pipes, thresholds. */
static const size_t splice_sizes[] = {1, 16383, 16384, 32768, 65535, 65536, 65537, 81920, 131071,
	131072, 262144, 262145, 300000, 524288, 600000};

/* In every way of coming and going: the body whole, what is behind it not. */
static void test_splice_every_size(void **state)
{
	static const size_t steps[] = {0, 777, 9000, 16384, 70000};
	size_t i, j, k;
	char *bytes;

	for (i = 0; i < array_len(splice_sizes); i++) {
		for (j = 0; j < array_len(steps); j++) {
			for (k = 0; k < array_len(steps); k++) {
				again(state);
				bytes = begin_spliced(splice_sizes[i], 5, HTTP_BODY_LENGTH, false);
				src.per_read = steps[j];
				dst.per_write = steps[k];
				assert_int_equal(
					steps[k] ? run_with_room(steps[k]) : run(), PUMP_DONE);
				assert_int_equal(dst.got_len, splice_sizes[i]);
				assert_memory_equal(dst.got, bytes, dst.got_len);
				assert_int_equal(pump.body_bytes, splice_sizes[i]);
				/* taken beyond the body at most into `in` */
				assert_int_equal(src.at - buf_len(&in), splice_sizes[i]);
				assert_int_equal(pipes.n_lent, 0);
				free(bytes);
			}
		}
	}
}

/* The head leaves first; then hardly a call is for a buffer. */
static void test_splice_behind_the_head(void **state)
{
	enum { LEN = 600000 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_LENGTH, false);

	assert_int_equal(buf_hold(&pump.out, &bufs, BUF_SMALL), 0);
	assert_true(buf_append(&pump.out, "head", 4));
	dst.room = 2; /* the head alone must not be overtaken */
	assert_int_equal(run(), PUMP_WAITS_DST);
	dst.room = SINK_BYTES;
	dst.base.can_write = true;
	assert_int_equal(run(), PUMP_DONE);
	assert_int_equal(dst.got_len, LEN + 4);
	assert_memory_equal(dst.got, "head", 4);
	assert_memory_equal(dst.got + 4, bytes, LEN);
	assert_in_range(dst.writes, 2, 4);
	assert_in_range(dst.n_spliced, 2, 10);
	free(bytes);
}

/* From TLS to TLS only if the kernel opens the records anyway; to a plain stream always. */
static void test_splice_where_it_pays(void **state)
{
	enum { LEN = 600000, OPENS_RECORDS = 1, TO_PLAIN = 2 };
	struct stream_ops to_plain = fake_ops;
	int flags;
	char *bytes;

	to_plain.is_plain = true;
	for (flags = 0; flags < 4; flags++) {
		again(state);
		bytes = begin_spliced(LEN, 0, HTTP_BODY_LENGTH, false);
		src.opens_records = flags & OPENS_RECORDS;
		if (flags & TO_PLAIN)
			dst.base.ops = &to_plain;
		assert_int_equal(run(), PUMP_DONE);
		assert_int_equal(dst.got_len, LEN);
		assert_memory_equal(dst.got, bytes, LEN);
		assert_int_equal(dst.n_spliced > 0, flags != OPENS_RECORDS);
		free(bytes);
	}
}

static void test_splice_until_close(void **state)
{
	enum { LEN = 600000 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_UNTIL_CLOSE, false);

	src.end = 0;
	assert_int_equal(run(), PUMP_DONE);
	assert_int_equal(dst.got_len, LEN);
	assert_memory_equal(dst.got, bytes, LEN);
	assert_true(dst.n_spliced > 0);
	free(bytes);
	again(state);
	bytes = begin_spliced(LEN, 0, HTTP_BODY_UNTIL_CLOSE, false);
	src.end = 0;
	src.base.truncated = true; /* TLS without close_notify */
	assert_int_equal(run(), PUMP_SRC_ENDED);
	free(bytes);
}

/* splice() is not allowed, or not for one of the two: bulk is copied, not a byte is lost, and the
 * worker does not try again. */
static void test_splice_is_refused(void **state)
{
	static const int errors[] = {-EPERM, -EACCES, -EINVAL, -ENOSYS, -EOPNOTSUPP};
	enum { LEN = 600000 };
	size_t i;
	char *bytes;

	for (i = 0; i < 2 * array_len(errors); i++) {
		struct fake *bad = i % 2 ? &dst : &src;

		bytes = begin_spliced(LEN, 0, HTTP_BODY_LENGTH, false);
		bad->splice_error = errors[i / 2];
		dst.per_write = 10000;
		assert_int_equal(run_with_room(7000), PUMP_DONE);
		assert_int_equal(dst.got_len, LEN);
		assert_memory_equal(dst.got, bytes, LEN);
		assert_int_equal(bad->n_spliced, 1);
		assert_int_equal(pipes.refused, -errors[i / 2]);
		assert_int_equal(pipes.n_lent, 0);
		free(bytes);
		again(state);
	}
}

/* Another framing towards dst, or a stream that cannot: copied. */
static void test_what_is_not_spliced(void **state)
{
	enum { LEN = 600000 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_UNTIL_CLOSE, true);
	int i;

	src.end = 0;
	assert_int_equal(run(), PUMP_DONE);
	assert_int_equal(src.n_spliced + dst.n_spliced, 0);
	free(bytes);
	for (i = 0; i < 4; i++) {
		again(state);
		bytes = begin_spliced(LEN, 0, HTTP_BODY_LENGTH, false);
		if (i == 0)
			src.splices = false;
		else if (i == 1)
			dst.splices = false;
		else if (i == 2)
			pump.pipes = NULL;
		else
			pipes.n_lent += 1 << 20; /* too many are in use */
		assert_int_equal(run(), PUMP_DONE);
		assert_memory_equal(dst.got, bytes, LEN);
		assert_int_equal(src.n_spliced + dst.n_spliced, 0);
		pipes.n_lent -= i == 3 ? 1 << 20 : 0;
		free(bytes);
	}
}

/* Small pieces are read; when much comes again, it is spliced again. */
static void test_splice_follows_the_pieces(void **state)
{
	enum { LEN = 900000 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_LENGTH, false);
	int i;

	src.per_read = 1000;
	for (i = 0; i < 20; i++)
		assert_int_equal(pump_run(&pump, &bufs), PUMP_SHARE_USED);
	assert_int_equal(src.n_spliced, 1); /* the first, before it was known */
	src.per_read = 0;
	assert_int_equal(run(), PUMP_DONE);
	assert_true(src.n_spliced > 2);
	assert_memory_equal(dst.got, bytes, LEN);
	free(bytes);
}

/* Bytes that do not go through a pipe (urgent data before them, a record of another kind). */
static void test_splice_balks(void **state)
{
	enum { LEN = 600000 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_LENGTH, false);

	src.balks = true;
	assert_int_equal(run(), PUMP_DONE);
	assert_true(src.n_spliced > 1);
	assert_memory_equal(dst.got, bytes, LEN);
	free(bytes);
}

/* The source ends or fails short of the body: as by copy, once all of it has been handed on. */
static void test_splice_source_ends(void **state)
{
	static const struct {
		int end;
		enum pump_result result;
	} cases[] = {
		{0, PUMP_SRC_ENDED}, {-ECONNRESET, PUMP_SRC_FAILED}, {-EAGAIN, PUMP_WAITS_SRC}};
	enum { LEN = 300000 };
	char *bytes;
	size_t i;

	for (i = 0; i < array_len(cases); i++) {
		again(state);
		bytes = begin_spliced(LEN + 200000, 0, HTTP_BODY_LENGTH, false);
		src.len = LEN;
		src.end = cases[i].end;
		assert_int_equal(run(), cases[i].result);
		assert_int_equal(dst.got_len, LEN);
		assert_true(dst.n_spliced > 0);
		assert_int_equal(pipes.n_lent, 0);
		free(bytes);
	}
}

/* An unknown receiver gets no more than a medium block into the pipe; the pipe is given back as
 * soon as it is empty, or with the pump. */
static void test_splice_back_pressure(void **state)
{
	enum { LEN = 600000 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_LENGTH, false);

	dst.room = 1000;
	assert_int_equal(run(), PUMP_WAITS_DST);
	assert_int_equal(src.at, BUF_MEDIUM);
	assert_int_equal(run(), PUMP_WAITS_DST);
	assert_int_equal(src.at, BUF_MEDIUM);
	assert_int_equal(pipes.n_lent, 1);
	assert_int_equal(bufs.large.used + bufs.medium.used + bufs.small.used, 0);
	dst.room = BUF_MEDIUM - 1000;
	dst.base.can_write = true;
	assert_int_equal(run(), PUMP_WAITS_DST);
	dst.room = SINK_BYTES;
	dst.base.can_write = true;
	src.len = LEN / 2; /* the rest has not come */
	assert_int_equal(run(), PUMP_WAITS_SRC);
	assert_int_equal(pipes.n_lent, 0);
	src.len = LEN;
	src.base.can_read = true;
	dst.room = 1000;
	assert_int_equal(run(), PUMP_WAITS_DST);
	assert_int_equal(pipes.n_lent, 1);
	dst.write_error = -EPIPE;
	dst.base.can_write = true;
	assert_int_equal(run(), PUMP_DST_FAILED);
	pump_fini(&pump, &bufs);
	assert_int_equal(pipes.n_lent, 0);
	assert_int_equal(pipes.n_idle, 0); /* it had bytes of this body in it */
	free(bytes);
}

/* Not a byte beyond the limit is handed on. */
static void test_splice_limit(void **state)
{
	enum { LEN = 600000, MAX = 400001 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_UNTIL_CLOSE, false);

	pump.max_bytes = MAX;
	src.end = 0;
	assert_int_equal(run(), PUMP_OVER_LIMIT);
	assert_true(dst.got_len <= MAX);
	free(bytes);
	again(state);
	bytes = begin_spliced(LEN, 0, HTTP_BODY_UNTIL_CLOSE, false);
	pump.max_bytes = LEN;
	src.end = 0;
	assert_int_equal(run(), PUMP_DONE);
	assert_memory_equal(dst.got, bytes, LEN);
	free(bytes);
}

static void test_splice_has_a_share(void **state)
{
	enum { LEN = 900000 };
	char *bytes = begin_spliced(LEN, 0, HTTP_BODY_LENGTH, false);

	src.per_read = 10000;
	assert_int_equal(pump_run(&pump, &bufs), PUMP_SHARE_USED);
	assert_in_range(dst.got_len, 1, 160000);
	assert_int_equal(run(), PUMP_DONE);
	assert_int_equal(dst.got_len, LEN);
	free(bytes);
}

/* Everything changes all the time: sizes, room, what the streams can, whether they balk. */
static void test_splice_at_random(void **state)
{
	unsigned int seed = 4;
	enum pump_result result;
	size_t len, want;
	char *bytes;
	int i;

	for (i = 0; i < 300; i++) {
		again(state);
		len = (size_t)rand_r(&seed) % 700000;
		bytes = begin_spliced(len, 9, HTTP_BODY_LENGTH, false);
		src.len = 0;
		do {
			want = (size_t)rand_r(&seed) % 200000;
			src.len = src.len + want < len + 9 ? src.len + want : len + 9;
			src.base.can_read = true;
			dst.room = (size_t)rand_r(&seed) % 200000;
			dst.base.can_write = true;
			src.per_read = (size_t)rand_r(&seed) % 3 * 10000;
			dst.per_write = (size_t)rand_r(&seed) % 3 * 10000;
			src.splices = rand_r(&seed) % 4;
			dst.splices = rand_r(&seed) % 4;
			src.balks = rand_r(&seed) % 4 == 0;
			dst.splice_error = rand_r(&seed) % 16 ? 0 : -EPERM;
			result = run();
		} while (result == PUMP_WAITS_SRC || result == PUMP_WAITS_DST);
		assert_int_equal(result, PUMP_DONE);
		assert_int_equal(dst.got_len, len);
		assert_memory_equal(dst.got, bytes, len);
		assert_int_equal(src.at - buf_len(&in), len);
		free(bytes);
	}
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_splice_every_size),
		CASE(test_splice_behind_the_head),
		CASE(test_splice_where_it_pays),
		CASE(test_splice_until_close),
		CASE(test_what_is_not_spliced),
		CASE(test_splice_follows_the_pieces),
		CASE(test_splice_balks),
		CASE(test_splice_source_ends),
		CASE(test_splice_back_pressure),
		CASE(test_splice_is_refused),
		CASE(test_splice_limit),
		CASE(test_splice_has_a_share),
		CASE(test_splice_at_random),
	};

	log_level_set(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
