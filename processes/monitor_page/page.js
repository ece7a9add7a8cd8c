// Fills the page from GET /status and GET /history, once a second. It changes nothing anywhere; what the set says goes
// into the page by textContent only. If the monitor stops answering, the page says that what it shows is old.

import {Chart, COLOURS} from "./chart.js";

const WINDOW_MS = 600000, SHORTEST_MS = 60000, MARKS_KEPT = 200;
const HOPS = ["frame_to_publish", "publish_to_poll", "tick_to_request", "request_to_poll", "poll_to_send", "send_to_reply"];
const STATES = {READY: "good", RUNNING: "good", UP: "good", OPEN: "", FAILED: "bad", UNHEALTHY: "bad", DOWN: "bad",
                STOPPED: "bad", NONE: "bad", UNKNOWN: "bad", PARTIALLY_FILLED: "good"};
const byId = id => document.getElementById(id);
const charts = new Map(), cards = new Map(), marks = new Map();
let points = [], lastTime = "", lastLook = "";

// --- texts -----------------------------------------------------------------------------------------------------------
const known = value => value !== null && value !== undefined;
const number = (value, digits = 2) => !known(value) ? "–"
  : value.toLocaleString("en-US", {minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "negative"});
const plain = value => !known(value) ? "–" : Number(value.toPrecision(10)).toLocaleString("en-US", {maximumFractionDigits: 10});
const age = ms => !known(ms) ? "–" : ms < 1000 ? `${ms.toFixed(0)} ms` : span(ms / 1000);
const span = s => s < 120 ? `${s.toFixed(0)} s` : s < 7200 ? `${(s / 60).toFixed(0)} min` : s < 172800 ? `${(s / 3600).toFixed(1)} h` : `${(s / 86400).toFixed(1)} d`;
const micro = ns => number(ns / 1000, ns < 99950 ? 1 : 0);
const duration = ns => ns < 1e6 ? `${micro(ns)} µs` : ns < 1e9 ? `${number(ns / 1e6, ns < 1e7 ? 2 : 1)} ms` : `${number(ns / 1e9, 2)} s`;
const words = name => name.replaceAll("_", " ");
const isSilent = one => one.pid !== 0 && one.age_ms > 2000 && !["STOPPED", "FAILED", "STARTING", "RESTARTING"].includes(one.state);
const sign = value => !known(value) || Math.abs(value) < 1e-12 ? "" : value < 0 ? "bad" : "good";
const money = (value, currency) => number(value, currency === "BTC" || currency === "ETH" ? 6 : 2);
const signed = (value, currency) => {
  const text = money(value, currency);
  return {text, kind: /[1-9]/.test(text) ? sign(value) : ""};
};

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

// A table anew. columns: [heading, kind: "text", "says" or nothing]; rows of cells: text, or {text, kind, bar: 0..1}.
function table(target, columns, rows, empty = "nothing yet") {
  const head = element("tr"), body = element("tbody"), top = element("thead");
  for (const [name, kind = ""] of columns) head.append(element("th", name, kind ? "text" : ""));
  for (const cells of rows) {
    const row = element("tr");
    cells.forEach((cell, index) => {
      const {text, kind = "", bar} = known(cell) && typeof cell === "object" ? cell : {text: cell};
      const style = columns[index][1];
      const data = element("td", text, `${kind} ${style ? "text" : ""} ${style === "says" ? "says" : ""}`.trim());
      if (bar !== undefined) {
        const outer = element("span", undefined, "bar"), inner = element("i", undefined, bar >= 0.9 ? "bad" : bar > 0.7 ? "warn" : "");
        inner.style.width = `${Math.max(Math.min(bar, 1), 0) * 100}%`;
        outer.append(inner); data.append(outer);
      }
      row.append(data);
    });
    body.append(row);
  }
  if (!rows.length) {
    const row = element("tr"), data = element("td", empty, "quiet text");
    data.colSpan = columns.length; row.append(data); body.append(row);
  }
  top.append(head);
  target.replaceChildren(top, body);
}

function tile(name, figure, kind, note) {
  const made = element("div", undefined, "tile");
  made.append(element("div", name, "name"), element("div", figure, `figure ${kind}`), element("div", note, "note"));
  return made;
}

// --- the head, problems, tiles ---------------------------------------------------------------------------------------
function drawHead({set, problems}) {
  const health = byId("health"), button = byId("switch"), kinds = [...new Set(set.venues.map(venue => venue.environment))];
  byId("instance").textContent = set.instance;
  byId("time").textContent = `${set.time.replace("T", " ").slice(0, 19)} UTC`;
  byId("environment").textContent = kinds.join(", ").toUpperCase();
  byId("environment").className = `pill ${kinds.includes("live") ? "loud" : "quiet"}`;
  const worst = problems.some(one => one.severity === "critical") ? "bad" : "warn";
  health.textContent = problems.length ? `${problems.length} problem${problems.length > 1 ? "s" : ""}` : "healthy";
  health.className = `pill ${problems.length ? worst : "good"}`;
  button.textContent = set.kill_switch.on ? "KILL SWITCH ON" : "kill switch off";
  button.className = `pill ${set.kill_switch.on ? "loud" : "quiet"}`;
  document.title = `${problems.length ? `(${problems.length}) ` : ""}corelane ${set.instance}`;
  byId("problems").hidden = !problems.length;
  table(byId("problems").querySelector("table"), [["severity", "text"], ["what", "says"], ["since (UTC)", "text"], ["rule", "text"]],
    problems.map(one => [{text: one.severity, kind: one.severity === "critical" ? "bad" : "warn"}, one.text,
      one.since.slice(11, 19), {text: one.rule, kind: "quiet"}]));
}

function drawTiles({set}) {
  const profits = new Map(), ready = set.processes.filter(one => ["READY", "PAUSED"].includes(one.state) && !isSilent(one)).length;
  for (const one of set.strategies) {
    const sum = profits.get(one.currency) ?? {profit: 0, fees: 0, all: true};
    sum.profit += one.profit ?? 0; sum.fees += one.fees; sum.all &&= known(one.profit);
    profits.set(one.currency, sum);
  }
  const orders = set.venues.flatMap(venue => venue.orders), unknown = orders.filter(one => one.unknown).length;
  const fills = set.strategies.reduce((sum, one) => sum + one.fills, 0);
  const tick = set.hops.find(hop => hop.name === "tick_to_request"), reply = set.hops.find(hop => hop.name === "send_to_reply");
  const made = [...profits].map(([currency, sum]) =>
    tile(`Profit, ${currency}`, sum.all ? money(sum.profit, currency) : "–", sign(sum.profit), `fees ${money(sum.fees, currency)}`));
  made.push(
    tile("Open orders", number(orders.length, 0), unknown ? "bad" : "", unknown ? `${unknown} of unknown fate` : `${number(fills, 0)} fills so far`),
    tile("Tick to request", tick ? duration(tick.total.p50) : "–", "", tick ? `p99 ${duration(tick.total.p99)}` : "no order yet"),
    tile("Send to reply", reply ? duration(reply.total.p50) : "–", "", reply ? `p99 ${duration(reply.total.p99)}` : "no order yet"),
    tile("Processes ready", `${ready} of ${set.processes.length}`, ready === set.processes.length ? "good" : "warn",
         `${set.processes.reduce((sum, one) => sum + one.restarts, 0)} restarts`));
  byId("tiles").replaceChildren(...made);
}

// --- markets ---------------------------------------------------------------------------------------------------------
function card(name) {
  if (!cards.has(name)) {
    const section = element("section", undefined, "market"), title = element("h2", name), note = element("small");
    const holder = element("div"), ladder = element("div", undefined, "ladder"), says = element("div", undefined, "says quiet");
    title.append(" ", note); section.append(title, holder, ladder, says); byId("markets").append(section);
    cards.set(name, {note, ladder, says, holder, decimals: 2});
    cards.get(name).chart = new Chart(holder, value => number(value, cards.get(name).decimals), {grain: () => 10 ** -cards.get(name).decimals});
  }
  return cards.get(name);
}

function drawMarkets(set, begin, end) {
  for (const venue of set.venues) for (const market of venue.markets) {
    const name = `${venue.name}:${market.symbol}`, made = card(name);
    const own = set.strategies.filter(one => one.instrument === name);
    made.decimals = market.price_decimals;
    made.note.textContent = market.valid ? `mark ${number(market.mark, market.price_decimals)}` : `no book: ${market.status}`;
    made.note.className = market.valid ? "" : "bad";
    const held = market.position;
    made.says.textContent = `position ${plain(held)}` + (held === null ? "" : ` (told ${age(market.position_age_ms)} ago)`)
      + (held ? ` from ${number(market.entry_price, market.price_decimals)}` : "")
      + `, frame ${age(market.age_ms)} ago`;
    drawLadder(made.ladder, market, own);
    const lines = ["bid", "ask", "own bid", "own ask"].map((label, index) => ({name: label, colour: index % 2, dashed: index > 1,
      points: points.map(point => [point.at, point.markets[name]?.[index] ?? null])}));
    made.chart.draw(lines, begin, end, marks.get(name) ?? []);
  }
}

function note(fill) {
  if (!marks.has(fill.instrument)) marks.set(fill.instrument, []);
  const kept = marks.get(fill.instrument), buy = fill.side === "BUY";
  kept.push({time: Date.parse(fill.time), value: fill.price, kind: buy ? "bid" : "ask",
    text: `${buy ? "bought" : "sold"} ${plain(fill.quantity)} at ${plain(fill.price)}, ${fill.liquidity.toLowerCase()}`});
  if (kept.length > MARKS_KEPT) kept.shift();
}

function drawLadder(ladder, market, own) {
  const most = Math.max(...market.bids.map(level => level[1]), ...market.asks.map(level => level[1]), 1e-12);
  const line = ([price, quantity], side) => {
    const made = element("div", undefined, side), depth = element("i");
    depth.style.width = `${100 * quantity / most}%`;
    if (own.some(one => one[side] === price)) { made.classList.add("own"); made.title = "an order of ours stands here"; }
    made.append(depth, element("span", number(price, market.price_decimals)), element("span", number(quantity, market.quantity_decimals), "quantity"));
    return made;
  };
  const spread = market.valid ? `spread ${number(market.asks[0][0] - market.bids[0][0], market.price_decimals)}` : "withdrawn";
  ladder.replaceChildren(...market.asks.toReversed().map(level => line(level, "ask")), element("div", spread, "spread"),
    ...market.bids.map(level => line(level, "bid")));
}

// --- charts of strategies and hops -----------------------------------------------------------------------------------
function chart(id, show, options) {
  if (!charts.has(id)) charts.set(id, new Chart(byId(id), show, options));
  return charts.get(id);
}

function drawCharts(set, begin, end) {
  const several = new Set(set.strategies.map(one => one.name)).size < set.strategies.length;
  const keys = set.strategies.map(one => `${one.name} ${one.instrument}`);
  const label = (one, unit) => `${several ? `${one.name} ${one.instrument.split(":")[1]}` : one.name}${unit ? `, ${unit}` : ""}`;
  const lines = (index, unit, by) => keys.map((key, place) => ({name: label(set.strategies[place], unit(set.strategies[place])),
    colour: place % COLOURS, dashed: place >= COLOURS,
    points: points.map(point => [point.at, known(point.strategies[key]?.[index]) ? point.strategies[key][index] / by(key) : null])}));
  // Currencies of different size share one chart only in dollars: the mark of an inverse contract is the rate.
  const rate = key => { const one = set.strategies[keys.indexOf(key)]; return 1 / dollars(set, one); };
  chart("profit", value => number(value), {zero: true}).draw(lines(0, () => "$", rate), begin, end);
  const largest = key => Math.max(...points.map(point => Math.abs(point.strategies[key]?.[1] ?? 0)), 1e-12);
  chart("positions", value => `${number(value * 100, 0)} %`, {zero: true}).draw(lines(1, () => "", largest), begin, end);
  const hops = HOPS.filter(hop => set.hops.some(one => one.name === hop));
  chart("hops", value => duration(value), {logarithmic: true}).draw(hops.map((hop, place) => ({name: words(hop), colour: place % COLOURS,
    dashed: false, points: points.map(point => [point.at, point.hops[hop]?.[0] ?? null])})), begin, end);
}

function dollars(set, one) {
  const market = set.venues.flatMap(venue => venue.markets.map(line => [`${venue.name}:${line.symbol}`, line])).find(([name]) => name === one.instrument)?.[1];
  return ["BTC", "ETH", "SOL"].includes(one.currency) && market?.mark ? market.mark : 1;
}

function strategyState(one) {
  if (one.text && one.state !== "FAILED" && !one.text.startsWith("refused: ")) return {text: `${one.state}, only reducing`, kind: "bad"};
  return one.stale ? {text: `${one.state}, stale data`, kind: "warn"} : {text: one.state, kind: STATES[one.state] ?? "warn"};
}

// --- tables ----------------------------------------------------------------------------------------------------------
function drawTables(set) {
  const all = pick => set.venues.flatMap(venue => pick(venue).map(line => [venue, line]));
  const decimals = new Map(all(venue => venue.markets).map(([venue, one]) => [`${venue.name}:${one.symbol}`, one.price_decimals]));
  const price = (value, instrument) => number(value, decimals.get(instrument) ?? 2);
  const says = set.strategies.some(one => one.text);
  table(byId("strategies"), [["strategy", "text"], ["instrument", "text"], ["state", "text"], ["position"], ["may become"], ["average"],
    ["realized"], ["unrealized"], ["fees"], ["profit"], ["own bid"], ["own ask"], ["open"], ["fills"], ...(says ? [["says", "says"]] : [])],
    set.strategies.map(one => [one.name, one.instrument, strategyState(one),
      plain(one.position), {text: `${plain(one.lowest)} … ${plain(one.highest)}`, kind: "quiet"}, one.position ? price(one.average_price, one.instrument) : "–",
      signed(one.realized_pnl, one.currency), signed(one.unrealized_pnl, one.currency), money(one.fees, one.currency), {text: `${money(one.profit, one.currency)} ${one.currency}`, kind: sign(one.profit)},
      {text: known(one.bid) ? `${plain(one.bid_quantity)} @ ${price(one.bid, one.instrument)}` : "–", kind: "bid"},
      {text: known(one.ask) ? `${plain(one.ask_quantity)} @ ${price(one.ask, one.instrument)}` : "–", kind: "ask"}, one.open_orders, number(one.fills, 0), ...(says ? [one.text] : [])]));

  const side = one => ({text: one.side.toLowerCase(), kind: one.side === "BUY" ? "bid" : "ask"});
  byId("orders-note").textContent = set.venues.every(venue => venue.orders_complete) ? "" : "some events were missed: until the next recovery some may lack, or be over";
  table(byId("orders"), [["instrument", "text"], ["strategy", "text"], ["side", "text"], ["price"], ["quantity"], ["filled"], ["state", "text"], ["told"]],
    all(venue => venue.orders).map(([, one]) => [one.instrument, one.strategy, side(one), price(one.price, one.instrument), plain(one.quantity), plain(one.filled),
      {text: one.unknown ? "UNKNOWN" : words(one.state), kind: one.unknown ? "bad" : STATES[one.state] ?? ""}, `${span(one.age_s)} ago`]), "no order is open");
  table(byId("fills"), [["time (UTC)", "text"], ["instrument", "text"], ["strategy", "text"], ["side", "text"], ["price"], ["quantity"], ["", "text"]],
    all(venue => venue.fills).map(([, one]) => one).sort((one, other) => one.time < other.time ? 1 : -1).map(one => [one.time.slice(11, 23), one.instrument, one.strategy,
      side(one), price(one.price, one.instrument), plain(one.quantity), {text: one.liquidity.toLowerCase(), kind: "quiet"}]), "no fill yet");

  table(byId("processes"), [["process", "text"], ["state", "text"], ["heartbeat"], ["up"], ["restarts"], ["pid"], ["core"], ["links", "text"], ["says", "says"]],
    set.processes.map(one => {
      const silent = isSilent(one);
      return [one.name, {text: silent ? `${one.state}, silent` : one.state === "NONE" ? "never started" : one.state, kind: silent ? "bad" : STATES[one.state] ?? "warn"},
        {text: one.pid ? age(one.age_ms) : "–", kind: silent ? "bad" : ""}, one.pid ? span(one.uptime_s) : "–", {text: one.restarts, kind: one.restarts ? "warn" : ""},
        one.pid || "–", one.core < 0 ? "any" : one.core,
        {text: one.connections.map(link => link.state.toLowerCase()).join(" "), kind: one.connections.every(link => link.state === "UP") ? "good" : "warn"}, one.text];
    }));
  for (const [id, heading, stages] of [["latency", "hop", false], ["stages", "stage", true]])
    table(byId(id), [[heading, "text"], ["count"], ["p50"], ["p90"], ["p99"], ["p99.9"], ["max"]],
      set.hops.filter(one => one.name.includes(".") === stages).map(({name, total}) => [words(name), number(total.count, 0),
        micro(total.p50), micro(total.p90), micro(total.p99), micro(total.p999), micro(total.max)]));

  table(byId("balances"), [["venue", "text"], ["currency", "text"], ["wallet"], ["available"], ["unrealized"], ["told"]],
    all(venue => venue.balances).map(([venue, one]) => [venue.name, one.currency, number(one.wallet, 4), number(one.available, 4), signed(one.unrealized_pnl, one.currency), `${age(one.age_ms)} ago`]));
  table(byId("budgets"), [["limit", "text"], ["used"], ["of"], ["", "text"]],
    all(venue => venue.budgets ?? []).map(([venue, one]) => [`${venue.name}: ${one.name.replace(/ [0-9a-f]{16}/, "")}`, {text: number(one.used, 0), bar: one.limit ? one.used / one.limit : 0}, number(one.limit, 0),
      one.closed_s > 0 ? {text: `shut for ${one.closed_s.toFixed(0)} s`, kind: "bad"} : one.quiet_s > 0 ? {text: `cancels only, ${one.quiet_s.toFixed(0)} s`, kind: "bad"} : ""]));
  table(byId("rings"), [["ring", "text"], ["published"], ["waiting"], ["slots"]],
    all(venue => venue.rings).map(([, one]) => [one.name, number(one.published, 0), known(one.depth) ? {text: number(one.depth, 0), bar: one.depth / one.capacity} : "–", number(one.capacity, 0)]));
}

// --- looking ---------------------------------------------------------------------------------------------------------
async function ask(path) {
  const reply = await fetch(path, {cache: "no-store", signal: AbortSignal.timeout(5000)});
  if (!reply.ok) throw new Error(String(reply.status));
  return reply.json();
}

async function look() {
  try {
    const [status, news] = await Promise.all([ask("status"), ask(`history?since=${encodeURIComponent(lastTime)}`)]);
    byId("gone").textContent = "";
    if (news.length) {
      lastTime = news[news.length - 1].time;
      for (const point of news) point.fills.toReversed().forEach(note);
      points = points.concat(news.map(point => ({...point, at: Date.parse(point.time)})));
      points = points.filter(point => point.at >= points[points.length - 1].at - WINDOW_MS);
    }
    if (status.set.time !== lastLook) {
      lastLook = status.set.time;
      const end = points.length ? points[points.length - 1].at : Date.parse(lastLook);
      const begin = Math.min(points.length ? points[0].at : end, end - SHORTEST_MS);
      drawHead(status); drawTiles(status); drawMarkets(status.set, begin, end); drawCharts(status.set, begin, end); drawTables(status.set);
    }
    document.body.dataset.drawn = "yes";
  } catch (failure) {
    if (!(failure instanceof TypeError && failure.message.includes("fetch")) && failure.name !== "TimeoutError" && failure.name !== "Error") console.error(failure);
    byId("gone").textContent = `The monitor does not answer; what you see is old${lastLook ? ` (of ${lastLook.slice(11, 19)} UTC)` : ""}.`;
    byId("health").className = "pill bad"; byId("health").textContent = "no answer";
  }
  setTimeout(look, 1000);
}
look();
