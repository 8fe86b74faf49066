// One session in full: conversation, time line, settings, and the calls as curl.

import { apiKey, BASE, call, numberIn, say, send, showProblem, showProblems } from "./api.js";
import { lasting, now, roughly, short, timeOf, whenOf } from "./clock.js";
import { byId, make, makeTabs, setText, showFacts } from "./element.js";
import { currentId, setCurrent } from "./selection.js";
import { fillMeter, focusRow, makeMeter, sessionOf, stateOf, stateText } from "./sessions.js";
import { entriesOf, showEntry } from "./timeline.js";

let opened = null;      // the id of the session that is shown
let last = 0;           // the highest number that was read of its messages
let reading = false;
let tab = "chat";

export const isOpen = () => opened !== null;

export function open(id) {
  if (!sessionOf(id)) return;
  const isOther = opened !== id;
  opened = id;
  setCurrent(id);
  show(true);
  if (isOther) {
    last = 0;
    byId("messages").replaceChildren();
    byId("no-messages").hidden = false;
    for (const field of ["content", "new-timeout", "new-warning", "new-duration"]) showProblem(field, "");
    fillSettings(sessionOf(id));
  }
  showAll();
  if (isOther && matchMedia("(max-width: 1020px)").matches) byId("drawer").focus();  // it lies over the table
}
export function close() {
  if (!opened) return;
  const id = opened;
  opened = null;
  show(false);
  focusRow(id);
}
function show(isShown) {
  byId("drawer").hidden = !isShown;
  document.querySelector("main").classList.toggle("with-drawer", isShown);
}
/** The session changed, or the clock did. */
export function refresh() {
  if (!opened) return;
  if (sessionOf(opened)) return showAll();
  say(`Session ${short(opened)} is gone.`);
  opened = null;
  setCurrent(null);
  show(false);
}

function showAll() {
  const session = sessionOf(opened);
  tickDrawer();
  setText(byId("drawer-title"), short(session.sessionId));
  setText(byId("whole-id"), session.sessionId);
  byId("awaiting").hidden = !session.awaitingReply;
  if (tab === "chat" && session.lastSequence > last) readMessages();
  if (tab === "story") showStory(session);
  if (tab === "settings") showSettings(session);
  if (tab === "raw") showRaw(session);
}
export function tickDrawer() {
  const session = opened && sessionOf(opened);
  if (!session) return;
  const state = stateOf(session);
  const isOver = state.kind === "expired";
  byId("drawer-state").className = `chip ${state.kind}`;
  const left = isOver ? "" : `, ${lasting(state.remaining)} left`;
  setText(byId("drawer-state"), `${stateText(session, state.kind)}${left}`);
  fillMeter(byId("drawer-meter"), session, state);
  for (const id of ["heartbeat", "renew", "write", "change"]) byId(id).hidden = isOver;
  setText(byId("end"), isOver ? "Delete" : "End");
}

// --- what can be done -----------------------------------------------------------------------------------------------
/** Send a heartbeat or renew the current session. */
export async function act(what) {
  const id = currentId();
  if (!id) return say("Choose a session first: j and k do.");
  const session = await call("POST", `${BASE}/${id}/${what}`);
  if (session) say(`${short(id)} expires at ${timeOf(session.expiresAt)}.`);
}
async function end() {
  const id = opened;
  if (await call("DELETE", `${BASE}/${id}`)) say(`Session ${short(id)} has ended.`);
}

// --- the conversation -----------------------------------------------------------------------------------------------
async function readMessages() {
  if (reading) return;
  reading = true;
  const id = opened;
  let more = true;
  while (more && id === opened) {
    const page = await call("GET", `${BASE}/${id}/messages?afterSequence=${last}&limit=100&expired=true`);
    if (!page || id !== opened) break;
    for (const message of page.messages) showMessage(message);
    for (const number of page.skipped) showNote(`number ${number} was never stored`);
    more = page.hasMore && page.cursors.afterSequence > last;
    last = Math.max(last, page.cursors.afterSequence);
  }
  reading = false;
  if (id !== opened && opened) readMessages();
}
function showMessage(message) {
  if (message.redacted) return showNote(`the content of number ${message.sequence} was removed`);
  const session = sessionOf(opened);
  const author = { user: session?.userId, agent: session?.agentId }[message.role];
  const name = author === message.authorId ? short(author) : `${short(message.authorId)} (another)`;
  const extras = [["part", message.parts], ["attachment", message.attachments]]
    .filter(([, list]) => list?.length)
    .map(([what, list]) => `${list.length} ${what}${list.length === 1 ? "" : "s"}`);
  addMessage(message.role,
    make("div", { className: "who" },
      make("span", { title: message.authorId }, `${message.role} ${name}`),
      make("time", { dateTime: message.createdAt, title: `number ${message.sequence}, ${message.createdAt}` }, timeOf(message.createdAt))),
    make("div", { className: "words" }, message.content),
    ...(extras.length ? [make("p", { className: "quiet" }, extras.join(", "))] : []));
}
const showNote = (text) => addMessage("gone", make("span", { className: "words quiet" }, text));
function addMessage(kind, ...children) {
  byId("no-messages").hidden = true;
  const list = byId("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  list.append(make("li", { className: kind }, ...children));
  if (atEnd) list.scrollTop = list.scrollHeight;
}
/** The content of messages was removed: read all of them again. */
export function reread(id) {
  if (id !== opened) return;
  last = 0;
  byId("messages").replaceChildren();
  showAll();
}
async function write() {
  const id = opened;
  const [content, role] = [byId("content").value, byId("role").value];
  const sent = await send("POST", `${BASE}/${id}/messages`, JSON.stringify({ content, role }));
  showProblems({ content: "content" }, sent);
  if (!sent.ok && !sent.problems.length) showProblem("content", sent.reason);
  if (sent.ok && id === opened) byId("content").value = "";
}

// --- the time line of the session -----------------------------------------------------------------------------------
function showStory(session) {
  const entries = entriesOf(session.sessionId).slice();
  const happened = entries.map((entry) => ({ ...entry, at: Date.parse(entry.time) }));
  if (!entries.some(({ kind }) => kind === "created")) {
    happened.unshift({ source: "call", kind: "created", title: "created", time: session.createdAt, at: Date.parse(session.createdAt), text: "" });
  }
  const list = byId("story");
  const { kind, remaining } = stateOf(session);
  const ahead = [];
  if (kind !== "expired") {
    const expires = Date.parse(session.expiresAt);
    const warns = expires - session.timeoutConfig.warningThresholdMinutes * 60000;
    ahead.push(future("expires", expires, `in ${roughly(remaining)}, unless it is renewed`));
    if (kind === "live") ahead.push(future("is warned", warns, "by then at the latest"));
  }
  const opens = new Set(Array.from(list.querySelectorAll("details[open]"), (more) => more.closest("li").dataset.key));
  list.replaceChildren(...ahead, ...happened.reverse().map((entry) => {
    const item = showEntry(entry, false);
    item.dataset.key = `${entry.time} ${entry.title}`;
    if (opens.has(item.dataset.key)) item.querySelector("details").open = true;
    return item;
  }));
  showTrack(session, happened);
}
function future(title, ms, text) {
  const time = new Date(ms).toISOString();
  const item = showEntry({ source: "call", kind: "call", title, time, text }, false);
  item.classList.add("future");
  return item;
}
/** From the creation to the end of the present lease, or to now where that is later. */
function showTrack(session, happened) {
  const from = Date.parse(session.createdAt);
  const to = Math.max(Date.parse(session.expiresAt), ...happened.map(({ at }) => at));
  const place = (ms) => `${(100 * (Math.min(to, Math.max(from, ms)) - from) / Math.max(1, to - from)).toFixed(2)}%`;
  const marks = happened.map((entry) => {
    const mark = make("i", { className: entry.kind, title: `${timeOf(entry.time)} ${entry.title}` });
    mark.style.left = place(entry.at);
    return mark;
  });
  const lived = make("div", { className: "lived" });
  lived.style.width = place(now());
  const labels = [[from, "first"], [to, "last"]].map(([ms, name]) => {
    const label = make("b", { className: name }, timeOf(new Date(ms).toISOString()));
    label.style.left = place(ms);
    return label;
  });
  byId("track").replaceChildren(lived, ...labels, ...marks);
}

// --- settings -------------------------------------------------------------------------------------------------------
const SETTINGS = {
  timeoutMinutes: "new-timeout", warningThresholdMinutes: "new-warning", maxDurationMinutes: "new-duration",
};
function fillSettings({ timeoutConfig }) {
  for (const [name, id] of Object.entries(SETTINGS)) byId(id).value = timeoutConfig[name];
  byId("new-renew").checked = timeoutConfig.autoRenew;
}
function showSettings(session) {
  showFacts(byId("facts"), [
    ["user", session.userId],
    ["agent", session.agentId],
    ["tenant", session.tenantId],
    ["created", whenOf(session.createdAt), session.createdAt],
    ["last activity", whenOf(session.lastActivity), session.lastActivity],
    ["expires", whenOf(session.expiresAt), session.expiresAt],
    ["ends at the latest", whenOf(session.endsAt), session.endsAt],
    ["next heartbeat after", session.renewAfter ? whenOf(session.renewAfter) : "none renews it"],
    ["lease", `${session.lease}, renewed ${session.renewalCount} ${session.renewalCount === 1 ? "time" : "times"}`],
    ["settings", `timeout ${session.timeoutConfig.timeoutMinutes} min, warning ${session.timeoutConfig.warningThresholdMinutes} min, `
      + `longest ${session.timeoutConfig.maxDurationMinutes} min, ${session.timeoutConfig.autoRenew ? "activity renews" : "activity does not renew"}`],
  ]);
  setText(byId("metadata-text"), session.metadataText);
}
async function change() {
  const wish = { autoRenew: byId("new-renew").checked };
  for (const [name, id] of Object.entries(SETTINGS)) wish[name] = numberIn(id);
  const sent = await send("PATCH", `${BASE}/${opened}/timeout`, JSON.stringify(wish));
  showProblems(SETTINGS, sent);
  if (sent.ok) say(`${short(opened)} expires at ${timeOf(sent.answer.expiresAt)}.`);
}

// --- curl and JSON --------------------------------------------------------------------------------------------------
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
function showRaw(session) {
  const { metadataText, ...rest } = session;
  // The metadata goes in as the text that it is: a browser's numbers would change long ones.
  const raw = `${JSON.stringify(rest, null, 2).slice(0, -2)},\n  "metadata": ${metadataText}\n}`;
  setText(byId("raw"), raw);
  const url = `${location.origin}${BASE}/${session.sessionId}`;
  const key = apiKey() ? ` -H ${quoted(`x-api-key: ${apiKey()}`)}` : "";
  const json = ` -H 'content-type: application/json'`;
  const lines = [
    ["read it", `curl ${quoted(url)}${key}`],
    ["heartbeat", `curl -X POST ${quoted(`${url}/heartbeat`)}${key}`],
    ["renew", `curl -X POST ${quoted(`${url}/renew`)}${key}`],
    ["write", `curl ${quoted(`${url}/messages`)}${key}${json} -d ${quoted('{"content": "Where is my parcel?"}')}`],
    ["write, and wait for the reply", `curl ${quoted(`${url}/messages`)}${key}${json} -d ${quoted('{"content": "Where is my parcel?", "transport": "http"}')}`],
    ["read the conversation", `curl ${quoted(`${url}/messages?order=asc`)}${key}`],
    ["change the timeout", `curl -X PATCH ${quoted(`${url}/timeout`)}${key}${json} -d ${quoted('{"timeoutMinutes": 60}')}`],
    ["end it", `curl -X DELETE ${quoted(url)}${key}`],
  ];
  const list = byId("curls");
  const text = lines.map(([, line]) => line).join("\n");
  if (list.dataset.text === text) return;  // nothing is torn from under a hand that selects it
  list.dataset.text = text;
  list.replaceChildren(...lines.map(([what, line], number) =>
    make("li", {},
      make("div", { className: "what" }, make("span", {}, what),
        make("button", { type: "button", "data-copy": `curl-${number}`, "aria-label": `copy: ${what}` }, "copy")),
      make("pre", { id: `curl-${number}` }, line))));
}
async function copy(id) {
  try {
    await navigator.clipboard.writeText(byId(id).textContent);
    say("Copied.");
  } catch {
    getSelection().selectAllChildren(byId(id));
    say("The browser does not let a page copy here: it is selected, press Ctrl-C.");
  }
}

export function startDrawer() {
  makeMeter(byId("drawer-meter"));
  makeTabs(document.querySelector(".tabs.inner"), (name) => {
    tab = name;
    for (const panel of ["chat", "story", "settings", "raw"]) byId(`${panel}-panel`).hidden = panel !== name;
    if (opened) showAll();
  });
  byId("close").addEventListener("click", close);
  byId("heartbeat").addEventListener("click", () => act("heartbeat"));
  byId("renew").addEventListener("click", () => act("renew"));
  byId("end").addEventListener("click", end);
  byId("write").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    write();
  });
  byId("content").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    write();
  });
  byId("change").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    change();
  });
  byId("drawer").addEventListener("click", ({ target }) => { if (target.dataset.copy) copy(target.dataset.copy); });
}
