// Calls of the API and of the routes under /_local. What is refused is shown: at its field, else at the bottom.

import { byId, setText } from "./element.js";

export const BASE = "/api/messaging/sessions";
let saidTimer = 0;

export function say(text, bad = false) {
  setText(byId("said"), text);
  byId("said").classList.toggle("bad", bad);
  clearTimeout(saidTimer);
  saidTimer = setTimeout(() => setText(byId("said"), ""), bad ? 9000 : 4000);
}

export const apiKey = () => sessionStorage.getItem("key") || "";

/** Send `body`, a JSON text. Answer {ok, status, answer, reason, problems}; `problems` are those of single fields. */
export async function send(method, path, body) {
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (apiKey() && path.startsWith("/api/messaging/")) headers["x-api-key"] = apiKey();
  let response;
  try {
    response = await fetch(path, { method, headers, body });
  } catch {
    return { ok: false, status: 0, answer: {}, reason: "The local stack does not answer.", problems: [] };
  }
  const answer = await response.json().catch(() => ({}));
  const error = answer.error || {};
  const reason = `${response.status}: ${error.message || answer.message || response.statusText}`;
  if (!error.code && (response.status === 401 || response.status === 403)) askForKey(reason);
  return { ok: response.ok, status: response.status, answer, reason, problems: (error.details || {}).fields || [] };
}

/** Send, and say at the bottom what was refused. Answer the body, or null. */
export async function call(method, path, body) {
  const { ok, answer, reason } = await send(method, path, body);
  if (!ok) say(reason, true);
  return ok ? answer : null;
}

/** Show problems at their fields: `fields` maps the names of the API to ids. What has no field is said at the bottom. */
export function showProblems(fields, { ok, reason, problems }) {
  const ids = Object.values(fields);
  for (const id of ids) showProblem(id, "");
  if (ok) return;
  const homeless = problems.filter(({ field }) => !fields[field]);
  for (const { field, message } of problems) if (fields[field]) showProblem(fields[field], message);
  if (homeless.length || !problems.length) say(reason, true);
  byId(ids.find((id) => byId(id).getAttribute("aria-invalid") === "true"))?.focus();
}

/** Show in `id` why a request was refused, where none of these fields is at fault. A dialog hides what is said at the bottom. */
export function showElsewhere(id, fields, { ok, reason, problems }) {
  const text = ok || problems.some(({ field }) => fields[field]) ? "" : reason;
  byId(id).hidden = !text;
  setText(byId(id), text);
}

export function showProblem(id, message) {
  const error = byId(`${id}-error`);
  error.hidden = !message;
  setText(error, message);
  if (message) byId(id).setAttribute("aria-invalid", "true");
  else byId(id).removeAttribute("aria-invalid");
}

/** The text of a number's field as JSON: a number where it is one, so that the API names what is wrong with the rest. */
export function numberIn(id) {
  const text = byId(id).value.trim().replace(",", ".");
  if (text === "") return undefined;
  return Number.isFinite(Number(text)) ? Number(text) : text;
}

// --- the key --------------------------------------------------------------------------------------------------------
export function startKey() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given) {
    sessionStorage.setItem("key", given);
    history.replaceState(null, "", location.pathname);
  }
  byId("key-form").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    const key = byId("key").value.trim();
    if (!key) return showProblem("key", "A key begins with as_.");
    sessionStorage.setItem("key", key);
    byId("key-form").hidden = true;
    say("The key is used from now on.");
  });
}

/** The stack asks for a key: show its field where there is none yet, or where the one there is was refused. */
export function askForKey(reason = "") {
  if (!reason && apiKey()) return;
  byId("key-form").hidden = false;
  byId("key").value = apiKey();
  showProblem("key", reason && apiKey() ? `The stack refuses this key (${reason}).` : reason);
}
