// The policies of agents: which sessions each of them may have. A dialog lists them, sets one and removes one.

import { numberIn, send, showElsewhere, showProblem, showProblems } from "./api.js";
import { short } from "./clock.js";
import { byId, make, setText } from "./element.js";
import { currentId } from "./selection.js";
import { sessionOf } from "./sessions.js";

const PATH = "/api/messaging/agents";
const NUMBERS = { timeoutMinutes: "Timeout, min", maxDurationMinutes: "Longest, min", warningThresholdMinutes: "Warning, min" };
const ENDS = ["default", "min", "max"];
const FIELDS = { agentId: "policy-agent" };  // names of the API -> ids
for (const name of Object.keys(NUMBERS)) {
  FIELDS[name] = `policy-${name}-default`;  // what is wrong with the three together
  for (const end of ENDS) FIELDS[`${name}.${end}`] = `policy-${name}-${end}`;
}
const pathOf = (agentId) => `${PATH}/${encodeURIComponent(agentId)}/session-policy`;
const endsOf = (number) => typeof number === "object" ? number : { default: number };

/** What a policy asks, in a line: "timeout 15, ≥ 5, ≤ 60 min · activity does not renew". */
function textOf(policy) {
  const parts = policy.allowed ? [] : ["no new sessions"];
  for (const [name, label] of Object.entries(NUMBERS)) {
    if (policy[name] === undefined) continue;
    const ends = endsOf(policy[name]);
    const bounds = [ends.default, ends.min && `≥ ${ends.min}`, ends.max && `≤ ${ends.max}`];
    parts.push(`${label.split(",")[0].toLowerCase()} ${bounds.filter(Boolean).join(", ")} min`);
  }
  if (policy.autoRenew !== undefined) parts.push(`activity ${policy.autoRenew ? "renews" : "does not renew"}`);
  return parts.join(" · ") || "changes nothing";
}

// --- the form -------------------------------------------------------------------------------------------------------
function fill(policy) {
  showProblems(FIELDS, { ok: true });
  byId("policy-agent").value = policy.agentId;
  byId("policy-allowed").checked = policy.allowed !== false;
  byId("policy-renew").value = policy.autoRenew === undefined ? "" : String(policy.autoRenew);
  for (const name of Object.keys(NUMBERS)) {
    for (const end of ENDS) byId(`policy-${name}-${end}`).value = endsOf(policy[name])[end] ?? "";
  }
}
function asked() {
  const policy = { allowed: byId("policy-allowed").checked };
  if (byId("policy-renew").value) policy.autoRenew = byId("policy-renew").value === "true";
  for (const name of Object.keys(NUMBERS)) {
    const ends = ENDS.map((end) => [end, numberIn(`policy-${name}-${end}`)]).filter(([, number]) => number !== undefined);
    if (ends.length) policy[name] = Object.fromEntries(ends);
  }
  return policy;
}
function makeNumbers() {
  const rows = Object.entries(NUMBERS).map(([name, label]) => {
    const cells = ENDS.map((end) => {
      const id = `policy-${name}-${end}`;
      return [
        make("input", { id, inputMode: "decimal", "aria-label": `${label}, ${end}`, "aria-describedby": `${id}-error` }),
        make("p", { id: `${id}-error`, className: "error", hidden: true }),
      ];
    });
    return [make("span", {}, label), ...cells.map(([input]) => input), ...cells.map(([, error]) => error)];
  });
  byId("policy-numbers").append(make("span"), ...ENDS.map((end) => make("span", {}, end)), ...rows.flat());
}

// --- the list -------------------------------------------------------------------------------------------------------
/** Read all policies and show them. Answer them; null where they cannot be read. */
async function list() {
  const policies = [];
  let cursor = "";
  do {
    const sent = await send("GET", `${PATH}?limit=100${cursor}`);
    showElsewhere("policy-error", FIELDS, sent);
    if (!sent.ok) return null;
    policies.push(...sent.answer.agents);
    cursor = sent.answer.nextCursor ? `&cursor=${encodeURIComponent(sent.answer.nextCursor)}` : "";
  } while (cursor);
  byId("policies").replaceChildren(...policies.map(makeItem));
  byId("no-policies").hidden = policies.length > 0;
  return policies;
}
function makeItem(policy) {
  const { agentId } = policy;
  const edit = make("button", { type: "button", className: "open", title: `edit; last changed at ${policy.updatedAt}` }, agentId);
  const drop = make("button", { type: "button", className: "link", "aria-label": `remove the policy of ${agentId}` }, "remove");
  edit.addEventListener("click", () => fill(policy));
  drop.addEventListener("click", () => remove(agentId));
  return make("li", {}, make("div", { className: "labelled" }, edit, drop), make("span", { className: "quiet" }, textOf(policy)));
}

// --- what it does ---------------------------------------------------------------------------------------------------
export async function showPolicies() {
  const agentId = sessionOf(currentId())?.agentId || byId("agent").value;
  fill({ agentId });
  setText(byId("policy-done"), "");
  byId("policies-dialog").showModal();
  byId("policy-agent").focus();
  const own = (await list())?.find((policy) => policy.agentId === agentId.toLowerCase());
  if (own && byId("policy-agent").value === agentId) fill(own);
}
async function set() {
  const agentId = byId("policy-agent").value.trim();
  if (!agentId) return showProblem("policy-agent", "must be a UUID");
  const sent = await send("PUT", pathOf(agentId), JSON.stringify(asked()));
  const problems = sent.problems.map(({ field, message }) => ({ field, message: `${field.split(".")[1] || ""} ${message}`.trim() }));
  showProblems(FIELDS, { ...sent, problems });
  await done(sent, `New sessions of ${short(agentId)} follow this policy within a minute.`);
}
async function remove(agentId) {
  const sent = await send("DELETE", pathOf(agentId));
  byId("policy-agent").focus();
  await done(sent, `${short(agentId)} has no policy any more, within a minute.`);
}
async function done(sent, text) {
  setText(byId("policy-done"), sent.ok ? text : "");
  if (sent.ok) await list();
  else showElsewhere("policy-error", FIELDS, sent);
}

export function startPolicies() {
  makeNumbers();
  byId("show-policies").addEventListener("click", showPolicies);
  byId("policy-form").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    set();
  });
}
