/* Byte tunnels over real sockets, by splice and by copy: bytes, half-close, resets, time-outs. */
#include "rig.h"

static struct rig rig;
static bool copies; /* the client's stream says that it cannot splice, as TLS does at first */
static bool waits; /* it could, but cannot yet: bytes are in its way */
static int n_spliced; /* calls of the client's stream */
static int n_asked; /* to change over to splicing, which cannot be undone */
static struct stream_ops front_ops, plain_ops;

static int setup_splice(void **state)
{
	rig_init(&rig, 2);
	rig.listener_spec.protocol = LISTEN_TCP;
	rig.group_spec.n_members = 1;
	copies = waits = false;
	n_spliced = n_asked = 0;
	return 0;
}

static int setup_copy(void **state)
{
	setup_splice(state);
	copies = true;
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(rig.worker.pipes.n_lent, 0);
	rig_fini(&rig);
	return 0;
}

static bool front_may_splice(const struct stream *stream)
{
	return !copies;
}

static bool front_can_splice(struct stream *stream)
{
	n_asked++;
	return !copies && !waits;
}

static ssize_t front_splice_in(struct stream *stream, int pipe_fd, size_t max)
{
	n_spliced++;
	return plain_ops.splice_in(stream, pipe_fd, max);
}

static ssize_t front_splice_out(struct stream *stream, int pipe_fd, size_t len)
{
	n_spliced++;
	return plain_ops.splice_out(stream, pipe_fd, len);
}

/* Both ends of a tunnel that is up. */
static void tunnel_open(struct peer *client, struct peer *target)
{
	struct stream *front;

	if (!rig.listener)
		rig_serve(&rig);
	*client = rig_client(&rig);
	front = rig_conn(&rig)->front;
	plain_ops = front_ops = *front->ops;
	front_ops.is_plain = !copies;
	front_ops.may_splice_in = front_ops.may_splice_out = front_may_splice;
	front_ops.can_splice_in = front_ops.can_splice_out = front_can_splice;
	front_ops.splice_in = front_splice_in;
	front_ops.splice_out = front_splice_out;
	front->ops = &front_ops;
	*target = rig_accept(&rig, 0);
	WAIT(&rig, rig_conn(&rig)->tunnel->is_up);
}

static void end(struct peer *client, struct peer *target)
{
	peer_fini(client);
	peer_fini(target);
}

static void test_both_ways(void **state)
{
	struct peer client, target;

	tunnel_open(&client, &target);
	peer_send(&target, "220 ready\n"); /* the server speaks first */
	WAIT(&rig, peer_has(&client, "220 ready\n"));
	peer_send(&client, "hello");
	WAIT(&rig, peer_has(&target, "hello"));
	peer_send(&client, "again");
	peer_send(&target, "and back");
	WAIT(&rig, peer_has(&target, "helloagain"));
	WAIT(&rig, peer_has(&client, "and back"));
	/* an idle tunnel owns no memory */
	WAIT(&rig, rig.worker.io.bufs.large.used == 0);
	assert_int_equal(rig.worker.pipes.n_lent, 0);
	assert_int_equal(rig_conn(&rig)->front->bytes_in, 10);
	assert_int_equal(rig_conn(&rig)->front->bytes_out, 18);
	end(&client, &target);
}

static void test_client_ends_first(void **state)
{
	struct peer client, target;

	tunnel_open(&client, &target);
	peer_send(&client, "request");
	shutdown(client.fd, SHUT_WR);
	WAIT(&rig, peer_over(&target));
	assert_string_equal(target.data, "request");
	peer_send(&target, "answer"); /* the other direction lives on */
	WAIT(&rig, peer_has(&client, "answer"));
	assert_false(peer_over(&client));
	peer_close(&target);
	WAIT(&rig, peer_over(&client));
	assert_false(client.reset || target.reset);
	assert_int_equal(rig_reason(&rig, CLOSE_done), 1);
	end(&client, &target);
}

static void test_target_ends_first(void **state)
{
	struct peer client, target;

	tunnel_open(&client, &target);
	peer_send(&target, "bye");
	shutdown(target.fd, SHUT_WR);
	WAIT(&rig, peer_over(&client));
	assert_string_equal(client.data, "bye");
	peer_send(&client, "late");
	WAIT(&rig, peer_has(&target, "late"));
	assert_false(peer_over(&target));
	peer_close(&client);
	WAIT(&rig, peer_over(&target));
	assert_false(client.reset || target.reset);
	assert_int_equal(rig_reason(&rig, CLOSE_done), 1);
	end(&client, &target);
}

static void test_client_resets(void **state)
{
	struct peer client, target;

	tunnel_open(&client, &target);
	peer_abort(&client);
	WAIT(&rig, peer_over(&target));
	assert_true(target.reset);
	assert_int_equal(rig_reason(&rig, CLOSE_client_reset), 1);
	end(&client, &target);
}

static void test_target_resets(void **state)
{
	struct peer client, target;

	tunnel_open(&client, &target);
	peer_abort(&target);
	WAIT(&rig, peer_over(&client));
	assert_true(client.reset);
	assert_int_equal(rig_reason(&rig, CLOSE_target_closed), 1);
	end(&client, &target);
}

/* The target reads nothing, so that nothing is read from the client, which resets. */
static void test_client_resets_behind_a_full_target(void **state)
{
	static char bytes[1 << 20];
	struct peer client, target;
	int blocked = 0;
	ssize_t n;

	tunnel_open(&client, &target);
	while (blocked < 10) {
		n = send(client.fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
		blocked = n > 0 ? 0 : blocked + 1;
		rig_turn(&rig);
	}
	peer_abort(&client);
	WAIT(&rig, list_is_empty(&rig.worker.open));
	assert_int_equal(rig_reason(&rig, CLOSE_client_reset), 1);
	end(&client, &target);
}

/* The target says something and goes while the client still sends: it is heard. */
static void test_last_words_of_the_target(void **state)
{
	struct peer client, target;

	tunnel_open(&client, &target);
	peer_send(&client, "more than it reads"); /* unread at close: a RST follows the FIN */
	WAIT(&rig, poll(&(struct pollfd){.fd = target.fd, .events = POLLIN}, 1, 0) == 1);
	peer_send(&client, "and still more"); /* its event comes first */
	peer_send(&target, "too much");
	peer_close(&target);
	WAIT(&rig, peer_over(&client));
	assert_string_equal(client.data, "too much");
	end(&client, &target);
}

/* The same, more than the client's socket takes at once: a RST comes behind all of it. */
static void test_last_words_to_a_slow_client(void **state)
{
	enum { LEN = 60000 }; /* as much as lies in the receiver's socket at once */
	static char bytes[LEN];
	struct peer client, target;
	int size = 2304, i;

	tunnel_open(&client, &target);
	assert_int_equal(setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	peer_send(&client, "more than it reads");
	WAIT(&rig, poll(&(struct pollfd){.fd = target.fd, .events = POLLIN}, 1, 0) == 1);
	peer_send(&client, "and still more");
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(send(target.fd, bytes, LEN, MSG_DONTWAIT | MSG_NOSIGNAL), LEN);
	peer_close(&target);
	for (i = 0; i < 20; i++)
		rig_step(&rig);
	WAIT(&rig, peer_over(&client));
	assert_int_equal(client.len, LEN);
	WAIT(&rig, rig_reason(&rig, CLOSE_target_closed) == 1);
	end(&client, &target);
}

/* As many as a test sends; moved until all of it is with the peer. */
static void carry(struct peer *from, struct peer *to, const char *bytes, size_t len)
{
	size_t at = 0, before = to->len;
	uint64_t until_ms = clock_mono_ms() + RIG_DEADLINE_MS;
	ssize_t n;

	while (to->len - before < len) {
		n = send(from->fd, bytes + at, len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
		at += n > 0 ? (size_t)n : 0;
		rig_step(&rig);
		peer_read(to);
		assert_true(clock_mono_ms() < until_ms);
	}
	assert_memory_equal(to->data + before, bytes, len);
}

/* Few bytes at a time are copied, many are spliced; each direction by itself. */
static void test_bulk_is_spliced(void **state)
{
	enum { LEN = 1 << 20 };
	struct peer client, target;
	char *bytes = malloc(LEN);
	int i, before;

	for (i = 0; i < LEN; i++)
		bytes[i] = (char)('a' + i % 25);
	tunnel_open(&client, &target);
	for (i = 0; i < 10; i++) {
		carry(&client, &target, bytes, 100);
		carry(&target, &client, bytes, 100);
	}
	assert_int_equal(n_spliced, 0);
	carry(&client, &target, bytes, LEN);
	assert_int_equal(n_spliced > 0, !copies);
	before = n_spliced;
	for (i = 0; i < 10; i++)
		carry(&target, &client, bytes, 100); /* this way nothing has changed */
	assert_int_equal(n_spliced, before);
	carry(&target, &client, bytes, LEN);
	assert_int_equal(n_spliced > before, !copies);
	carry(&client, &target, bytes, 100); /* the last splice, that finds little */
	before = n_spliced;
	for (i = 0; i < 10; i++)
		carry(&client, &target, bytes, 100);
	assert_in_range(n_spliced, before, before + 1);
	assert_int_equal(rig.worker.pipes.n_lent, 0);
	assert_int_equal(rig_conn(&rig)->front->bytes_in, LEN + 2100);
	assert_int_equal(rig_conn(&rig)->front->bytes_out, LEN + 2000);
	free(bytes);
	end(&client, &target);
}

/* A stream that becomes able to splice on the way, as TLS does, and one that loses it. */
static void test_streams_change_over(void **state)
{
	enum { LEN = 1 << 20 };
	struct peer client, target;
	char *bytes = calloc(1, LEN);

	tunnel_open(&client, &target);
	carry(&client, &target, bytes, LEN);
	carry(&target, &client, bytes, LEN);
	copies = !copies;
	n_spliced = 0;
	carry(&client, &target, bytes, LEN);
	assert_int_equal(n_spliced > 0, !copies);
	n_spliced = 0;
	carry(&target, &client, bytes, LEN);
	assert_int_equal(n_spliced > 0, !copies);
	free(bytes);
	end(&client, &target);
}

static bool may_not(const struct stream *stream)
{
	return false;
}

/* Nobody is asked to change over for a peer that never can, nor without a pipe; and who cannot yet
 * is asked again. */
static void test_asked_only_when_both_may(void **state)
{
	enum { LEN = 1 << 19 };
	static struct stream_ops back_ops;
	struct peer client, target;
	char *bytes = calloc(1, LEN);
	struct stream *back;

	tunnel_open(&client, &target);
	back = rig_conn(&rig)->tunnel->upstream->stream;
	back_ops = *back->ops;
	back_ops.may_splice_in = back_ops.may_splice_out = may_not;
	back->ops = &back_ops;
	carry(&client, &target, bytes, LEN);
	carry(&target, &client, bytes, LEN);
	assert_int_equal(n_asked, 0);
	back->ops = &plain_ops;
	rig.worker.pipes.n_lent += 1 << 20;
	carry(&client, &target, bytes, LEN);
	carry(&target, &client, bytes, LEN);
	assert_int_equal(n_asked, 0);
	rig.worker.pipes.n_lent -= 1 << 20;
	waits = true;
	carry(&client, &target, bytes, LEN);
	carry(&target, &client, bytes, LEN);
	assert_int_equal(n_asked > 0, !copies);
	assert_int_equal(n_spliced, 0);
	assert_int_equal(rig.worker.pipes.n_lent, 0);
	waits = false;
	peer_clear(&client);
	carry(&target, &client, bytes, LEN);
	carry(&target, &client, bytes, LEN);
	assert_int_equal(n_spliced > 0, !copies);
	free(bytes);
	end(&client, &target);
}

/* Urgent data does not go through; what is behind it does, and is not taken for the end. */
static void test_urgent_data(void **state)
{
	enum { LEN = 1 << 20 };
	struct peer client, target;
	char *bytes = calloc(1, LEN);

	tunnel_open(&client, &target);
	carry(&client, &target, bytes, LEN);
	assert_int_equal(send(client.fd, bytes, 60000, 0), 60000);
	assert_int_equal(send(client.fd, "!", 1, MSG_OOB), 1);
	peer_send(&client, "behind");
	shutdown(client.fd, SHUT_WR);
	WAIT(&rig, peer_over(&target));
	assert_int_equal(target.len, LEN + 60006);
	assert_string_equal(target.data + LEN + 60000, "behind");
	free(bytes);
	end(&client, &target);
}

/* All of it is there before the first read, which stops at the mark; nothing else comes. */
static void test_urgent_data_at_once(void **state)
{
	struct peer client, target;

	tunnel_open(&client, &target);
	peer_send(&client, "before");
	assert_int_equal(send(client.fd, "!", 1, MSG_OOB), 1);
	peer_send(&client, "behind");
	WAIT(&rig, peer_has(&target, "beforebehind"));
	end(&client, &target);
}

/* No pipe is to be had: bulk is copied. */
static void test_no_pipes(void **state)
{
	enum { LEN = 1 << 20 };
	struct peer client, target;
	char *bytes = calloc(1, LEN);

	tunnel_open(&client, &target);
	rig.worker.pipes.n_lent += 1 << 20;
	carry(&client, &target, bytes, LEN);
	carry(&target, &client, bytes, LEN);
	assert_int_equal(n_spliced, 0);
	rig.worker.pipes.n_lent -= 1 << 20;
	free(bytes);
	end(&client, &target);
}

/* Bytes wait in a pipe for a peer that does not read; then the tunnel ends. */
static void test_ends_with_bytes_in_a_pipe(void **state)
{
	static char bytes[1 << 20];
	int before, blocked = 0;
	struct peer client, target;
	ssize_t n;

	tunnel_open(&client, &target);
	before = rig_open_files();
	while (blocked < 10) {
		n = send(target.fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
		blocked = n > 0 ? 0 : blocked + 1;
		rig_turn(&rig);
	}
	assert_int_equal(rig.worker.pipes.n_lent, copies ? 0 : 1);
	assert_int_equal(rig_open_files(), before + (copies ? 0 : 2));
	peer_abort(&client);
	WAIT(&rig, list_is_empty(&rig.worker.open));
	assert_int_equal(rig.worker.pipes.n_lent, 0);
	assert_int_equal(rig_open_files(), before - 3); /* the client's, and both of the worker's */
	end(&client, &target);
}

/* Megabytes both ways at once, with a reader that stops for a while. */
static void test_bulk(void **state)
{
	enum { LEN = 3 << 20 };
	struct peer client, target;
	char *bytes = malloc(LEN);
	size_t up = 0, down = 0, i;
	ssize_t n;

	for (i = 0; i < LEN; i++)
		bytes[i] = (char)('a' + i % 25);
	tunnel_open(&client, &target);
	for (i = 0; up < LEN || down < LEN; i++) {
		n = send(client.fd, bytes + up, LEN - up, MSG_DONTWAIT | MSG_NOSIGNAL);
		up += n > 0 ? (size_t)n : 0;
		n = send(target.fd, bytes + down, LEN - down, MSG_DONTWAIT | MSG_NOSIGNAL);
		down += n > 0 ? (size_t)n : 0;
		if (i > 30) {
			peer_read(&target);
			peer_read(&client);
		}
		assert_true(i < 100000);
		rig_step(&rig);
		assert_true(rig.worker.io.bufs.large.used <= 2);
	}
	shutdown(client.fd, SHUT_WR);
	shutdown(target.fd, SHUT_WR);
	WAIT(&rig, peer_over(&client) && peer_over(&target));
	assert_int_equal(client.len, LEN);
	assert_int_equal(target.len, LEN);
	assert_memory_equal(client.data, bytes, LEN);
	assert_memory_equal(target.data, bytes, LEN);
	assert_int_equal(rig_reason(&rig, CLOSE_done), 1);
	free(bytes);
	end(&client, &target);
}

static void test_idle_timeout(void **state)
{
	struct peer client, target;

	rig.listener_spec.idle_ms = 30;
	tunnel_open(&client, &target);
	WAIT(&rig, peer_over(&client) && peer_over(&target));
	assert_true(client.reset && target.reset); /* nobody said that this was all */
	assert_int_equal(rig_reason(&rig, CLOSE_idle_timeout), 1);
	end(&client, &target);
}

static void test_cut_by_a_shutdown(void **state)
{
	struct peer client, target;

	tunnel_open(&client, &target);
	conn_drain_all(&rig.worker);
	peer_send(&client, "goes on");
	WAIT(&rig, peer_has(&target, "goes on"));
	conn_close_all(&rig.worker, CLOSE_shutdown);
	WAIT(&rig, peer_over(&client) && peer_over(&target));
	assert_true(client.reset && target.reset);
	end(&client, &target);
}

/* What TLS makes of a FIN without close_notify. */
static ssize_t truncated(struct stream *stream, ssize_t got)
{
	if (got)
		return got;
	stream->truncated = true;
	return -ECONNRESET;
}

static ssize_t truncated_read(struct stream *stream, void *bytes, size_t len)
{
	return truncated(stream, plain_ops.read(stream, bytes, len));
}

static ssize_t truncated_splice_in(struct stream *stream, int pipe_fd, size_t max)
{
	return truncated(stream, plain_ops.splice_in(stream, pipe_fd, max));
}

static void truncate_case(struct peer *from, struct peer *to, const char *bytes, size_t len)
{
	carry(from, to, bytes, len);
	shutdown(from->fd, SHUT_WR);
	WAIT(&rig, peer_over(to));
	assert_true(to->reset && !to->ended);
	assert_int_equal(to->len, len);
}

/* The other side must not take it for the whole, whoever was cut, in bulk or not. */
static void test_end_without_close_notify(void **state)
{
	enum { LEN = 1 << 20 };
	static struct stream_ops back_ops;
	struct peer client, target;
	char *bytes = calloc(1, LEN);
	size_t len;

	for (len = 5; len <= LEN; len += LEN - 5) {
		tunnel_open(&client, &target);
		front_ops.read = truncated_read;
		front_ops.splice_in = truncated_splice_in;
		truncate_case(&client, &target, bytes, len);
		end(&client, &target);
		rig_turn(&rig);
		tunnel_open(&client, &target);
		back_ops = plain_ops;
		back_ops.read = truncated_read;
		back_ops.splice_in = truncated_splice_in;
		rig_conn(&rig)->tunnel->upstream->stream->ops = &back_ops;
		truncate_case(&target, &client, bytes, len);
		end(&client, &target);
		rig_turn(&rig);
	}
	assert_int_equal(rig_reason(&rig, CLOSE_client_gone), 2);
	assert_int_equal(rig_reason(&rig, CLOSE_target_closed), 2);
	free(bytes);
}

/* What came before the cut arrives however late it is read, and the RST behind it. */
static void test_cut_behind_unread_bytes(void **state)
{
	enum { LEN = 1 << 20, WINDOW = 64 * 1024 };
	static const int window = WINDOW;
	struct peer client, target;
	char *bytes = calloc(1, LEN);

	tunnel_open(&client, &target);
	front_ops.read = truncated_read;
	front_ops.splice_in = truncated_splice_in;
	setsockopt(target.fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
	peer_send_bytes(&client, bytes, LEN);
	shutdown(client.fd, SHUT_WR);
	WAIT(&rig, rig_conn(&rig)->tunnel->to_target.cut);
	WAIT(&rig, peer_over(&target));
	assert_int_equal(target.len, LEN);
	assert_true(target.reset && !target.ended);
	assert_int_equal(rig_reason(&rig, CLOSE_client_gone), 1);
	end(&client, &target);
	free(bytes);
}

static void test_refused_goes_to_the_next(void **state)
{
	struct peer client, target;

	close(rig.target_fds[0]);
	rig.target_fds[0] = -1;
	rig.group_spec.n_members = 2;
	rig_serve(&rig);
	client = rig_client(&rig);
	peer_send(&client, "hi");
	target = rig_accept(&rig, 1);
	WAIT(&rig, peer_has(&target, "hi"));
	end(&client, &target);
}

static void test_all_refuse(void **state)
{
	struct peer client;

	close(rig.target_fds[0]);
	rig.target_fds[0] = -1;
	rig_serve(&rig);
	client = rig_client(&rig);
	WAIT(&rig, peer_over(&client));
	assert_int_equal(rig_reason(&rig, CLOSE_target_refused), 1);
	peer_fini(&client);
}

static void test_client_goes_before_it_is_up(void **state)
{
	struct peer client;

	rig_serve(&rig);
	client = rig_client(&rig);
	peer_abort(&client);
	WAIT(&rig, list_is_empty(&rig.worker.open));
	peer_fini(&client);
}

static void test_deregistered(void **state)
{
	struct peer client, target;

	tunnel_open(&client, &target);
	atomic_store(&rig.targets[0]->removed, true);
	upstream_sweep(&rig.worker);
	peer_send(&client, "still");
	WAIT(&rig, peer_has(&target, "still"));
	atomic_store(&rig.targets[0]->expired, true);
	upstream_sweep(&rig.worker);
	WAIT(&rig, peer_over(&client) && peer_over(&target));
	assert_true(client.reset && target.reset);
	assert_int_equal(rig_reason(&rig, CLOSE_deregistered), 1);
	end(&client, &target);
}

int main(void)
{
#define CASE(name)                                                                                 \
	cmocka_unit_test_setup_teardown(name, setup_splice, teardown),                             \
	{                                                                                          \
		#name " by copy", name, setup_copy, teardown, NULL                                 \
	}
	const struct CMUnitTest tests[] = {
		CASE(test_both_ways),
		CASE(test_client_ends_first),
		CASE(test_target_ends_first),
		CASE(test_client_resets),
		CASE(test_target_resets),
		CASE(test_client_resets_behind_a_full_target),
		CASE(test_last_words_of_the_target),
		CASE(test_last_words_to_a_slow_client),
		CASE(test_bulk),
		CASE(test_bulk_is_spliced),
		CASE(test_streams_change_over),
		CASE(test_asked_only_when_both_may),
		CASE(test_urgent_data),
		CASE(test_urgent_data_at_once),
		CASE(test_no_pipes),
		CASE(test_ends_with_bytes_in_a_pipe),
		CASE(test_idle_timeout),
		CASE(test_cut_by_a_shutdown),
		CASE(test_end_without_close_notify),
		CASE(test_cut_behind_unread_bytes),
		CASE(test_refused_goes_to_the_next),
		CASE(test_all_refuse),
		CASE(test_client_goes_before_it_is_up),
		CASE(test_deregistered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
