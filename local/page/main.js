// The page of the local stack: follows the stack's stream, moves its clock, and knows the keys.

import { askForKey, call, say, send, showProblem, startKey } from "./api.js";
import { clockIsKnown, now, roughly, sentClock, short, takeClock, timeOf } from "./clock.js";
import { showCreate, showDefaults, startCreate } from "./create.js";
import { act, close, isOpen, open, refresh, reread, startDrawer, tickDrawer } from "./drawer.js";
import { byId, makeTabs, setText } from "./element.js";
import { showPolicies, startPolicies } from "./policies.js";
import { startSamples, tickSamples } from "./samples.js";
import { setCurrent } from "./selection.js";
import { focusRow, forgetSessions, neighbour, onOpen, setWarnedEarly, startSessions, takeSessions, tickSessions } from "./sessions.js";
import { forgetTimeline, onOpenFromTimeline, showPolicy, startTimeline, takeCalls, takeEvents } from "./timeline.js";

let stackId = null;
let hasAgent = false;
let source = null;
let isNew = false;  // whether a connection has just begun

// --- the clock ------------------------------------------------------------------------------------------------------
function showClock() {
  if (!clockIsKnown()) return;
  const clock = sentClock();
  const iso = new Date(now()).toISOString();
  setText(byId("time"), timeOf(iso));
  setText(byId("date"), `${iso.slice(0, 10)} UTC`);
  const ahead = clock.aheadMinutes * 60000;
  const isPlaying = clock.speed !== 1;
  setText(byId("ahead"), clock.moving ? "moving …" : isPlaying ? `×${clock.speed}` : ahead >= 30000 ? `${roughly(ahead)} ahead of real time` : "real time");
  byId("play").setAttribute("aria-pressed", String(isPlaying));
  setText(byId("play"), isPlaying ? "Pause" : "Play ×60");
  showNext(clock.next);
  showProgress(clock);
}
function showNext(next) {
  const button = byId("next");
  button.disabled = !next;
  if (!next) return setText(button, "Nothing is due");
  const what = next.type === "expired" ? "expires" : "is warned";
  setText(button, `${short(next.sessionId)} ${what} in ${roughly(Date.parse(next.at) - now())}`);
  button.title = `Jump to ${timeOf(next.at)}, when the event agent-sessions.session.${next.type} is published`;
}
function showProgress({ moving, ms }) {
  const bar = byId("progress");
  const fill = bar.firstElementChild;
  bar.classList.toggle("unknown", Boolean(moving && !moving.to));
  if (moving?.to) {
    const [from, to] = [Date.parse(moving.from), Date.parse(moving.to)];
    const percent = Math.round(100 * (ms - from) / (to - from));
    fill.style.width = `${percent}%`;
    bar.setAttribute("aria-valuenow", percent);
  } else {
    fill.style.width = "";
    bar.removeAttribute("aria-valuenow");
  }
}
/** The stack carries out one move after the other, so no click is lost. */
async function move(wish) {
  const sent = await send("POST", "/_local/clock", JSON.stringify(wish));
  if (!sent.ok) return sent;
  const { now: moment, advancedMinutes, events } = sent.answer;
  if (wish.toNextEvent && !events) say("Nothing is due: the clock stays where it is.");
  else if (moment) say(`It is ${timeOf(moment)}, ${roughly(advancedMinutes * 60000)} later. ${events} ${events === 1 ? "event" : "events"}.`);
  return sent;
}
const toNextEvent = () => move({ toNextEvent: true });
const play = () => call("POST", "/_local/clock", JSON.stringify({ speed: sentClock()?.speed === 1 ? 60 : 1 }));

function startClock() {
  byId("next").addEventListener("click", toNextEvent);
  byId("play").addEventListener("click", play);
  const header = document.querySelector("header");
  new ResizeObserver(() => document.documentElement.style.setProperty("--header", `${header.offsetHeight}px`)).observe(header);
  byId("jump").addEventListener("click", () => {
    byId("jump-to").value = new Date(now() + 60_000).toISOString().slice(0, 19);
    showProblem("jump-to", "");
    byId("jump-dialog").showModal();
  });
  byId("jump-dialog").addEventListener("click", ({ target }) => {
    if (!target.dataset.minutes) return;
    byId("jump-dialog").close();
    move({ advanceMinutes: Number(target.dataset.minutes) });
  });
  byId("jump-form").addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const text = byId("jump-to").value;
    const moved = await move({ advanceTo: text && `${text}Z` });
    showProblem("jump-to", moved.ok ? "" : moved.problems[0]?.message || moved.reason);
    if (moved.ok) byId("jump-dialog").close();
  });
}

// --- the keyboard ---------------------------------------------------------------------------------------------------
const SHORTCUTS = {
  n: showCreate,
  a: showPolicies,
  j: () => step(1),
  k: () => step(-1),
  h: () => act("heartbeat"),
  r: () => act("renew"),
  p: play,
  "/": () => byId("search").focus(),
  "?": () => byId("shortcuts").showModal(),
  ArrowRight: toNextEvent,
};
function step(by) {
  const id = neighbour(by);
  if (!id) return;
  if (isOpen()) open(id);
  else setCurrent(id);
  focusRow(id);
}
function startKeyboard() {
  byId("show-shortcuts").addEventListener("click", () => byId("shortcuts").showModal());
  document.addEventListener("click", ({ target }) => {
    if (target.dataset?.close !== undefined) target.closest("dialog").close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") return close();
    if (event.target.closest("input, textarea, select, [role=log]")) return;
    const does = SHORTCUTS[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  });
}

// --- the stream -----------------------------------------------------------------------------------------------------
function showStopped() {
  if (document.body.classList.contains("stopped")) return;
  document.body.classList.add("stopped");
  document.querySelector("main").inert = true;
  const at = clockIsKnown() ? ` Below is how it was at ${byId("time").textContent}.` : "";
  setText(byId("stopped"), `The local stack has stopped.${at} This page goes on by itself once make run runs again.`);
  byId("stopped").hidden = false;
}
function showRunning() {
  document.body.classList.remove("stopped");
  document.querySelector("main").inert = false;
  byId("stopped").hidden = true;
}
function follow() {
  source = new EventSource("/_local/stream");
  const on = (name, take) => source.addEventListener(name, ({ data }) => take(JSON.parse(data)));
  on("hello", (hello) => {
    // Each connection sends everything from the beginning.
    showRunning();
    forgetSessions();
    forgetTimeline();
    if (hello.auth) askForKey();
    hasAgent = hello.agent !== "none";
    setWarnedEarly(hello.warnedEarlyMinutes);
    showDefaults(hello.defaults);
    showPolicy(hello.filterPolicy);
    if (stackId && stackId !== hello.stackId) say("The local stack was started anew.");
    stackId = hello.stackId;
    takeSessions([]);
    isNew = true;
  });
  on("clock", (clock) => {
    takeClock(clock);
    showClock();
    tickSessions();
    if (isNew) refresh();  // the session of the drawer may be one of the stack before
    isNew = false;
    tickDrawer();
  });
  on("sessions", (changes) => {
    takeSessions(changes);
    refresh();
  });
  on("events", (events) => {
    takeEvents(events);
    refresh();
  });
  on("calls", (calls) => {
    takeCalls(calls);
    for (const { method, route, sessionId } of calls) {
      if (method === "DELETE" && route.startsWith("/messages") && !isNew) reread(sessionId);
    }
    refresh();
  });
  source.onerror = () => {
    showStopped();
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 1000);
  };
}

function start() {
  startKey();
  startSessions();
  startTimeline();
  startDrawer();
  startCreate();
  startPolicies();
  startSamples();
  startClock();
  startKeyboard();
  onOpen(open);
  onOpenFromTimeline(open);
  makeTabs(document.querySelector(".tabs:not(.inner)"), (name) => { document.querySelector("main").dataset.tab = name; });
  follow();
  setInterval(() => {
    if (source.readyState !== EventSource.OPEN) return;
    showClock();
    tickSessions();
    tickDrawer();
    tickSamples(hasAgent);
  }, 500);
}
start();
