/*
 * Fuzzes the gate from frames to verdicts. The input is a list of steps: segments of a few clients
 * (whole, cut anywhere, overlapping, with other bytes, with and without timestamps, under the
 * kernel's cookie), raw frames, time that passes. After every step:
 *  - each frame ended in exactly one counted verdict;
 *  - what was released is one sound packet, is judged good by gate_judge itself, and holds at every
 *    place the byte that came there first;
 *  - replies are frames with sound checksums;
 *  - no more flights are open than there may be, in all and of one prefix.
 * Frames stand in memory of exactly their length.
 */
#define LOG_MODULE "fuzz"
#include "../unit/gate/gate_rig.h"
#include "core/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLIENTS = 6, FLIGHTS = 4, SHARE = 2, STREAM_BYTES = 40000, STEPS_MAX = 512, POLICIES = 4 };

struct input {
	const uint8_t *at, *end;
};

struct peer {
	struct rig_client client;
	struct hello_bytes stream;
	/* Since it has the flight that is open: the first byte that came at a place. */
	uint8_t first[STREAM_BYTES];
	bool came[STREAM_BYTES];
};

static struct rig rig;
static struct gate_policy *policies[POLICIES];
static struct peer peers[CLIENTS];
static bool listening;

static uint32_t take(struct input *input, uint32_t below)
{
	uint32_t value = 0;
	int i;

	for (i = 0; i < (below > 256 ? 2 : 1) && input->at < input->end; i++)
		value = value << 8 | *input->at++;
	return value % below;
}

static void peer_init(struct peer *peer, uint32_t which)
{
	static const char *const addresses[CLIENTS][2] = {
		{"192.0.2.1:1", RIG_LOCAL}, {"192.0.2.2:2", RIG_LOCAL},
		{"[2001:db8::1]:3", "[2001:db8::ff]:443"}, {"192.0.2.4:4", RIG_LOCAL},
		{"[2001:db8::5]:5", "[2001:db8::ff]:443"},
		{"192.0.2.6:6", "198.51.100.1:80"}, /* nobody's */
	};
	static const size_t padding[CLIENTS] = {0, 1300, 1300, 9000, 200, 0};
	static const size_t records[CLIENTS] = {16384, 16384, 700, 16384, 1, 16384};
	static const int flags[CLIENTS] = {0, RIG_TIMESTAMPS, RIG_TIMESTAMPS, 0,
		RIG_TIMESTAMPS | RIG_NO_SCALE, RIG_TIMESTAMPS};
	struct hello_raw raw = {.name = which == 3 ? "other.test" : "www.test",
		.extensions = "0,a,d,2b,33,15",
		.padding_len = padding[which]};
	static struct hello_bytes message;

	hello_message(&raw, &message);
	hello_records(&message, records[which], &peer->stream);
	rig_client_init(&peer->client, &rig, addresses[which][0], addresses[which][1], flags[which],
		&peer->stream);
}

static void remember(struct peer *peer, size_t from, const uint8_t *bytes, size_t len)
{
	size_t i;

	for (i = 0; i < len && listening; i++)
		if (!peer->came[from + i]) {
			peer->first[from + i] = bytes[i];
			peer->came[from + i] = true;
		}
}

/* Nothing is kept of a flight that ended. */
static void forget_ended(void)
{
	const struct list *link;
	bool open[CLIENTS + 1] = {false};
	uint32_t i;

	list_for_each(link, &rig.gate->flights.open)
		open[ntohs(container_of(link, struct flight, open)->key.tuple.from_port_be)] = true;
	for (i = 0; i < CLIENTS; i++)
		if (!open[i + 1])
			memset(peers[i].came, 0, sizeof(peers[i].came));
}

static const struct peer *peer_of(const uint8_t *tcp)
{
	uint16_t port = frame_get16(tcp + TCP_FROM_PORT);

	rig_must(port >= 1 && port <= CLIENTS, "released for nobody");
	return &peers[port - 1];
}

/* Judged once more, without limits and by itself. */
static void check_judged(const uint8_t *bytes, size_t len)
{
	static uint8_t scratch[CLIENTHELLO_SCRATCH_BYTES];
	struct gate_judgement judgement;
	union addr anybody = rig_addr("192.0.2.1:1");

	rig_must(gate_judge(rig.policy, rig.node.limits, &anybody, bytes, len, scratch, rig.now_us,
			 &judgement) == 0 &&
			 judgement.reason == GATE_released,
		"released what is not accepted");
}

static void check_packet(const struct rig_packet *packet)
{
	const uint8_t *tcp = packet->bytes + packet->ip_bytes, *payload;
	uint32_t tcp_len = packet->len - packet->ip_bytes, header, len, place, i;
	bool v6 = packet->ip_bytes == IPV6_BYTES;
	const struct peer *peer = peer_of(tcp);
	uint64_t pseudo = frame_sum_pseudo(packet->bytes, v6, tcp_len);
	uint16_t field;

	header = (uint32_t)(tcp[TCP_DATA_OFFSET] >> 4) * 4;
	payload = tcp + header;
	len = tcp_len - header;
	memcpy(&field, tcp + TCP_CHECKSUM, 2);
	if (packet->partial)
		rig_must(field == frame_fold(pseudo), "partial checksum");
	else
		rig_must(frame_fold(frame_sum(tcp, tcp_len, pseudo)) == 0xffff, "checksum");
	if (v6)
		rig_must(frame_get16(packet->bytes + IPV6_PAYLOAD_LENGTH) == tcp_len, "length");
	else
		rig_must(frame_get16(packet->bytes + IPV4_TOTAL_LENGTH) == packet->len &&
				 frame_fold(frame_sum(packet->bytes, IPV4_BYTES, 0)) == 0xffff,
			"IPv4 header");
	check_judged(payload, len);
	place = frame_get32(tcp + TCP_SEQ) - (peer->client.isn + 1);
	rig_must(place < STREAM_BYTES && place + len <= STREAM_BYTES, "released from nowhere");
	for (i = 0; i < len; i++)
		rig_must(peer->came[place + i] && peer->first[place + i] == payload[i],
			"released another byte than the first");
	if (peer->client.segment.has_timestamp)
		rig_must(place == 0, "released from the middle");
}

static void check_reply(const struct rig_packet *packet)
{
	uint32_t at = 12, tcp_len;
	const uint8_t *ip, *tcp;
	bool v6;

	while (frame_get16(packet->bytes + at) == 0x8100 ||
		frame_get16(packet->bytes + at) == 0x88a8)
		at += 4;
	v6 = frame_get16(packet->bytes + at) == 0x86dd;
	ip = packet->bytes + at + 2;
	tcp = ip + (v6 ? IPV6_BYTES : IPV4_BYTES);
	tcp_len = packet->len - (uint32_t)(tcp - packet->bytes);
	rig_must(frame_fold(frame_sum(tcp, tcp_len, frame_sum_pseudo(ip, v6, tcp_len))) == 0xffff,
		"reply checksum");
	rig_must(tcp[TCP_FLAGS] == FRAME_RST || frame_get16(tcp + TCP_WINDOW), "window of zero");
}

/* Verdicts that a frame ends in; the others are of flights, or are notes. */
static uint64_t frame_verdicts(void)
{
	static const enum gate_reason others[] = {GATE_partial_acked, GATE_reordered, GATE_dry_run,
		GATE_flight_timeout, GATE_flight_replaced, GATE_flights_full, GATE_prefix_flights,
		GATE_reply_lost};
	const uint64_t *reasons = rig.worker.counts.reasons;
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < GATE_REASONS; i++)
		sum += reasons[i];
	for (i = 0; i < array_len(others); i++)
		sum -= reasons[others[i]];
	return sum;
}

/* The clients with IPv4 addresses are all of one /24. */
static uint32_t open_of_v4(void)
{
	const struct list *link;
	uint32_t n = 0;

	list_for_each(link, &rig.gate->flights.open)
		n += !container_of(link, struct flight, open)->key.tuple.v6;
	return n;
}

static void serve(uint8_t *frame, uint32_t len)
{
	size_t released = rig.n_released, sent = rig.n_sent;
	uint64_t verdicts = frame_verdicts();

	rig_take(&rig, frame, len);
	rig_must(frame_verdicts() == verdicts + 1, "one verdict per frame");
	rig_must(rig.n_released <= released + 1, "one packet per frame");
	if (rig.n_released > released)
		check_packet(rig_last_released(&rig));
	if (rig.n_sent > sent)
		check_reply(rig_last_sent(&rig));
	rig_must(rig.gate->flights.n_open <= FLIGHTS, "too many flights");
	rig_must(open_of_v4() <= SHARE, "too many flights of a prefix");
	rig_must(rig.worker.counts.flights_open == rig.gate->flights.n_open, "flights_open");
	forget_ended();
}

/* Bytes of a stream from anywhere, maybe with one changed. */
static void segment(struct input *input, struct peer *peer, bool changed)
{
	uint8_t frame[RIG_FRAME_BYTES], payload[1400] = {0};
	struct rig_segment segment = peer->client.segment;
	uint32_t from = take(input, 2) ? take(input, (uint32_t)peer->stream.len) : 0;
	uint32_t len = 1 + take(input, sizeof(payload)), have;

	if (take(input, 4) == 0)
		from = take(input, STREAM_BYTES - sizeof(payload));
	have = from < peer->stream.len ? (uint32_t)peer->stream.len - from : 0;
	if (have && len > have)
		len = have;
	memcpy(payload, peer->stream.at + from, len < have ? len : have);
	if (changed)
		payload[take(input, len)] ^= (uint8_t)(1 + take(input, 255));
	remember(peer, from, payload, len);
	segment.seq = peer->client.isn + 1 + from;
	segment.tags = (int)take(input, 3);
	segment.partial = take(input, 2);
	segment.flags = FRAME_ACK | (take(input, 8) ? 0 : FRAME_FIN);
	segment.ecn = (uint8_t)take(input, 4);
	segment.tsval = 1000 + take(input, 256);
	segment.payload = payload;
	segment.payload_bytes = len;
	serve(frame, rig_frame(&segment, frame));
}

static bool same_segment(const struct frame *a, const struct frame *b)
{
	return a->seq == b->seq && a->ack == b->ack && a->has_timestamp == b->has_timestamp &&
	       a->tsecr == b->tsecr && a->payload_bytes == b->payload_bytes &&
	       memcmp(&a->tuple, &b->tuple, sizeof(a->tuple)) == 0 &&
	       frame_payload(a)[0] == frame_payload(b)[0];
}

/* A sound frame, then bytes of its headers changed. If its checksums hold all the same it must be
 * the same segment, or nothing is known of it here. */
static void mangled(struct input *input, struct peer *peer)
{
	uint8_t bytes[RIG_FRAME_BYTES], sound[RIG_FRAME_BYTES], copy[RIG_FRAME_BYTES];
	uint32_t len = rig_client_frame(&peer->client, 0, 1, 0, bytes), n = 1 + take(input, 6);
	struct frame before, after;

	memcpy(sound, bytes, len);
	rig_must(frame_parse(sound, len, &before) == 0, "frame");
	while (n--)
		bytes[take(input, len)] = (uint8_t)take(input, 256);
	len = take(input, 4) ? len : take(input, len + 1);
	memcpy(copy, bytes, len);
	if (frame_parse(copy, len, &after) == 0) {
		if (!same_segment(&after, &before))
			return;
		remember(peer, 0, peer->stream.at, 1);
	}
	serve(bytes, len);
}

static void raw(struct input *input)
{
	uint8_t frame[256];
	uint32_t len = take(input, sizeof(frame)), i;

	for (i = 0; i < len; i++)
		frame[i] = (uint8_t)take(input, 256);
	serve(frame, len);
}

static void listen_or_not(bool listens)
{
	struct gate_listener rows[] = {{rig_addr(RIG_LOCAL), rig.policy, 3000, SHARE},
		{rig_addr("[::]:443"), rig.policy, 60000, 0}};

	listening = listens;
	gate_set_listeners(rig.gate, rows, listens ? 2 : 0);
}

static void pass(uint32_t ms)
{
	rig_pass_ms(&rig, ms);
	forget_ended();
}

static void step(struct input *input)
{
	struct peer *peer = &peers[take(input, CLIENTS)];
	uint32_t what = take(input, 32);

	if (what < 20)
		segment(input, peer, false);
	else if (what < 23)
		segment(input, peer, true);
	else if (what < 25)
		mangled(input, peer);
	else if (what == 25)
		raw(input);
	else if (what < 29)
		pass(take(input, 6000));
	else if (what == 29)
		rig.no_tx = !rig.no_tx;
	else if (what == 30)
		rig.release_result = rig.release_result ? 0 : -EIO;
	else
		listen_or_not(take(input, 4));
}

/* What all inputs share: counters and tables go on, the gate is new for each. */
static void prepare(void)
{
	struct gate_policy_spec spec = {.refuse_unknown_name = true};
	uint32_t i;

	log_level_set(LOG_LEVEL_ERROR);
	rig_init(&rig, NULL, FLIGHTS);
	gate_free(rig.gate);
	shared_put(&rig.policy->shared);
	for (i = 0; i < POLICIES; i++) {
		spec.proxy_in = i & 1 ? GATE_PROXY_ACCEPT : GATE_PROXY_OFF;
		spec.refuse_by_alert = i & 2;
		policies[i] = rig_policy(&spec);
	}
	for (i = 0; i < CLIENTS; i++)
		peer_init(&peers[i], i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, data + size};
	uint32_t i;

	if (!rig.gate)
		prepare();
	rig.policy = policies[take(&input, POLICIES)];
	rig.no_tx = false;
	rig.release_result = 0;
	rig_open_gate(&rig, FLIGHTS);
	listen_or_not(true);
	for (i = 0; i < CLIENTS; i++)
		memset(peers[i].came, 0, sizeof(peers[i].came));
	for (i = 0; i < STEPS_MAX && input.at < input.end; i++)
		step(&input);
	gate_free(rig.gate);
	return 0;
}
