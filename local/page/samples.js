// Sample sessions for an empty page: four conversations that go on while the clock plays.

import { BASE, call } from "./api.js";
import { now } from "./clock.js";
import { randomId } from "./create.js";
import { byId } from "./element.js";

// What happens at which minute: [minute, role or action, words].
const STORIES = [
  { topic: "parcel", timeoutMinutes: 30, warningThresholdMinutes: 5, steps: [
    [0, "user", "Where is my parcel?"],
    [0.5, "agent", "It left the depot this morning. It should be with you by six."],
    [9, "user", "Can the driver leave it with a neighbour?"],
    [9.5, "agent", "Yes. I have noted number 12."],
  ] },
  { topic: "booking", timeoutMinutes: 12, warningThresholdMinutes: 4, steps: [
    [0.2, "user", "A table for four on Friday, please."],
    [0.6, "agent", "At seven or at half past eight?"],
    [8.5, "renew"],
    [10, "user", "Sorry, I was away. Seven is fine."],
    [10.5, "agent", "Done: Friday, seven o'clock, four people."],
  ] },
  { topic: "invoice", timeoutMinutes: 8, warningThresholdMinutes: 3, steps: [
    [0.4, "user", "My invoice shows the wrong address."],
    [0.8, "agent", "Which address should it show?"],
  ] },
  { topic: "workshop", timeoutMinutes: 15, warningThresholdMinutes: 5, maxDurationMinutes: 20, steps: [
    [0.3, "user", "How do I export last month's report?"],
    [0.7, "agent", "Open Reports, choose the month, then Export."],
    [6, "user", "It says that I have no permission."],
  ] },
];

let playing = [];

async function begin() {
  byId("samples").disabled = true;
  const agentId = randomId();
  playing = [];
  for (const { topic, steps, ...timeoutConfig } of STORIES) {
    const session = await call("POST", BASE, JSON.stringify({ agentId, userId: randomId(), timeoutConfig, metadata: { topic } }));
    if (!session) break;
    playing.push({ id: session.sessionId, from: Date.parse(session.createdAt), steps: steps.slice() });
  }
  if (playing.length) await call("POST", "/_local/clock", JSON.stringify({ speed: 60 }));
  byId("samples").disabled = false;
}

/** Do what is due by the stack's clock. The agent's lines are left to the stack's own agent where it has one. */
export async function tickSamples(hasAgent) {
  for (const story of playing) {
    if (story.isBusy || !story.steps.length || now() < story.from + story.steps[0][0] * 60000) continue;
    const [, role, content] = story.steps.shift();
    if (role === "agent" && hasAgent) continue;
    story.isBusy = true;
    if (role === "renew") await call("POST", `${BASE}/${story.id}/renew`);
    else await call("POST", `${BASE}/${story.id}/messages`, JSON.stringify({ content, role }));
    story.isBusy = false;
  }
}

export function startSamples() {
  byId("samples").addEventListener("click", begin);
}
