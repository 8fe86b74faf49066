// The time line: events as a subscriber got them, and calls that changed something, newest first.

import { call, say, showProblem } from "./api.js";
import { short, timeOf } from "./clock.js";
import { byId, make, setText } from "./element.js";
import { markedId, onMark, pointsFrom } from "./selection.js";

const KEPT = 1000;
const items = new Map();  // session id -> the entries about it, oldest first
let marked = [];
let eventTotal = 0;
let opening = () => {};

export const onOpenFromTimeline = (open) => { opening = open; };
export const entriesOf = (sessionId) => items.get(sessionId) || [];

// --- what happened, as {time, kind, title, text, json, sessionId} ---------------------------------------------------
const reasonOf = (reason) => (reason === "max_duration" ? "the cap" : "idle timeout");

function fromEvent(event) {
  const kind = event.type.split(".").pop();
  const data = event.data || {};
  const entry = { source: "event", time: event.time, kind, title: kind, sessionId: event.subject, json: event, text: "" };
  if (event.type.startsWith("agent-sessions.message.")) {
    const { role, sequence, content } = data.message || {};
    const words = typeof content === "string" ? `: ${content.slice(0, 200)}` : "";
    return { ...entry, kind: "message", title: `message ${kind}`, text: `number ${sequence}, from the ${role}${words}` };
  }
  if (kind === "expired") return { ...entry, text: `at ${timeOf(data.expiresAt)}, ${reasonOf(data.reason)}` };
  if (kind !== "expiring") return entry;
  const limit = data.renewable ? "" : "; cannot be renewed";
  return { ...entry, text: `expires at ${timeOf(data.expiresAt)}, ${reasonOf(data.reason)}${limit}` };
}

const CALLS = { "/heartbeat": "heartbeat", "/renew": "renewed", "/timeout": "changed", "/messages": "message" };
function fromCall({ time, method, route, sessionId, status, code, expiresAt, role }) {
  const isRefused = status >= 400;
  const created = method === "POST" && route === "/";
  const ended = method === "DELETE" && route === "/";
  const emptied = method === "DELETE" && route.startsWith("/messages");
  const kind = isRefused ? "refused" : created ? "created" : ended ? "deleted" : emptied ? "content removed" : CALLS[route] || "call";
  const until = expiresAt ? `, until ${timeOf(expiresAt)}` : "";
  const by = role && !isRefused ? ` from the ${role}` : "";
  const text = `${method} ${route} ${status}${code ? ` ${code}` : ""}${by}${until}`;
  return { source: "call", time, kind, title: kind, sessionId, text };
}

// --- showing it -----------------------------------------------------------------------------------------------------
/** One entry as a list item. Its JSON is written when somebody opens it. */
export function showEntry(entry, withSession) {
  const chip = make("span", { className: `chip ${entry.source === "call" && entry.kind !== "refused" ? "call" : entry.kind}` }, entry.title);
  const when = make("time", { dateTime: entry.time, title: entry.time }, timeOf(entry.time));
  const session = withSession && entry.sessionId
    ? [make("button", { type: "button", title: entry.sessionId }, short(entry.sessionId))] : [];
  const item = make("li", { className: `is-${entry.source}` },
    make("div", { className: "what" }, chip, ...session, when),
    make("p", { className: "tells" }, entry.text));
  if (entry.json) {
    const more = make("details", {}, make("summary", {}, "CloudEvent"));
    more.addEventListener("toggle", () => {
      if (more.childElementCount === 1) more.append(make("pre", {}, JSON.stringify(entry.json, null, 2)));
    });
    item.append(more);
  }
  item.dataset.time = entry.time;
  if (entry.sessionId) item.dataset.session = entry.sessionId;
  return item;
}

function take(entry) {
  const list = byId("events");
  const item = showEntry(entry, true);
  let before = list.firstElementChild;
  while (before && before.dataset.time > entry.time) before = before.nextElementSibling;
  list.insertBefore(item, before);
  entry.item = item;
  if (!entry.sessionId) return;
  const others = items.get(entry.sessionId) || [];
  let at = others.length;
  while (at && others[at - 1].time > entry.time) at -= 1;
  others.splice(at, 0, entry);
  items.set(entry.sessionId, others);
}
function trim() {
  const list = byId("events");
  while (list.childElementCount > KEPT) {
    const { session } = list.lastElementChild.dataset;
    list.lastElementChild.remove();
    const rest = (items.get(session) || []).filter(({ item }) => item.isConnected);
    if (rest.length) items.set(session, rest);
    else items.delete(session);
  }
  byId("no-events").hidden = list.childElementCount > 0;
  mark();
}

export function takeEvents({ total, latest }) {
  const entries = latest.map(fromEvent);
  for (const entry of entries) take(entry);
  if (eventTotal) announce(entries);
  eventTotal = total;
  setText(byId("event-count"), `${eventTotal} ${eventTotal === 1 ? "event" : "events"}`);
  trim();
}
/** Let a screen reader say what came in: not what was there at first, and no flood. */
function announce(entries) {
  const said = entries.filter(({ kind }) => kind === "expiring" || kind === "expired").slice(-3)
    .map(({ kind, sessionId }) => `${short(sessionId)} ${kind === "expired" ? "has expired" : "is warned"}`);
  if (said.length) setText(byId("heard"), said.join(", "));
}
export function takeCalls(calls) {
  for (const made of calls) take(fromCall(made));
  trim();
}
export function forgetTimeline() {
  items.clear();
  eventTotal = 0;
  byId("events").replaceChildren();
  setText(byId("event-count"), "");
  byId("no-events").hidden = false;
}

function mark() {
  for (const item of marked) item.classList.remove("same");
  marked = entriesOf(markedId()).map(({ item }) => item);
  for (const item of marked) item.classList.add("same");
}

// --- the subscription -----------------------------------------------------------------------------------------------
export function showPolicy(policy) {
  setText(byId("policy-state"), policy ? "(set: not all events come)" : "(none)");
  if (policy) byId("policy-text").value = JSON.stringify(policy, null, 1);
}
async function setPolicy(policy) {
  try {
    JSON.parse(policy);
  } catch (error) {
    return showProblem("policy-text", `It must be JSON: ${error.message}`);
  }
  const answer = await call("PUT", "/_local/subscription", `{"filterPolicy": ${policy}}`);
  showProblem("policy-text", answer ? "" : "SNS does not take it.");
  if (!answer) return;
  showPolicy(answer.filterPolicy);
  say(answer.filterPolicy ? "Only events that match come from now on." : "All events come from now on.");
}

export function startTimeline() {
  onMark(mark);
  pointsFrom(byId("events"), "li");
  byId("events").addEventListener("click", ({ target }) => {
    if (target.matches(".what button")) opening(target.closest("li").dataset.session);
  });
  byId("what").addEventListener("change", () => { byId("events").dataset.what = byId("what").value; });
  byId("filter").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    setPolicy(byId("policy-text").value.trim() || "null");
  });
  byId("no-policy").addEventListener("click", () => setPolicy("null"));
  byId("sweep").addEventListener("click", async () => {
    const swept = await call("POST", "/_local/sweep");
    if (swept) say(`Swept: ${swept.due} due, ${swept.warned} warned, ${swept.expired} expired.`);
  });
}
