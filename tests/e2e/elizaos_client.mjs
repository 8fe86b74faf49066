// Calls @elizaos/api-client as it is told: a line of JSON in, a line of JSON out. Knows nothing of what to expect.
//   in:  {"key": "..." or null, "call": "getSession", "arguments": ["..."]}; {"$date": ms} in them is a Date
//   out: {"value": ...} or {"error": {"name", "code", "message", "status", "details"}}

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [, , clientFile, baseUrl] = process.argv;
const { ElizaClient, ApiError } = await import(pathToFileURL(clientFile).href);

async function answer({ key, call, arguments: values }) {
  const { sessions } = ElizaClient.create({ baseUrl, timeout: 300_000, ...(key ? { apiKey: key } : {}) });
  try {
    return { value: await sessions[call](...values) };
  } catch (error) {
    const { name, code, message, status, details } = error;
    return { error: { name: error instanceof ApiError ? "ApiError" : name, code, message, status, details } };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(JSON.parse(line, (_, value) => (value?.$date === undefined ? value : new Date(value.$date))))));
}
