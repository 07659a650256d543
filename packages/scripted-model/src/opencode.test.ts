/**
 * The shipped scenarios in the real OpenCode, with its own AI SDK client, its own tools and a real git repository. Not
 * proved here: which events OpenCode sends, and any other provider client.
 */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type OpenCode, startOpenCode } from "../test/opencode.ts";
import { type ScriptedModel, startScriptedModel } from "./server.ts";
import { demoMessages, loadShippedScenario } from "./shipped.ts";

let model: ScriptedModel;
let opencode: OpenCode;
beforeAll(async () => {
  model = await startScriptedModel({ scenario: await loadShippedScenario("demo") });
  opencode = await startOpenCode({ modelUrl: model.url });
}, 120_000);
afterAll(async () => {
  await opencode.stop();
  await model.close();
});

async function newSession(): Promise<string> {
  return (await opencode.call("POST", "/session", {})).id;
}

/** Sends a prompt and returns the parts of the turn's messages, with tools reduced to what they did. */
async function turn(session: string, text: string): Promise<{ type: string; [key: string]: unknown }[]> {
  const before = (await opencode.call("GET", `/session/${session}/message`)).length;
  await opencode.call("POST", `/session/${session}/message`, { parts: [{ type: "text", text }] });
  const messages = await opencode.call("GET", `/session/${session}/message`);
  return messages.slice(before + 1).flatMap((message: { parts: never[] }) => message.parts);
}

const tools = (parts: { type: string; [key: string]: unknown }[]) => parts.filter(({ type }) => type === "tool");

test("demo: OpenCode reads, edits and runs with its own tools, and the file changes", async () => {
  const session = await newSession();
  const fix = await turn(session, demoMessages[0]);
  expect(tools(fix).map(({ tool, state }) => [tool, (state as { status: string }).status])).toEqual([
    ["read", "completed"],
    ["read", "completed"],
    ["edit", "completed"],
  ]);
  expect(fix.filter(({ type }) => type === "reasoning")).toHaveLength(2);
  expect(fix.filter(({ type }) => type === "step-finish")[1]).toMatchObject({
    tokens: { input: 8900 - 8192, output: 118 - 44, reasoning: 44, cache: { read: 8192 } },
  });
  expect(await readFile(`${opencode.workspace}/src/greet.js`, "utf8")).toContain('|| "stranger"}!');

  const run = await turn(session, demoMessages[1]);
  expect(tools(run)).toMatchObject([{ tool: "bash", state: { status: "completed", metadata: { exit: 0 } } }]);

  const answer = await turn(session, demoMessages[2]);
  expect(tools(answer)).toEqual([]);
  expect(answer).toContainEqual(expect.objectContaining({ type: "text", text: expect.stringContaining("One line") }));

  const info = await opencode.call("GET", `/session/${session}`);
  expect(info.title).toBe("Fix the greeting");
}, 120_000);

test("failures: two sessions are rate-limited once each and then succeed; the other failures happen as written", async () => {
  model.setScenario(await loadShippedScenario("failures"));
  const limited = await Promise.all([newSession(), newSession()]);
  const start = model.requests().length;
  const answers = await Promise.all(limited.map((session) => turn(session, "Answer me past the rate limit.")));
  for (const answer of answers) {
    expect(answer).toContainEqual(expect.objectContaining({ type: "text", text: "Here is the answer after all." }));
  }
  const made = model.requests().slice(start);
  for (const session of limited) {
    const own = made.filter(({ headers, rule }) => headers["x-session-id"] === session && rule !== "title");
    expect(own.map(({ status }) => status)).toEqual([429, 200]);
  }

  const session = await newSession();
  await turn(session, "Try the refused key.");
  const messages = await opencode.call("GET", `/session/${session}/message`);
  expect(messages.at(-1).info.error).toMatchObject({ name: "APIError", data: { statusCode: 401 } });
}, 120_000);

test("subagent: a child session does the work and its answer comes back", async () => {
  model.setScenario(await loadShippedScenario("subagent"));
  const session = await newSession();
  const parts = await turn(session, "Ask a sub-agent to count the functions.");
  expect(tools(parts)).toMatchObject([
    { tool: "task", state: { status: "completed", output: expect.stringContaining("There is one exported function") } },
  ]);
  const [child] = await opencode.call("GET", `/session/${session}/children`);
  const messages = await opencode.call("GET", `/session/${child.id}/message`);
  const childParts = messages.flatMap((message: { parts: never[] }) => message.parts);
  expect(tools(childParts)).toMatchObject([{ tool: "bash", state: { output: expect.stringContaining("greet.js:1") } }]);
}, 120_000);

test("long-tool: an abort ends the tool, and the next prompt is answered", async () => {
  model.setScenario(await loadShippedScenario("long-tool"));
  const session = await newSession();
  await opencode.call("POST", `/session/${session}/prompt_async`, {
    parts: [{ type: "text", text: "Take your time." }],
  });
  await opencode.waitFor(
    ({ type, properties }) =>
      type === "message.part.updated" &&
      properties.part.sessionID === session &&
      properties.part.state?.status === "running",
  );
  await opencode.call("POST", `/session/${session}/abort`);
  const parts = await turn(session, "Never mind, stop.");
  expect(parts).toContainEqual(expect.objectContaining({ type: "text", text: "All right, I stopped." }));
  const messages = await opencode.call("GET", `/session/${session}/message`);
  expect(messages[1].info.error.name).toBe("MessageAbortedError");
}, 120_000);
