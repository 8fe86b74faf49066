// The form for a new session.

import { BASE, numberIn, say, send, showElsewhere, showProblem, showProblems } from "./api.js";
import { short, timeOf } from "./clock.js";
import { byId } from "./element.js";
import { setCurrent } from "./selection.js";

const FIELDS = {
  agentId: "agent",
  userId: "user",
  metadata: "metadata",
  "timeoutConfig.timeoutMinutes": "timeout",
  "timeoutConfig.warningThresholdMinutes": "warning",
  "timeoutConfig.maxDurationMinutes": "duration",
};

export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = bytes[6] & 0x0f | 0x40;
  bytes[8] = bytes[8] & 0x3f | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

export function showCreate() {
  if (!byId("new-dialog").open) byId("new-dialog").showModal();
}
export function showDefaults(defaults) {
  byId("timeout").placeholder = defaults.timeoutMinutes;
  byId("warning").placeholder = defaults.warningThresholdMinutes;
  byId("duration").placeholder = defaults.maxDurationMinutes;
}

async function create() {
  const metadata = byId("metadata").value.trim();
  const problem = metadata && notJson(metadata);
  showProblem("metadata", problem);
  if (problem) return byId("metadata").focus();
  const timeoutConfig = {
    autoRenew: byId("auto-renew").checked,
    timeoutMinutes: numberIn("timeout"),
    warningThresholdMinutes: numberIn("warning"),
    maxDurationMinutes: numberIn("duration"),
  };
  const rest = JSON.stringify({ agentId: byId("agent").value.trim(), userId: byId("user").value.trim(), timeoutConfig });
  // The metadata goes as it was typed: a browser's numbers would change long ones.
  const sent = await send("POST", BASE, metadata ? `${rest.slice(0, -1)},"metadata":${metadata}}` : rest);
  showProblems(FIELDS, sent);
  showElsewhere("create-error", FIELDS, sent);
  if (!sent.ok) return;
  byId("new-dialog").close();
  setCurrent(sent.answer.sessionId);
  say(`Session ${short(sent.answer.sessionId)} expires at ${timeOf(sent.answer.expiresAt)}.`);
}
function notJson(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return `must be JSON: ${error.message}`;
  }
}

export function startCreate() {
  byId("agent").value = randomId();
  byId("user").value = randomId();
  byId("new").addEventListener("click", showCreate);
  byId("new-dialog").addEventListener("click", ({ target }) => {
    if (target.dataset.new) byId(target.dataset.new).value = randomId();
  });
  byId("create").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    create();
  });
}
