// The real ElizaOS server, sessions in its memory, with one agent that does nothing: `node serve.mjs PORT FOLDER`.
// Prints a line once it listens; for every line it reads it prints the microseconds of processor time used so far.
import { createInterface } from "node:readline";
import { AgentServer } from "@elizaos/server";

const agentId = "b8504bc3-45f8-4a41-a00a-83df46d8555d";
const agent = { agentId, character: { name: "bench" }, getSetting: () => undefined, getService: () => null };
const server = new AgentServer();
await server.start({ port: Number(process.argv[2]), dataDir: process.argv[3] });
server.elizaOS.getAgent = (id) => (id === agentId ? agent : undefined);
console.log("READY");
for await (const _ of createInterface({ input: process.stdin })) {
  const { user, system } = process.cpuUsage();
  console.log(`CPU ${user + system}`);
}
