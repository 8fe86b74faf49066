// The table of sessions: a row each, sorted, searched, filtered; those that have ended are folded away.

import { lasting, now, sentClock, short } from "./clock.js";
import { byId, make, setText } from "./element.js";
import { currentId, markedId, onMark, pointsFrom } from "./selection.js";

const entries = new Map();  // session id -> {session, row, cells, text, state}
let warnedEarly = 3;        // minutes that a warning may come before its threshold
let sort = { by: "left", down: false };
let unfolded = false;
let marked = [];
let opening = () => {};

export const sessionOf = (id) => entries.get(id)?.session;
export const onOpen = (open) => { opening = open; };
export const setWarnedEarly = (minutes) => { warnedEarly = minutes; };

const KEYS = {
  left: ({ session }) => session.expiresAt,
  created: ({ session }) => session.createdAt,
  user: ({ session }) => session.userId,
  agent: ({ session }) => session.agentId,
  renewals: ({ session }) => session.renewalCount,
  messages: ({ session }) => session.lastSequence,
};

// --- what a session is like now -------------------------------------------------------------------------------------
export function stateOf(session) {
  const remaining = session.announced ? 0 : Math.max(0, Date.parse(session.expiresAt) - now());
  if (remaining <= 0) return { kind: "expired", remaining: 0 };
  const isNear = remaining <= session.timeoutConfig.warningThresholdMinutes * 60000;
  return { kind: session.warned ? "warned" : isNear ? "near" : "live", remaining };
}
export function stateText(session, kind) {
  if (kind === "expired") return `expired (${session.reason === "max_duration" ? "cap" : "idle"})`;
  return kind === "near" ? "near the end" : kind;
}

/** A bar for the time left of the whole timeout; the hatched band is where the warning may come. */
export function makeMeter(meter = make("div")) {
  meter.className = "meter";
  meter.setAttribute("role", "meter");
  meter.setAttribute("aria-label", "minutes left");
  meter.setAttribute("aria-valuemin", "0");
  meter.replaceChildren(make("div", { className: "fill" }), make("div", { className: "band" }));
  return meter;
}
export function fillMeter(meter, session, { kind, remaining }) {
  const { timeoutMinutes, warningThresholdMinutes } = session.timeoutConfig;
  const percent = (minutes) => Math.min(100, 100 * minutes / timeoutMinutes);
  const [fill, band] = meter.children;
  const width = `${percent(remaining / 60000).toFixed(1)}%`;
  if (fill.style.width !== width) fill.style.width = width;
  const from = percent(warningThresholdMinutes);
  band.style.left = `${from}%`;
  band.style.width = `${percent(warningThresholdMinutes + warnedEarly) - from}%`;
  meter.className = `meter ${kind}`;
  meter.setAttribute("aria-valuemax", String(timeoutMinutes));
  meter.setAttribute("aria-valuenow", (remaining / 60000).toFixed(1));
}

// A row is laid out as a grid, so it has to name what it is.
const makeCell = (className, ...children) => make("td", { className, role: "cell" }, ...children);

// --- rows -----------------------------------------------------------------------------------------------------------
function makeEntry(id) {
  const open = make("button", { type: "button", className: "open" });
  const chip = make("span", { className: "chip" });
  const meter = makeMeter();
  const left = make("span", { className: "says" });
  const cells = {
    open, chip, meter, left,
    user: makeCell("mono"), agent: makeCell("mono wide"), renewals: makeCell("number wide"), messages: makeCell("number"),
  };
  const row = make("tr", { role: "row" },
    makeCell("", open), cells.user, cells.agent, makeCell("", chip),
    makeCell("left", make("div", { className: "time-left" }, meter, left)),
    cells.renewals, cells.messages);
  row.dataset.session = id;
  return { row, cells };
}
function fill(entry) {
  const { session, cells } = entry;
  entry.text = [session.sessionId, session.userId, session.agentId, session.tenantId, session.metadataText]
    .join(" ").toLowerCase();
  setText(cells.open, short(session.sessionId));
  cells.open.title = session.sessionId;
  setText(cells.user, short(session.userId));
  cells.user.title = session.userId;
  setText(cells.agent, short(session.agentId));
  cells.agent.title = session.agentId;
  setText(cells.renewals, String(session.renewalCount));
  const asks = session.awaitingReply ? [make("span", { className: "asks", role: "img", "aria-label": "waiting for a reply", title: "waiting for a reply" }, "? ")] : [];
  cells.messages.replaceChildren(...asks, String(session.lastSequence));
  tick(entry);
}
/** Let a row follow the clock. Answer whether it now belongs elsewhere. */
function tick(entry) {
  const { session, cells } = entry;
  const state = stateOf(session);
  const moves = entry.state !== state.kind;
  entry.state = state.kind;
  setText(cells.left, state.remaining ? lasting(state.remaining) : "");
  if (state.kind !== "expired" || moves) fillMeter(cells.meter, session, state);
  if (moves) cells.chip.className = `chip ${state.kind}`;
  setText(cells.chip, stateText(session, state.kind));
  return moves;
}

export function takeSessions(changes) {
  for (const { sessionId, session } of changes) {
    const known = entries.get(sessionId);
    if (!session) {
      known?.row.remove();
      entries.delete(sessionId);
      continue;
    }
    const entry = known || makeEntry(sessionId);
    entry.session = session;
    entries.set(sessionId, entry);
    fill(entry);
  }
  arrange();
}
export function forgetSessions() {
  entries.clear();
  byId("live").replaceChildren();
  byId("ended").replaceChildren();
}
export function tickSessions() {
  let moved = false;
  for (const entry of entries.values()) moved = tick(entry) || moved;
  if (moved) arrange();
}

// --- order, search, filter ------------------------------------------------------------------------------------------
function arrange() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = byId("state").value;
  const matches = (entry) => words.every((word) => entry.text.includes(word))
    && (!wanted || entry.state === wanted || (wanted === "awaiting" && entry.session.awaitingReply));
  const [live, ended] = [[], []];
  for (const entry of entries.values()) (entry.state === "expired" ? ended : live).push(entry);
  const key = KEYS[sort.by];
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    const order = x < y ? -1 : x > y ? 1 : a.session.sessionId < b.session.sessionId ? -1 : 1;
    return sort.down ? -order : order;
  };
  const shownLive = live.filter(matches).sort(compare);
  const shownEnded = ended.filter(matches)
    .sort((a, b) => (a.session.expiresAt < b.session.expiresAt ? 1 : -1));
  place(byId("live"), shownLive);
  place(byId("ended"), shownEnded);
  byId("ended-head").hidden = !shownEnded.length;
  byId("ended").hidden = !unfolded;
  byId("fold").setAttribute("aria-expanded", String(unfolded));
  setText(byId("fold"), `${shownEnded.length} ended`);
  setText(byId("count"), entries.size ? `${live.length} live, ${ended.length} ended` : "");
  byId("empty").hidden = entries.size > 0;
  byId("frame").hidden = !entries.size;
  byId("no-match").hidden = shownLive.length + shownEnded.length > 0;
  const out = sentClock()?.leftOut || 0;
  byId("left-out").hidden = !out;
  setText(byId("left-out"), `${out} older ${out === 1 ? "session is" : "sessions are"} not shown.`);
  mark();
}
/** Put rows into a body in this order; those that stand right are not touched. */
function place(body, wanted) {
  const keep = new Set(wanted.map(({ row }) => row));
  for (const row of Array.from(body.children)) if (!keep.has(row)) row.remove();
  let at = body.firstElementChild;
  for (const { row } of wanted) {
    if (row === at) at = at.nextElementSibling;
    else body.insertBefore(row, at);
  }
}

// --- the current row ------------------------------------------------------------------------------------------------
function mark() {
  for (const row of marked) row.classList.remove("same", "current");
  marked = [];
  for (const [id, name] of [[markedId(), "same"], [currentId(), "current"]]) {
    const row = entries.get(id)?.row;
    row?.classList.add(name);
    if (row) marked.push(row);
  }
}
/** The session so many rows below the current one, as the rows stand. */
export function neighbour(step) {
  const rows = [...byId("live").children, ...(unfolded ? byId("ended").children : [])];
  const at = rows.findIndex((row) => row.dataset.session === currentId());
  const row = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + step))];
  return row?.dataset.session;
}
export function focusRow(id) {
  const row = entries.get(id)?.row;
  if (row && row.parentElement === byId("ended") && !unfolded) {
    unfolded = true;
    arrange();
  }
  row?.querySelector(".open").focus();
  row?.scrollIntoView({ block: "nearest" });
}

export function startSessions() {
  onMark(mark);
  for (const body of [byId("live"), byId("ended")]) {
    pointsFrom(body, "tr");
    body.addEventListener("click", ({ target }) => {
      const row = target.closest("tr");
      if (row) opening(row.dataset.session);
    });
  }
  byId("search").addEventListener("input", arrange);
  byId("state").addEventListener("change", arrange);
  byId("fold").addEventListener("click", () => {
    unfolded = !unfolded;
    arrange();
  });
  document.querySelector("thead").addEventListener("click", ({ target }) => {
    const by = target.dataset.sort;
    if (!by) return;
    sort = { by, down: sort.by === by && !sort.down };
    for (const th of document.querySelectorAll("thead th")) th.removeAttribute("aria-sort");
    target.closest("th").setAttribute("aria-sort", sort.down ? "descending" : "ascending");
    arrange();
  });
}
