"use strict";
/*
 * The dashboard: shows what /v1/events sends, and asks for nothing else. Each event is the whole of
 * /v1/overview; the first one has the past as well. Nothing is made from strings of HTML.
 */
const SAMPLES = 300;
const past = {at_ms: [], drops: new Map()};
const RATES = ["accepted", "requests", "bytes_in", "bytes_out", "handshakes_full", "handshakes_resumed", "handshakes_failed"];
const LEVELS = ["p50_us", "p90_us", "p99_us"];
const byId = (id) => document.getElementById(id);

// --- texts
const whole = new Intl.NumberFormat("en");
const number = (n) => n === null || n === undefined ? "" : whole.format(n);

function short(n) {
	const units = ["", "k", "M", "G", "T", "P"];
	let i = 0;
	while (n >= 1000 && i < units.length - 1) {
		n /= 1000;
		i++;
	}
	return (n >= 100 || Number.isInteger(n) ? Math.round(n) : n.toFixed(n >= 10 ? 1 : 2)) + units[i];
}

function span(seconds) {
	const parts = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
	for (const [size, unit] of parts)
		if (seconds >= size)
			return Math.floor(seconds / size) + unit;
	return "0s";
}

const duration = (us) => !us ? "–" : us >= 1e6 ? (us / 1e6).toFixed(1) + " s" : us >= 1000 ? (us / 1000).toFixed(us >= 1e4 ? 0 : 1) + " ms" : us + " µs";
const ago = (at) => at ? span(Math.max(0, Date.now() / 1000 - at)) : "";
const percent = (part, all) => all ? (100 * part / all).toFixed(part === all || !part ? 0 : 1) + " %" : "–";

// --- elements
function element(name, text, classes) {
	const made = document.createElement(name);
	if (text instanceof Node)
		made.append(text);
	else if (text !== undefined && text !== null)
		made.textContent = text;
	if (classes)
		made.className = classes;
	return made;
}

const KINDS = {healthy: "good", ready: "good", listening: "good", unhealthy: "bad", initial: "warn", draining: "warn", leaving: "warn", stopping: "bad"};
const mark = (text, kind) => element("span", text, "mark " + (kind ?? KINDS[text] ?? ""));

/* Columns: [title, value of a row, options]. A number is right aligned, and the page says what it is of. */
function table(id, columns, rows, key) {
	const place = byId(id), head = element("tr"), body = element("tbody");
	for (const [title, , kind] of columns) {
		const cell = element("th", title, kind === "number" ? "number" : "");
		cell.scope = "col";
		head.append(cell);
	}
	for (const row of rows) {
		const line = element("tr");
		line.dataset.key = key(row);
		columns.forEach(([title, value, kind], i) => {
			const it = value(row), cell = element(i ? "td" : "th", kind === "number" ? number(it) : it, kind ?? "");
			if (!i)
				cell.scope = "row";
			if (kind === "number")
				cell.dataset.value = it ?? "";
			cell.dataset.column = title;
			line.append(cell);
		});
		body.append(line);
	}
	if (!rows.length) {
		const cell = element("td", "nothing yet", "empty"), line = element("tr", cell);
		cell.colSpan = columns.length;
		body.append(line);
	}
	const thead = element("thead", head);
	place.replaceChildren(thead, body);
}

function surplus(id, title, n) {
	const heading = byId(id);
	heading.replaceChildren(title);
	if (n)
		heading.append(" ", element("small", "and " + number(n) + " more"));
}

// --- charts: lines over the samples
const SVG = "http://www.w3.org/2000/svg";
function shape(name, attributes, text) {
	const made = document.createElementNS(SVG, name);
	for (const [attribute, value] of Object.entries(attributes))
		made.setAttribute(attribute, value);
	if (text !== undefined)
		made.textContent = text;
	return made;
}

function ceiling(most) {
	if (!(most > 0))
		return 1;
	const size = 10 ** Math.floor(Math.log10(most));
	return [1, 2, 5, 10].map((n) => n * size).find((n) => n >= most);
}

function chart(id, series, format) {
	const place = byId(id), at = past.at_ms, width = Math.max(240, place.clientWidth), height = 136, left = 48, bottom = 16;
	const top = ceiling(Math.max(0, ...series.flatMap((one) => one.values.filter((v) => v !== null))));
	const svg = shape("svg", {viewBox: `0 0 ${width} ${height}`, role: "img"});
	const from = at[0] ?? 0, length = Math.max(1, (at.at(-1) ?? 1) - from);
	const x = (i) => left + (width - left) * (at[i] - from) / length;
	const y = (value) => 6 + (height - bottom - 6) * (1 - value / top);
	for (const share of [0, 0.5, 1]) {
		svg.append(shape("line", {class: "grid", x1: left, x2: width, y1: y(top * share), y2: y(top * share)}));
		svg.append(shape("text", {x: left - 6, y: y(top * share) + 4, "text-anchor": "end"}, format(top * share)));
	}
	svg.append(shape("text", {x: left, y: height - 2}, "−" + span(length / 1000)));
	svg.append(shape("text", {x: width, y: height - 2, "text-anchor": "end"}, "now"));
	const legend = element("ul", null, "legend");
	series.forEach((one, i) => {
		const points = one.values.map((v, at_) => v === null ? null : x(at_).toFixed(1) + "," + y(v).toFixed(1)).filter((p) => p);
		svg.append(shape("polyline", {class: "k" + i % 8, points: points.join(" ")}));
		const item = element("li", element("i", "", "k" + i % 8));
		const last = one.values.at(-1) ?? null;
		item.append(one.name + " " + (last === null ? "–" : format(last)));
		legend.append(item);
	});
	svg.setAttribute("aria-label", series.map((one) => `${one.name}: ${one.values.at(-1) == null ? "none" : format(one.values.at(-1))}`).join(", ") || "nothing yet");
	place.replaceChildren(svg, legend);
}

/* How fast a sum rises from sample to sample. */
function rates(sums) {
	return sums.map((sum, i) => !i ? null : Math.max(0, (sum - sums[i - 1]) * 1000 / Math.max(1, past.at_ms[i] - past.at_ms[i - 1])));
}

// --- the past
function begin(from) {
	past.at_ms = from.at_ms;
	for (const name of [...RATES, ...LEVELS])
		past[name] = from[name];
	past.drops = new Map((from.drops ?? []).map((row) => [row.where + " " + row.reason, row.counts]));
}

function go_on(data) {
	if (!data.totals.at_ms || past.at_ms.at(-1) === data.totals.at_ms)
		return;
	const counts = new Map(data.drops.map((row) => [row.where + " " + row.reason, row.count]));
	for (const [name, count] of counts)
		if (!past.drops.has(name))
			past.drops.set(name, past.at_ms.map(() => count));
	past.at_ms.push(data.totals.at_ms);
	for (const name of [...RATES, ...LEVELS])
		(past[name] ??= []).push(data.totals[name]);
	for (const [name, list] of past.drops)
		list.push(counts.get(name) ?? list.at(-1) ?? 0);
	if (past.at_ms.length > SAMPLES)
		for (const list of [past.at_ms, ...[...RATES, ...LEVELS].map((name) => past[name]), ...past.drops.values()])
			list.shift();
}

function draw_charts() {
	const line = (name, key) => ({name, values: rates(past[key] ?? [])});
	const level = (name, key) => ({name, values: (past[key] ?? []).map((us) => us || null)});
	chart("c-requests", [line("requests", "requests"), line("connections", "accepted")], short);
	chart("c-handshakes", [line("full", "handshakes_full"), line("resumed", "handshakes_resumed"), line("failed", "handshakes_failed")], short);
	chart("c-bytes", [line("in", "bytes_in"), line("out", "bytes_out")], short);
	chart("c-latency", [level("half", "p50_us"), level("90 %", "p90_us"), level("99 %", "p99_us")], (us) => us ? duration(us) : "0");
	const drops = [...past.drops].map(([name, list]) => ({name, rise: list.at(-1) - list[0], values: rates(list)}))
		.filter((one) => one.rise > 0).sort((a, b) => b.rise - a.rise).slice(0, 8);
	chart("c-drops", drops, short);
}

// --- what is now
function tile(name, id, value, detail) {
	const box = element("div"), shown = element("dd", value);
	shown.id = id;
	if (detail)
		shown.append(element("small", detail));
	box.append(element("dt", name), shown);
	return box;
}

/* The rate between the last two samples. */
function now_of(name) {
	const list = past[name] ?? [], n = list.length;
	return n < 2 ? 0 : Math.max(0, (list[n - 1] - list[n - 2]) * 1000 / Math.max(1, past.at_ms[n - 1] - past.at_ms[n - 2]));
}

/* Every connection begins with one: not in the sum, as it is not in that of the alerts. */
const NORMAL = new Set(["cookie_ack", "request_ack"]);

function draw_tiles(data) {
	const {status, totals} = data, handshakes = status.handshakes;
	const records = Object.values(data.ktls.tx).reduce((a, b) => a + b, 0);
	const drops = data.drops.filter((row) => !NORMAL.has(row.reason));
	const lost = drops.reduce((sum, row) => sum + row.count, 0);
	const lost_rate = drops.reduce((sum, row) => sum + (row.rate_per_s ?? 0), 0);
	const counted = (n) => number(n) + " since the start";
	const tiles = [
		tile("Connections open", "v-connections", number(status.connections_open), counted(status.accepted_total)),
		tile("Requests per second", "v-requests", short(now_of("requests")), counted(status.requests_total)),
		tile("Handshakes per second", "v-handshakes", short(now_of("handshakes_full") + now_of("handshakes_resumed")), counted(handshakes.full + handshakes.resumed)),
		tile("Resumed", "v-resumed", percent(handshakes.resumed, handshakes.full + handshakes.resumed), number(handshakes.failed) + " handshakes failed"),
		tile("Bytes per second", "v-bytes", short(now_of("bytes_out")), short(now_of("bytes_in")) + " in"),
		tile("Time of requests", "v-latency", duration(totals.p50_us), "99 % within " + duration(totals.p99_us)),
		tile("Records by the kernel", "v-ktls", percent(data.ktls.tx.kernel ?? 0, records), "of connections that sent TLS"),
		tile("Drops per second", "v-drops", short(lost_rate), counted(lost) + ", first ACKs aside"),
	];
	byId("tiles").replaceChildren(...tiles);
	[["v-connections", status.connections_open], ["v-requests", status.requests_total], ["v-handshakes", handshakes.full + handshakes.resumed],
		["v-resumed", handshakes.resumed], ["v-drops", lost]].forEach(([id, value]) => { byId(id).dataset.value = value; });
}

function draw_header(data) {
	const {status} = data, last = status.config.last_reload, state = byId("state");
	byId("version").textContent = status.version;
	state.textContent = status.state;
	state.className = "mark " + (KINDS[status.state] ?? "");
	byId("uptime").textContent = `up ${span(status.uptime_s)}, configuration ${status.config.generation}`;
	const notice = byId("notice");
	notice.hidden = !(last && last.result === "refused");
	notice.textContent = notice.hidden ? "" : `The last reload was refused: ${last.error ?? ""}`;
}

function checks(text) {
	const bars = element("span", null, "checks"), failed = [...text].filter((one) => one === "-").length;
	bars.setAttribute("role", "img");
	bars.setAttribute("aria-label", text ? `${failed} of the last ${text.length} checks failed` : "not checked");
	for (const one of text)
		bars.append(element("i", "", one === "-" ? "failed" : ""));
	return bars;
}

function days(n) {
	return mark(n < 0 ? "expired" : n + " d", n < 7 ? "bad" : n < 30 ? "warn" : "good");
}

function draw_tables(data) {
	const gone = data.surplus;
	surplus("h-listeners", "Listeners", gone.listeners);
	table("t-listeners", [["Name", (l) => l.name], ["Protocol", (l) => l.protocol], ["Address", (l) => l.addresses.join(" ")],
		["State", (l) => mark(l.state)], ["Open", (l) => l.open, "number"], ["Accepted", (l) => l.accepted, "number"],
		["Requests", (l) => l.requests, "number"], ["Refused", (l) => l.refused, "number"],
		["Resumed", (l) => l.handshakes ? percent(l.handshakes.resumed, l.handshakes.full + l.handshakes.resumed) : ""],
		["Bytes in", (l) => l.bytes_in, "number"], ["Bytes out", (l) => l.bytes_out, "number"]], data.listeners, (l) => l.name);
	surplus("h-groups", "Target groups", gone.target_groups);
	table("t-groups", [["Name", (g) => g.name], ["Protocol", (g) => g.protocol], ["Algorithm", (g) => g.algorithm],
		["Healthy", (g) => g.targets.healthy, "number"], ["Unhealthy", (g) => g.targets.unhealthy, "number"],
		["Retries", (g) => g.retries, "number"], ["Over limits", (g) => g.limited, "number"],
		["", (g) => g.failing_open ? mark("failing open", "bad") : ""]], data.target_groups, (g) => g.name);
	surplus("h-targets", "Targets", gone.targets);
	table("t-targets", [["Name", (t) => t.name], ["Group", (t) => t.group], ["Address", (t) => t.address ?? ""],
		["State", (t) => mark(t.state)], ["Since", (t) => ago(t.since)], ["Checks", (t) => checks(t.checks)],
		["Check", (t) => t.last_check ? duration(t.last_check.latency_us) : ""],
		["Active", (t) => t.outstanding, "number"], ["Requests", (t) => t.requests, "number"], ["Failures", (t) => t.failures, "number"],
		["Why", (t) => t.ejected?.detail ?? (t.state === "healthy" ? "" : t.last_check?.detail ?? t.reason ?? ""), "text"]], data.targets, (t) => t.group + "/" + t.name);
	surplus("h-rules", "Rules", gone.rules);
	table("t-rules", [["Name", (r) => r.name], ["Listener", (r) => r.listener], ["Action", (r) => r.action, "text"],
		["Hits", (r) => r.hits, "number"]], data.rules, (r) => r.listener + "/" + r.name);
	table("t-drops", [["Reason", (d) => d.reason], ["Where", (d) => d.where], ["Count", (d) => d.count, "number"],
		["Per second", (d) => d.rate_per_s === null ? "" : short(d.rate_per_s)], ["Last", (d) => ago(d.last_seen_at)],
		["What it is", (d) => d.help, "text"]], [...data.drops].sort((a, b) => b.count - a.count), (d) => d.where + "/" + d.reason);
	table("t-sources", [["Source", (s) => s.key], ["Let in", (s) => s.released, "number"], ["Refused", (s) => s.refused, "number"],
		["Packets dropped", (s) => s.dropped, "number"]], data.sources, (s) => s.key);
	surplus("h-certificates", "Certificates, the first to expire", gone.certificates);
	table("t-certificates", [["Name", (c) => c.name], ["Left", (c) => days(c.days_left)],
		["Expires", (c) => new Date(c.not_after * 1000).toISOString().slice(0, 16).replace("T", " ")],
		["Listeners", (c) => c.listeners.join(" "), "text"]], data.certificates, (c) => c.name);
	table("t-workers", [["Worker", (w) => String(w.id)], ["CPU", (w) => w.cpu === null ? "any" : String(w.cpu)], ["Busy", (w) => w.busy_percent + " %"],
		["Connections", (w) => w.connections, "number"], ["Accepted", (w) => w.accepted, "number"], ["Requests", (w) => w.requests, "number"],
		["Last turn", (w) => w.heartbeat_age_ms + " ms"]], data.status.workers, (w) => w.id);
}

function show(data) {
	if (data.past)
		begin(data.past);
	go_on(data);
	draw_header(data);
	draw_tiles(data);
	draw_charts();
	draw_tables(data);
	document.body.dataset.events = Number(document.body.dataset.events ?? 0) + 1;
}

// --- live
function say(text, kind) {
	const live = byId("live");
	if (live.textContent !== text)
		live.textContent = text;
	live.className = "mark " + kind;
}

function listen() {
	const events = new EventSource("/v1/events");
	events.addEventListener("overview", (event) => {
		show(JSON.parse(event.data));
		say("live", "good");
	});
	events.addEventListener("error", () => {
		say(events.readyState === EventSource.CLOSED ? "ended: load the page again" : "connecting again", "bad");
	});
}

addEventListener("resize", draw_charts); // they are as wide as there is room
listen();
