"use strict";
// The page of one simulated run. Everything shown comes from the data element; nothing is fetched.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const [SEND, DELIVER, DROP, KILL, POWER, START, ROLE, FSYNC_BEGIN, FSYNC_END, COMMIT, APPLY, DURABLE, PACKET, FAULT, VIOLATION,
  CLIENT, MEMBERSHIP, SNAPSHOT, NOTE] = Array.from({ length: 19 }, (_, at) => at + 1);
const LEADER = 3;
const GUTTER = 96, AXIS = 26, WORLD_H = 40, NODE_H = 92, CLIENT_H = 44, PAD = 8;

// -- events: from columns to objects, with their effects -----------------------------------------------------------------

const events = [];
const byNumber = new Map();
let number = 0, time = 0;
for (let at = 0; at < data.number.length; at++) {
  number += data.number[at];
  time += data.time[at];
  const causes = data.causes[at];
  const event = {
    at, number, time, lane: data.lane[at], kind: data.kind[at], text: data.texts[data.text[at]], a: data.a[at], b: data.b[at],
    causes: (Array.isArray(causes) ? causes : causes ? [causes] : []).map((back) => number - back), effects: [], rank: 0,
  };
  events.push(event);
  byNumber.set(number, event);
}
let rank = -1, last = -1;
for (const event of events) {
  if (event.time !== last) { rank++; last = event.time; }
  event.rank = rank;
  event.causes = event.causes.map((cause) => byNumber.get(cause)).filter(Boolean);
  if (event.kind === VIOLATION && event.lane === 0) {
    // Laws are checked after every event: what happened last, and at the same instant, showed it.
    for (let at = event.at - 1; at >= 0 && (events[at].time === event.time || at === event.at - 1); at--) {
      if (!event.causes.includes(events[at])) event.causes.push(events[at]);
    }
  }
  for (const cause of event.causes) cause.effects.push(event);
}
const rankTimes = [];
for (const event of events) rankTimes[event.rank] = event.time;
const lanes = data.lanes.map(([id, name], at) => ({ id, name, at, events: [], bands: [], downs: [], syncs: [], lines: {}, flows: [], y: 0, h: 0 }));
const isNode = (lane) => lane.id > 0 && lane.id < 1000000;
const isClient = (lane) => lane.id >= 1000000;
for (const event of events) lanes[event.lane].events.push(event);
const violation = events.findLast((event) => event.kind === VIOLATION) || null;
const lastEvent = events[events.length - 1];

// -- what a lane shows beside its events ---------------------------------------------------------------------------------

const arrows = [];   // { from, to, kind }: one a delivery, a drop, or a SEND that leads nowhere
for (const event of events) {
  if (event.kind === DELIVER || event.kind === DROP) {
    const from = event.causes.find((cause) => (cause.kind === SEND || cause.kind === PACKET) && cause.lane !== event.lane) ||
      event.causes.find((cause) => cause.kind === SEND);
    if (from) {
      const isTwice = event.kind === DELIVER && from.delivered;
      from.delivered = from.delivered || event.kind === DELIVER;
      arrows.push({ from, to: event, kind: event.kind === DROP ? "drop" : isTwice ? "twice" : "message" });
    }
  } else if (event.kind === PACKET && event.b === 1) {
    const from = event.causes.find((cause) => cause.lane !== event.lane);
    if (from) arrows.push({ from, to: event, kind: "packet" });
  } else if (event.kind === PACKET && event.b === 0) {
    const to = event.effects.find((effect) => effect.lane !== event.lane && effect.kind !== DELIVER && effect.kind !== DROP);
    if (to) arrows.push({ from: event, to, kind: "packet" });
  }
}
const OURS_TO_NODE = /^(PUBLISH|PUBREL|SUBSCRIBE|UNSUBSCRIBE)/, OURS_TO_CLIENT = /^(PUBACK|PUBREC|PUBCOMP|SUBACK|UNSUBACK)/;
for (const lane of lanes) {
  let band = null, down = null;
  const end = (event) => { if (band) { band.to = event; lane.bands.push(band); band = null; } };
  const waiting = new Map(), flows = new Map();
  for (const event of lane.events) {
    if (event.kind === KILL || event.kind === POWER) {
      end(event);
      for (const begin of waiting.values()) lane.syncs.push({ begin, end: event, isLost: true });
      waiting.clear();
      down = { from: event, to: null };
      for (const line of Object.values(lane.lines)) line.push({ event, value: null });
    } else if (event.kind === START && isNode(lane)) {
      if (down) { down.to = event; lane.downs.push(down); down = null; }
      end(event);
      band = { from: event, to: null, role: 0, term: 0 };
    } else if (event.kind === ROLE) {
      end(event);
      band = { from: event, to: null, role: event.a, term: event.b };
    } else if (event.kind === FSYNC_BEGIN) waiting.set(event.number, event);
    else if (event.kind === FSYNC_END) {
      const begin = event.causes.find((cause) => cause.kind === FSYNC_BEGIN) || event;
      waiting.delete(begin.number);
      lane.syncs.push({ begin, end: event, isFailed: event.b === 1 });
    } else if (event.kind === COMMIT || event.kind === APPLY || event.kind === DURABLE) {
      (lane.lines[event.kind] ||= []).push({ event, value: event.a });
    } else if (event.kind === PACKET && event.a) {
      const isOurs = event.b === 0 ? OURS_TO_NODE.test(event.text) : OURS_TO_CLIENT.test(event.text);
      const key = (isOurs ? "o" : "i") + event.a;
      let flow = flows.get(key);
      const begins = /^(PUBLISH|SUBSCRIBE|UNSUBSCRIBE)/.test(event.text);
      if (!flow || (begins && flow.isDone)) {
        flow = { id: event.a, isOurs, events: [], isDone: false, row: 0 };
        flows.set(key, flow);
        lane.flows.push(flow);
      }
      flow.events.push(event);
      flow.isDone ||= /^(PUBACK|PUBCOMP|SUBACK|UNSUBACK)/.test(event.text);
      event.flow = flow;
    }
  }
  if (band) { band.to = lastEvent; lane.bands.push(band); }
  if (down) { down.to = lastEvent; lane.downs.push(down); }
  for (const begin of waiting.values()) lane.syncs.push({ begin, end: lastEvent, isLost: true });
  const rows = [];
  for (const flow of lane.flows) {
    let row = rows.findIndex((until) => until <= flow.events[0].rank);
    if (row < 0) row = rows.length;
    rows[row] = flow.events[flow.events.length - 1].rank + 1;
    flow.row = row % 4;
  }
}
const faults = [];   // of the world's lane: spans from a beginning to its end
for (const event of events) {
  if (event.kind !== FAULT) continue;
  if (event.a === 2) {
    const open = event.causes.find((cause) => cause.kind === FAULT);
    const span = faults.find((fault) => fault.from === open);
    if (span) span.to = event;
  } else faults.push({ from: event, to: event });
}

// -- the view ------------------------------------------------------------------------------------------------------------

const GROUPS = [["messages", [SEND, DELIVER, DROP]], ["packets", [PACKET, CLIENT]], ["fsyncs", [FSYNC_BEGIN, FSYNC_END]],
  ["watermarks", [COMMIT, APPLY, DURABLE]], ["faults", [FAULT, KILL, POWER]], ["notes", [NOTE, MEMBERSHIP, SNAPSHOT]]];
const hiddenKinds = new Set();
let isEven = false, crowd = 1, view = [0, 1], selected = null, hovered = null, cone = null, found = new Set(), colours = {}, width = 0;
const place = (event) => (isEven ? event.rank : event.time);
const whole = () => {
  const low = place(events[0]), high = place(lastEvent), room = Math.max(high - low, 1) * 0.02;
  return [low - room, high + room];
};
const xOf = (event) => GUTTER + ((place(event) - view[0]) / (view[1] - view[0])) * (width - GUTTER - PAD);
const baseline = (lane) => lane.y + (isNode(lane) ? 20 + lane.h * 0.12 : lane.h / 2);
const rowOf = (lane, flow) => lane.y + ((flow.row + 1) * lane.h) / 5;
const yOf = (event) => (event.flow ? rowOf(lanes[event.lane], event.flow) : baseline(lanes[event.lane]));
const isShown = (event) => !hiddenKinds.has(event.kind);
const timeText = (us) => (us / 1000).toFixed(us % 1000 ? 3 : 0) + " ms";

function coneOf(event) {
  const before = new Set(), after = new Set();
  const walk = (from, seen, next) => {
    const stack = [from];
    while (stack.length) for (const other of next(stack.pop())) if (!seen.has(other)) { seen.add(other); stack.push(other); }
  };
  walk(event, before, (one) => one.causes);
  walk(event, after, (one) => one.effects);
  return { event, before, after };
}

function layout() {
  const natural = (lane) => (isNode(lane) ? NODE_H : isClient(lane) ? CLIENT_H : WORLD_H);
  const room = ($("scroll").clientHeight - AXIS - PAD - 1) / lanes.reduce((sum, lane) => sum + natural(lane), 0);
  const stretch = Math.min(2, Math.max(1, room));
  let y = AXIS;
  for (const lane of lanes) {
    lane.y = y;
    lane.h = natural(lane) * stretch;
    y += lane.h;
  }
  return Math.floor(y + PAD);
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "sheet", "ink", "soft", "line", "hair", "grid", "accent", "bad", "bad-wash", "before", "after", "message",
    "twice", "packet-in", "packet-out", "sync", "down", "commit", "apply", "durable", "band-light", "band-text"]) {
    colours[name] = style.getPropertyValue("--" + name).trim();
  }
}
const termHue = (term) => (205 + term * 67) % 360;
const bandColour = (band) => {
  const light = colours["band-light"];
  if (band.role === LEADER) return `hsl(${termHue(band.term)} 50% ${light})`;
  if (band.role === 1 || band.role === 2) return `hsl(${termHue(band.term)} 50% ${light} / .55)`;
  return `hsl(${termHue(band.term)} 45% ${light} / .22)`;
};

// -- drawing -------------------------------------------------------------------------------------------------------------

const canvas = $("picture"), pen = canvas.getContext("2d");
function prepare(element, context, height) {
  const ratio = window.devicePixelRatio || 1;
  const wide = element.parentElement.clientWidth;
  element.style.height = height + "px";
  if (element.width !== Math.round(wide * ratio) || element.height !== Math.round(height * ratio)) {
    element.width = Math.round(wide * ratio);
    element.height = Math.round(height * ratio);
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, wide, height);
  return wide;
}
const strength = (event) => {
  if (cone && event !== cone.event && !cone.before.has(event) && !cone.after.has(event)) return hovered ? 0.1 : 0.28;
  return found.size && !cone && !found.has(event) ? 0.15 : 1;
};
const tint = (event, plain) => (!cone ? plain : event === cone.event ? colours.ink : cone.before.has(event) ? colours.before : cone.after.has(event) ? colours.after : plain);

function draw() {
  const height = Math.max(layout(), $("scroll").clientHeight);
  width = prepare(canvas, pen, height);
  pen.font = "11px system-ui, 'Liberation Sans', sans-serif";
  pen.textBaseline = "middle";
  drawAxis(height);
  pen.save();
  pen.beginPath();
  pen.rect(GUTTER, 0, width - GUTTER, height);
  pen.clip();
  for (const lane of lanes) drawGround(lane);
  const inView = arrows.filter(({ from, to }) => xOf(to) >= GUTTER && xOf(from) <= width);
  crowd = Math.min(1, Math.max(0.12, 500 / Math.max(1, inView.length)));   // Many arrows are weather, few are a story.
  for (const arrow of inView) drawArrow(arrow);
  for (const lane of lanes) drawLane(lane);
  if (!hiddenKinds.has(FAULT)) drawFaults(height);
  for (const event of events) drawEvent(event);
  if (inView.length < 150) drawLabels();
  if (violation) drawViolation(height);
  pen.restore();
  drawNames();
  drawOverview();
}

function drawAxis(height) {
  pen.strokeStyle = colours.hair;
  pen.fillStyle = colours.soft;
  pen.textAlign = "center";
  const span = view[1] - view[0], steps = Math.max(2, Math.floor((width - GUTTER) / 110));
  const raw = span / steps, power = 10 ** Math.floor(Math.log10(raw));
  let step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  if (isEven) step = Math.max(1, Math.round(step));
  for (let mark = Math.ceil(view[0] / step) * step; mark < view[1]; mark += step) {
    if (mark < 0) continue;
    const x = GUTTER + ((mark - view[0]) / span) * (width - GUTTER - PAD);
    pen.beginPath(); pen.moveTo(x, AXIS); pen.lineTo(x, height); pen.stroke();
    const us = isEven ? rankTimes[mark] : mark;
    if (us !== undefined) pen.fillText(us >= 10e6 && step >= 1e5 && !isEven ? (us / 1e6).toFixed(1) + " s" : (us / 1000).toFixed(step < 1000 || isEven ? 1 : 0) + " ms", x, AXIS / 2);
  }
}

function drawGround(lane) {
  pen.strokeStyle = colours.hair;
  pen.globalAlpha = 1;
  pen.beginPath(); pen.moveTo(GUTTER, lane.y + lane.h); pen.lineTo(width, lane.y + lane.h); pen.stroke();
  for (const down of lane.downs) {
    pen.fillStyle = colours.down;
    pen.fillRect(xOf(down.from), lane.y + 2, xOf(down.to) - xOf(down.from), lane.h - 4);
  }
  if (!isNode(lane)) return;
  pen.strokeStyle = colours.line;
  pen.beginPath(); pen.moveTo(GUTTER, baseline(lane)); pen.lineTo(width, baseline(lane)); pen.stroke();
}

function drawLane(lane) {
  for (const band of lane.bands) drawBand(lane, band);
  if (isNode(lane)) {
    if (!hiddenKinds.has(FSYNC_BEGIN)) for (const sync of lane.syncs) drawSync(lane, sync);
    if (!hiddenKinds.has(COMMIT)) drawWatermarks(lane);
  }
  if (!hiddenKinds.has(PACKET)) for (const flow of lane.flows) drawFlow(lane, flow);
}

function drawBand(lane, band) {
  const x = Math.max(GUTTER, xOf(band.from)), wide = Math.min(width, xOf(band.to)) - x;
  if (wide <= 0) return;
  pen.globalAlpha = 1;
  pen.fillStyle = colours.paper;
  pen.fillRect(x, lane.y + 3, Math.max(wide, 1), 15);
  pen.fillStyle = bandColour(band);
  pen.fillRect(x, lane.y + 3, Math.max(wide, 1), 15);
  if (band.role === 1 || band.role === 2) {
    pen.strokeStyle = colours.sheet;
    pen.save(); pen.beginPath(); pen.rect(x, lane.y + 3, wide, 15); pen.clip(); pen.beginPath();
    for (let at = x - 15; at < x + wide; at += 6) { pen.moveTo(at, lane.y + 18); pen.lineTo(at + 15, lane.y + 3); }
    pen.stroke(); pen.restore();
  }
  const label = `${data.roles[band.role]} · term ${band.term}`;
  if (pen.measureText(label).width + 10 < wide) {
    pen.fillStyle = band.role === 0 || band.role === 4 ? colours.soft : colours["band-text"];
    pen.textAlign = "left";
    pen.fillText(label, x + 5, lane.y + 11);
  }
}

function drawSync(lane, sync) {
  const x = xOf(sync.begin), end = xOf(sync.end);
  if (end < GUTTER || x > width) return;
  pen.globalAlpha = strength(sync.begin);
  pen.strokeStyle = pen.fillStyle = sync.isFailed ? colours.bad : colours.sync;
  pen.lineWidth = 1;
  if (sync.isLost) { pen.setLineDash([2, 2]); pen.strokeRect(x, baseline(lane) + 11.5, Math.max(end - x, 2), 6); pen.setLineDash([]); }
  else pen.fillRect(x, baseline(lane) + 11, Math.max(end - x, 2), 7);
  pen.globalAlpha = 1;
}

let marks = [0, 1];
function scaleWatermarks() {
  let low = Infinity, high = -Infinity;
  for (const lane of lanes) for (const line of Object.values(lane.lines)) {
    let before = null;
    for (const point of line) {
      if (point.value === null) continue;
      const at = place(point.event);
      if (at < view[0]) { before = point.value; continue; }
      if (at > view[1]) break;
      low = Math.min(low, point.value); high = Math.max(high, point.value);
    }
    if (before !== null) { low = Math.min(low, before); high = Math.max(high, before); }
  }
  marks = low <= high ? [low, Math.max(high, low + 1)] : [0, 1];
}

function drawWatermarks(lane) {
  if (lane === lanes.find(isNode)) scaleWatermarks();
  const bottom = lane.y + lane.h - 6, tall = bottom - baseline(lane) - 24, shift = { [DURABLE]: 0, [COMMIT]: 1.5, [APPLY]: 3 };
  const names = { [DURABLE]: "durable", [COMMIT]: "commit", [APPLY]: "apply" };
  for (const kind of [DURABLE, COMMIT, APPLY]) {
    const line = lane.lines[kind];
    if (!line) continue;
    pen.strokeStyle = colours[names[kind]];
    pen.lineWidth = 1.5;
    pen.globalAlpha = cone ? 0.35 : 0.95;
    pen.beginPath();
    let y = null;
    for (const { event, value } of line) {
      const x = xOf(event);
      if (y !== null) pen.lineTo(x, y);
      const isFirst = y === null;
      y = value === null ? null : bottom - ((value - marks[0]) / (marks[1] - marks[0])) * tall + shift[kind];
      if (y !== null) { if (isFirst) pen.moveTo(x, y); else pen.lineTo(x, y); }
    }
    if (y !== null) pen.lineTo(xOf(lastEvent), y);
    pen.stroke();
  }
  pen.lineWidth = 1;
  pen.globalAlpha = 1;
}

function drawFlow(lane, flow) {
  const first = flow.events[0], end = flow.events[flow.events.length - 1];
  const x = xOf(first), y = rowOf(lane, flow);
  if (xOf(end) < GUTTER || x > width) return;
  pen.globalAlpha = cone ? 0.12 : found.size ? 0.2 : 0.7;
  pen.strokeStyle = flow.isOurs ? colours["packet-out"] : colours["packet-in"];
  pen.lineWidth = 2;
  if (!flow.isDone) pen.setLineDash([3, 3]);
  pen.beginPath(); pen.moveTo(x, y); pen.lineTo(Math.max(xOf(end), x + 2), y); pen.stroke();
  pen.setLineDash([]);
  pen.lineWidth = 1;
  pen.globalAlpha = 1;
}

function drawFaults(height) {
  const world = lanes[0], until = [-Infinity, -Infinity];
  for (const { from, to } of faults) {
    const x = xOf(from), end = xOf(to);
    if (end < GUTTER || x > width) continue;
    pen.globalAlpha = strength(from);
    pen.fillStyle = colours.bad;
    if (end > x + 1) { pen.save(); pen.globalAlpha *= 0.06; pen.fillRect(x, AXIS, end - x, height - AXIS); pen.restore(); }
    const row = until[0] <= x ? 0 : until[1] <= x ? 1 : -1, y = world.y + 6 + Math.max(row, 0) * 16;
    pen.fillRect(x, y, Math.max(end - x, 2), 4);
    if (row >= 0) {
      pen.textAlign = "left";
      pen.fillText(from.text, Math.max(x, GUTTER) + 4, y + 10);
      until[row] = Math.max(end, x + 8 + pen.measureText(from.text).width);
    }
  }
  pen.globalAlpha = 1;
}

function drawArrow({ from, to, kind }) {
  if (!isShown(kind === "packet" ? { kind: PACKET } : to) && !isShown(from)) return;
  if (hiddenKinds.has(kind === "packet" ? PACKET : SEND)) return;
  const x = xOf(from), y = yOf(from), end = xOf(to), low = yOf(to);
  if (Math.max(x, end) < GUTTER || Math.min(x, end) > width) return;
  const alpha = Math.min(strength(from), strength(to));
  pen.globalAlpha = alpha < 1 ? alpha * crowd : cone ? 1 : kind === "message" || kind === "packet" ? 0.8 * crowd : Math.min(0.9, 1.6 * crowd);
  const plain = kind === "twice" ? colours.twice : kind === "drop" ? colours.bad : kind === "packet" ? (from.lane > to.lane ? colours["packet-out"] : colours["packet-in"]) : colours.message;
  pen.strokeStyle = pen.fillStyle = alpha === 1 && cone ? tint(to === cone.event ? from : to, plain) : plain;
  let tipX = end, tipY = low;
  if (kind === "drop") {
    pen.setLineDash([4, 3]);
    const target = lanes.find((lane) => lane.id === from.a);
    if (to.lane === from.lane && target) { tipY = (y + baseline(target)) / 2; tipX = end + 6; } else { tipX = x + (end - x) * 0.8; tipY = y + (low - y) * 0.8; }
  }
  pen.beginPath(); pen.moveTo(x, y); pen.lineTo(tipX, tipY); pen.stroke();
  pen.setLineDash([]);
  if (kind === "drop") {
    pen.beginPath(); pen.moveTo(tipX - 3, tipY - 3); pen.lineTo(tipX + 3, tipY + 3); pen.moveTo(tipX + 3, tipY - 3); pen.lineTo(tipX - 3, tipY + 3); pen.stroke();
  } else {
    const angle = Math.atan2(tipY - y, tipX - x);
    pen.beginPath(); pen.moveTo(tipX, tipY);
    pen.lineTo(tipX - 7 * Math.cos(angle - 0.38), tipY - 7 * Math.sin(angle - 0.38));
    pen.lineTo(tipX - 7 * Math.cos(angle + 0.38), tipY - 7 * Math.sin(angle + 0.38));
    pen.fill();
  }
  pen.globalAlpha = 1;
}

const GLYPHS = { [KILL]: "✕", [POWER]: "⚡", [START]: "▶", [MEMBERSHIP]: "⚑", [SNAPSHOT]: "◆" };
function drawEvent(event) {
  if (!isShown(event) || event.kind === FSYNC_BEGIN || event.kind === FSYNC_END || event.kind === FAULT || event.kind === VIOLATION) return;
  const x = xOf(event);
  if (x < GUTTER - 10 || x > width + 10) return;
  const y = yOf(event), lane = lanes[event.lane];
  pen.globalAlpha = strength(event);
  const glyph = GLYPHS[event.kind];
  if (glyph) {
    pen.fillStyle = tint(event, event.kind === KILL || event.kind === POWER ? colours.bad : colours.ink);
    pen.textAlign = "center";
    pen.font = "15px system-ui, 'DejaVu Sans', sans-serif";
    pen.fillText(glyph, x, y);
    pen.font = "11px system-ui, 'Liberation Sans', sans-serif";
  } else if (event.kind === COMMIT || event.kind === APPLY || event.kind === DURABLE) {
    if (cone && strength(event) === 1) { pen.fillStyle = tint(event, colours.ink); pen.fillRect(x - 1, baseline(lane) + 22, 2, lane.y + lane.h - baseline(lane) - 26); }
  } else if (event.kind === ROLE) {
    pen.fillStyle = tint(event, colours.soft);
    pen.fillRect(x - 0.75, lane.y + 3, 1.5, 22);
  } else {
    pen.fillStyle = tint(event, event.kind === PACKET ? (event.flow && !event.flow.isOurs ? colours["packet-in"] : colours["packet-out"]) : event.kind === DROP ? colours.bad : colours.soft);
    pen.beginPath(); pen.arc(x, y, event === selected ? 5 : event.kind === PACKET ? 3 : 2.2, 0, 7); pen.fill();
  }
  if (event === selected) { pen.strokeStyle = colours.ink; pen.beginPath(); pen.arc(x, y, 8, 0, 7); pen.stroke(); }
  pen.globalAlpha = 1;
}

function drawLabels() {
  // Packets by their first words, messages by their first word, where nothing stands there yet.
  const taken = [];
  pen.font = "10px system-ui, 'Liberation Sans', sans-serif";
  pen.textAlign = "left";
  for (const event of events) {
    if ((event.kind !== PACKET && event.kind !== SEND && event.kind !== CLIENT) || !isShown(event)) continue;
    const x = xOf(event) + 6, y = yOf(event) - 8;
    if (x < GUTTER || x > width) continue;
    const text = event.kind === PACKET ? event.text.replace(/ '.*/, "").slice(0, 26) : event.kind === SEND ? event.text.split(" ")[0] : event.text.slice(0, 26);
    const wide = pen.measureText(text).width;
    if (taken.some((box) => Math.abs(box.y - y) < 11 && x < box.end && x + wide > box.x)) continue;
    taken.push({ x, y, end: x + wide + 4 });
    pen.globalAlpha = Math.max(strength(event), 0.35);
    pen.fillStyle = colours.paper;
    pen.fillRect(x - 1, y - 6, wide + 2, 12);
    pen.fillStyle = tint(event, event.kind === SEND ? colours.soft : colours.ink);
    pen.fillText(text, x, y);
  }
  pen.globalAlpha = 1;
  pen.font = "11px system-ui, 'Liberation Sans', sans-serif";
}
const shows = (event) => event.causes.reduce((late, cause) => (cause.number > late.number ? cause : late), event.causes[0] || event);
function drawViolation(height) {
  const x = xOf(violation), y = yOf(violation.lane ? violation : shows(violation));
  pen.strokeStyle = pen.fillStyle = colours.bad;
  pen.lineWidth = 1.5;
  pen.setLineDash([6, 4]); pen.beginPath(); pen.moveTo(x, AXIS); pen.lineTo(x, height); pen.stroke(); pen.setLineDash([]);
  pen.beginPath();
  for (let at = 0; at < 16; at++) pen.lineTo(x + (at % 2 ? 4.5 : 10) * Math.cos((at * Math.PI) / 8), y + (at % 2 ? 4.5 : 10) * Math.sin((at * Math.PI) / 8));
  pen.fill();
  pen.lineWidth = 1;
  const label = data.law, wide = pen.measureText(label).width + 12, middle = Math.min(x, width - wide / 2);
  pen.fillRect(middle - wide / 2, AXIS - 20, wide, 18);
  pen.fillStyle = colours.sheet;
  pen.textAlign = "center";
  pen.fillText(label, middle, AXIS - 11);
}

function drawNames() {
  pen.fillStyle = colours.paper;
  pen.fillRect(0, 0, GUTTER - 1, canvas.height);
  pen.strokeStyle = colours.line;
  pen.beginPath(); pen.moveTo(GUTTER - 0.5, 0); pen.lineTo(GUTTER - 0.5, canvas.height); pen.stroke();
  pen.textAlign = "right";
  for (const lane of lanes) {
    pen.fillStyle = colours.ink;
    pen.font = (isNode(lane) ? "600 " : "") + "13px system-ui, 'Liberation Sans', sans-serif";
    pen.fillText(lane.name, GUTTER - 12, baseline(lane));
    if (isNode(lane) && Object.keys(lane.lines).length) {
      pen.font = "10px system-ui, 'Liberation Sans', sans-serif";
      [["durable", 0], ["commit", 11], ["applied", 22]].forEach(([name, down]) => {
        pen.fillStyle = colours[name === "applied" ? "apply" : name];
        pen.fillText(name, GUTTER - 12, baseline(lane) + 26 + down);
      });
    }
  }
  pen.font = "11px system-ui, 'Liberation Sans', sans-serif";
}

const strip = $("overview"), stripPen = strip.getContext("2d");
function drawOverview() {
  const wide = prepare(strip, stripPen, 46), [low, high] = whole(), span = high - low;
  const x = (value) => GUTTER + ((value - low) / span) * (wide - GUTTER - PAD);
  const bins = new Array(Math.max(1, Math.floor((wide - GUTTER - PAD) / 3))).fill(0);
  for (const event of events) bins[Math.min(bins.length - 1, Math.floor(((place(event) - low) / span) * bins.length))]++;
  const most = Math.max(...bins);
  stripPen.fillStyle = colours.message;
  stripPen.globalAlpha = 0.55;
  bins.forEach((count, at) => { const tall = count ? 3 + 30 * Math.sqrt(count / most) : 0; stripPen.fillRect(GUTTER + at * 3, 41 - tall, 2, tall); });
  stripPen.globalAlpha = 1;
  stripPen.fillStyle = colours.bad;
  for (const event of events) if (event.kind === KILL || event.kind === POWER || event.kind === FAULT) stripPen.fillRect(x(place(event)) - 0.5, 2, 1.5, 6);
  if (violation) stripPen.fillRect(x(place(violation)) - 1, 0, 2, 46);
  stripPen.strokeStyle = colours.accent;
  stripPen.lineWidth = 2;
  stripPen.strokeRect(x(Math.max(view[0], low)), 1, Math.max(4, x(Math.min(view[1], high)) - x(Math.max(view[0], low))), 44);
  stripPen.fillStyle = colours.soft;
  stripPen.font = "11px system-ui, sans-serif";
  stripPen.textAlign = "right";
  stripPen.fillText("whole run", GUTTER - 12, 26);
}

let isWaiting = false;
const redraw = () => { if (!isWaiting) { isWaiting = true; requestAnimationFrame(() => { isWaiting = false; draw(); }); } };

// -- the panel beside it -------------------------------------------------------------------------------------------------

const laneName = (event) => lanes[event.lane].name;
function fill(list, items, most = 200) {
  list.replaceChildren(...items.slice(0, most).map((event) => {
    const item = document.createElement("li"), button = document.createElement("button");
    const when = document.createElement("span"), what = document.createElement("span"), where = document.createElement("span");
    when.className = "when"; where.className = "where";
    when.textContent = timeText(event.time);
    where.textContent = laneName(event) + " ";
    what.append(where, event.text);
    button.append(when, what);
    button.onclick = () => { select(event); reveal(event); };
    if (event.kind === VIOLATION) item.className = "bad";
    item.append(button);
    return item;
  }));
}

function select(event) {
  selected = event;
  cone = event ? coneOf(event) : null;
  $("detail").hidden = !event;
  $("flow").hidden = !(event && event.flow);
  if (event) {
    $("what").textContent = event.text;
    $("where").textContent = `${laneName(event)} · ${data.kinds[event.kind]} · ${timeText(event.time)} · event ${event.number}`;
    $("numbers").replaceChildren();
    const before = [...cone.before].sort((one, two) => two.at - one.at), after = [...cone.after].sort((one, two) => one.at - two.at);
    $("causes-title").textContent = `Comes from (${cone.before.size})`;
    $("effects-title").textContent = `Leads to (${cone.after.size})`;
    fill($("causes"), before, 40);
    fill($("effects"), after, 40);
    if (event.flow) {
      $("flow-title").textContent = `Packet id ${event.flow.id}, ${event.flow.isDone ? "complete" : "open"}`;
      fill($("flow-list"), event.flow.events);
    }
    $("said").textContent = `${laneName(event)}, ${timeText(event.time)}: ${event.text}. ${cone.before.size} before it, ${cone.after.size} after it.`;
  }
  document.documentElement.dataset.selected = event ? event.number : "";
  const hash = event ? "#event=" + event.number : " ";
  try { history.replaceState(null, "", hash); } catch { /* a file in a sandbox has no history */ }
  redraw();
}

function reveal(event) {
  const span = view[1] - view[0], at = place(event);
  if (at < view[0] || at > view[1]) move(at - span / 2, span);
  const lane = lanes[event.lane], box = $("scroll");
  if (lane.y < box.scrollTop || lane.y + lane.h > box.scrollTop + box.clientHeight) box.scrollTop = lane.y - box.clientHeight / 2;
  redraw();
}

function zoom(factor, x = (width + GUTTER) / 2) {
  const share = Math.min(1, Math.max(0, (x - GUTTER) / (width - GUTTER - PAD))), span = view[1] - view[0], middle = view[0] + span * share;
  const [low, high] = whole(), wide = Math.min(Math.max(span * factor, isEven ? 4 : 20), high - low);
  move(middle - wide * share, wide);
}

function move(from, span) {
  const [low, high] = whole(), begin = Math.min(Math.max(from, low), high - span);
  view = [begin, begin + span];
  redraw();
}

function nearest(x, y) {
  let best = null, least = 144;
  for (const event of events) {
    if (!isShown(event)) continue;
    const lane = lanes[event.lane];
    if (y < lane.y || y > lane.y + lane.h) continue;
    const dx = xOf(event) - x, dy = (yOf(event) - y) * (event.flow ? 1 : 0.3), far = dx * dx + dy * dy;
    if (far < least) { least = far; best = event; }
  }
  return best;
}

// -- hands ---------------------------------------------------------------------------------------------------------------

let drag = null;
canvas.addEventListener("pointerdown", (hand) => { drag = { x: hand.offsetX, view: [...view], moved: false }; canvas.setPointerCapture(hand.pointerId); });
canvas.addEventListener("pointermove", (hand) => {
  if (drag) {
    const dx = hand.offsetX - drag.x;
    drag.moved ||= Math.abs(dx) > 3;
    if (drag.moved) move(drag.view[0] - (dx / (width - GUTTER - PAD)) * (drag.view[1] - drag.view[0]), drag.view[1] - drag.view[0]);
    return;
  }
  const event = nearest(hand.offsetX, hand.offsetY);
  if (event === hovered) return;
  hovered = event;
  cone = event ? coneOf(event) : selected ? coneOf(selected) : null;
  canvas.title = event ? `${timeText(event.time)}  ${event.text}` : "";
  redraw();
});
canvas.addEventListener("pointerup", (hand) => { if (drag && !drag.moved) select(nearest(hand.offsetX, hand.offsetY)); drag = null; });
canvas.addEventListener("pointerleave", () => { if (hovered) { hovered = null; cone = selected ? coneOf(selected) : null; redraw(); } });
canvas.addEventListener("wheel", (hand) => {
  if (hand.shiftKey || Math.abs(hand.deltaX) > Math.abs(hand.deltaY)) {
    move(view[0] + ((hand.deltaX || hand.deltaY) / 900) * (view[1] - view[0]), view[1] - view[0]);
  } else if (hand.ctrlKey || lanes[lanes.length - 1].y < $("scroll").clientHeight || !hand.altKey) zoom(hand.deltaY > 0 ? 1.2 : 1 / 1.2, hand.offsetX);
  hand.preventDefault();
}, { passive: false });
const brush = (hand) => {
  if (!hand.buttons) return;
  const [low, high] = whole(), span = view[1] - view[0];
  move(low + ((hand.offsetX - GUTTER) / (width - GUTTER - PAD)) * (high - low) - span / 2, span);
};
strip.addEventListener("pointerdown", brush);
strip.addEventListener("pointermove", brush);

function step(direction) {
  if (!selected) return select(violation || events[0]);
  const own = lanes[selected.lane].events.filter(isShown), at = own.indexOf(selected), next = own[at + direction];
  if (next) { select(next); reveal(next); }
}
function hop(direction) {
  if (!selected) return select(violation || events[0]);
  for (let at = selected.lane + direction; lanes[at]; at += direction) {
    let best = null;
    for (const event of lanes[at].events) if (isShown(event) && (!best || Math.abs(event.time - selected.time) < Math.abs(best.time - selected.time))) best = event;
    if (best) { select(best); reveal(best); return; }
  }
}
function setEven(value) {
  const middle = events.reduce((best, event) => (Math.abs(place(event) - (view[0] + view[1]) / 2) < Math.abs(place(best) - (view[0] + view[1]) / 2) ? event : best), events[0]);
  const [low, high] = whole(), share = (view[1] - view[0]) / (high - low);
  isEven = value;
  $("axis").setAttribute("aria-pressed", String(isEven));
  const [newLow, newHigh] = whole(), span = (newHigh - newLow) * share;
  move(place(middle) - span / 2, span);
}
function find(text) {
  const wanted = text.trim().toLowerCase();
  const hits = wanted ? events.filter((event) => isShown(event) && event.text.toLowerCase().includes(wanted)) : [];
  found = new Set(hits);
  $("found").hidden = !wanted;
  $("found-title").textContent = `Found ${hits.length}`;
  fill($("found-list"), hits);
  redraw();
}
function toViolation() {
  const event = violation || lastEvent, before = [...coneOf(event).before].sort((one, two) => one.at - two.at);
  const from = before.length ? before[Math.max(0, before.length - 24)] : events[0];
  const span = Math.max((place(event) - place(from)) * 1.25, isEven ? 12 : 2000);
  move(place(event) - span * 0.84, span);
  select(event);
  reveal(event);
}
const KEYS = {
  ArrowLeft: () => step(-1), ArrowRight: () => step(1), ArrowUp: () => hop(-1), ArrowDown: () => hop(1),
  "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1.6), 0: () => { view = whole(); redraw(); }, v: toViolation, t: () => setEven(!isEven),
  c: () => selected && selected.causes.length && (select(selected.causes[selected.causes.length - 1]), reveal(selected)),
  e: () => selected && selected.effects.length && (select(selected.effects[0]), reveal(selected)),
  "/": () => $("search").focus(), "?": () => $("keys").showModal(), Escape: () => select(null),
};
document.addEventListener("keydown", (press) => {
  if (press.target.tagName === "INPUT") { if (press.key === "Escape") { press.target.value = ""; find(""); canvas.focus(); } return; }
  if (press.ctrlKey || press.metaKey || press.altKey || $("keys").open) return;
  const act = KEYS[press.key];
  if (act) { act(); press.preventDefault(); }
});

// -- begin ---------------------------------------------------------------------------------------------------------------

const figure = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
$("title").textContent = data.title;
document.title = data.law ? `${data.law} broken by seed ${data.seed}` : data.title;
$("verdict").textContent = data.law ? `${data.law} broken at ${timeText(data.at_us)}` : "clean";
$("verdict").classList.add(data.law ? "bad" : "good");
$("figures").textContent = [figure(lanes.filter(isNode).length, "node"), figure(lanes.filter(isClient).length, "client"), data.faults && figure(data.faults, "fault"),
  events.length < data.total ? `${events.length.toLocaleString("en")} of ${figure(data.total, "event")}` : figure(data.total, "event"), data.digest && `trace ${data.digest.slice(0, 8)}`].filter(Boolean).join(" · ");
$("facts").hidden = !data.law;
$("holds").textContent = data.holds;
$("seen").textContent = data.seen;
$("again").textContent = data.again;
$("jump").disabled = !violation;
for (const [name, kinds] of GROUPS) {
  const button = document.createElement("button");
  button.textContent = name;
  button.setAttribute("aria-pressed", "true");
  button.onclick = () => {
    const shows = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shows));
    for (const kind of kinds) if (shows) hiddenKinds.delete(kind); else hiddenKinds.add(kind);
    redraw();
  };
  $("groups").append(button, " ");
}
const STORY = new Set([FAULT, KILL, POWER, START, VIOLATION, MEMBERSHIP, SNAPSHOT]);
const story = events.filter((event) => STORY.has(event.kind) || (event.kind === ROLE && event.a === LEADER));
fill($("story"), story.length > 200 ? story.slice(-200) : story);
for (const [sign, text] of [
  ['<line x1="0" y1="3" x2="26" y2="11" stroke="var(--message)"/><path d="M28 11.6l-6.5.2 2-4.6z" fill="var(--message)"/>', "a message"],
  ['<line x1="0" y1="3" x2="24" y2="10" stroke="var(--bad)" stroke-dasharray="4 3"/><path d="M22 8l5 5m0-5l-5 5" stroke="var(--bad)"/>', "lost"],
  ['<line x1="0" y1="3" x2="26" y2="11" stroke="var(--twice)"/><path d="M28 11.6l-6.5.2 2-4.6z" fill="var(--twice)"/>', "delivered once more"],
  ['<rect width="28" height="12" y="1" fill="hsl(272 62% 55%)"/>', "leader; a colour is a term"],
  ['<rect width="28" height="6" y="4" fill="var(--sync)"/>', "fsync; red: failed, dashed: never ended"],
  ['<path d="M0 12h9V8h9V3h10" fill="none" stroke="var(--durable)" stroke-width="1.5"/>', "durable, commit and applied index"],
  ['<line x1="0" y1="7" x2="28" y2="7" stroke="var(--packet-out)" stroke-width="2"/><circle cx="2" cy="7" r="3" fill="var(--packet-out)"/><circle cx="27" cy="7" r="3" fill="var(--packet-out)"/>', "packets of one packet id, begun by the client"],
  ['<line x1="0" y1="7" x2="28" y2="7" stroke="var(--packet-in)" stroke-width="2" stroke-dasharray="3 3"/><circle cx="2" cy="7" r="3" fill="var(--packet-in)"/>', "begun by the server; dashed: not completed"],
  ['<circle cx="7" cy="7" r="4" fill="var(--before)"/><circle cx="21" cy="7" r="4" fill="var(--after)"/>', "before and after what you point at"],
]) {
  const words = document.createElement("span");
  words.textContent = text;
  $("legend").insertAdjacentHTML("beforeend", `<svg aria-hidden="true" viewBox="0 0 30 14">${sign}</svg>`);
  $("legend").append(words);
}
$("search").oninput = (typed) => find(typed.target.value);
$("axis").onclick = () => setEven(!isEven);
$("in").onclick = () => zoom(0.6);
$("out").onclick = () => zoom(1.6);
$("fit").onclick = () => { view = whole(); redraw(); };
$("jump").onclick = toViolation;
$("help").onclick = () => $("keys").showModal();
$("theme").onclick = () => {
  const root = document.documentElement, isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  readColours();
  redraw();
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); });
new ResizeObserver(redraw).observe($("stage"));
readColours();
const wish = new URLSearchParams(location.hash.slice(1));
if (wish.get("theme")) { document.documentElement.dataset.theme = wish.get("theme"); readColours(); }
isEven = wish.has("axis") ? wish.get("axis") === "even" : events.length < 3000;   // A short story is told step by step.
$("axis").setAttribute("aria-pressed", String(isEven));
view = whole();
if (wish.get("find")) { $("search").value = wish.get("find"); find(wish.get("find")); }
draw();
if (byNumber.has(Number(wish.get("event")))) { select(byNumber.get(Number(wish.get("event")))); reveal(selected); }
else if (wish.get("at") === "violation" || (violation && !wish.has("find") && events.length > 100)) toViolation();
const drawn = document.documentElement.dataset;
drawn.state = "drawn";
drawn.events = events.length;
drawn.arrows = arrows.length;
drawn.bands = lanes.reduce((sum, lane) => sum + lane.bands.length, 0);
drawn.fsyncs = lanes.reduce((sum, lane) => sum + lane.syncs.length, 0);
drawn.flows = lanes.reduce((sum, lane) => sum + lane.flows.length, 0);
