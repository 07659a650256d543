/** What the plugin gathers of a request to a model, as OpenCode calls its hooks. */
import { expect, test } from "vitest";
import { inputMessages, type SentMessage } from "./captured-input.ts";
import { ModelRequests, readCapturesContent } from "./model-requests.ts";

const CALL = { opencodeSessionId: "ses_1", messageId: "msg_2", userMessageId: "msg_1" };
const INPUT = { sessionID: "ses_1", agent: "build" };
const SETTINGS = { temperature: 0.2, topP: 0.9, topK: 3, maxOutputTokens: 100, options: { reasoningEffort: "low" } };
const PARAMS = { temperature: 0.2, topP: 0.9, topK: 3, maxTokens: 100, reasoningLevel: "low" };

const message = (id: string, role: string, parts: SentMessage["parts"]): SentMessage => ({
  info: { id, role, sessionID: "ses_1" },
  parts,
});
const SAID = [
  message("msg_1", "user", [
    { type: "text", text: "Fix it." },
    { type: "text", text: "not sent", ignored: true },
    { type: "file", mime: "image/png", filename: "a.png", url: "data:image/png;base64,AAAA" },
    { type: "file", mime: "text/html", url: "https://example.com/a" },
  ]),
  message("msg_2", "assistant", [
    { type: "step-start" },
    { type: "reasoning", text: "I read." },
    { type: "tool", tool: "read", callID: "c1", state: { input: { path: "a" }, output: "text" } },
    { type: "tool", tool: "bash", callID: "c2", state: { input: { command: "x" }, error: "no" } },
    { type: "tool", tool: "bash", callID: "c3", state: { input: {} } },
  ]),
];
const MESSAGES = [
  {
    role: "user",
    parts: [
      { type: "text", content: "Fix it." },
      { type: "blob", mime_type: "image/png", filename: "a.png" },
      { type: "uri", mime_type: "text/html", uri: "https://example.com/a" },
    ],
  },
  {
    role: "assistant",
    parts: [
      { type: "reasoning", content: "I read." },
      { type: "tool_call", id: "c1", name: "read", arguments: { path: "a" } },
      { type: "tool_call", id: "c2", name: "bash", arguments: { command: "x" } },
      { type: "tool_call", id: "c3", name: "bash", arguments: {} },
    ],
  },
  {
    role: "tool",
    parts: [
      { type: "tool_call_response", id: "c1", response: "text" },
      { type: "tool_call_response", id: "c2", response: "no" },
    ],
  },
];

test("a conversation becomes the conventions' messages, without the bytes of attachments", () => {
  expect(inputMessages(SAID)).toEqual(MESSAGES);
  expect(inputMessages([])).toEqual([]);
});

test("without capture only the settings are told, and no hook hears content", async () => {
  const requests = new ModelRequests(false);
  expect(Object.keys(requests.hooks)).toEqual(["chat.params"]);
  await requests.hooks["chat.params"](INPUT, SETTINGS);
  expect(requests.prepared(INPUT, CALL)).toEqual({ ...CALL, params: PARAMS });
  // Of another agent of the same session, nothing is known.
  expect(requests.prepared({ ...INPUT, agent: "compaction" }, CALL).params).toEqual({});
});

test("with capture what was sent is told, as later plugins leave it", async () => {
  const requests = new ModelRequests(true);
  const { hooks } = requests;
  if (!("experimental.chat.system.transform" in hooks)) throw new Error("no capture");
  const system = ["You help."];
  const settings = { ...SETTINGS };
  await hooks["experimental.chat.messages.transform"]({}, { messages: SAID });
  await hooks["experimental.chat.system.transform"]({ sessionID: "ses_1" }, { system });
  await hooks["chat.params"](INPUT, settings);
  system.push("Briefly.");
  settings.temperature = 1;
  const { input = "", system: told = "", params } = requests.prepared(INPUT, CALL);
  expect(JSON.parse(input)).toEqual(MESSAGES);
  expect(JSON.parse(told)).toEqual([
    { type: "text", content: "You help." },
    { type: "text", content: "Briefly." },
  ]);
  expect(params.temperature).toBe(1);
  // A request for another message has another conversation.
  expect(requests.prepared(INPUT, { ...CALL, userMessageId: "msg_9" })).not.toHaveProperty("input");
});

test("hooks take whatever OpenCode gives them", async () => {
  const { hooks } = new ModelRequests(true);
  if (!("experimental.chat.system.transform" in hooks)) throw new Error("no capture");
  await hooks["experimental.chat.messages.transform"]({}, { messages: [] });
  await hooks["experimental.chat.messages.transform"]({}, {} as never);
  await hooks["experimental.chat.system.transform"]({}, { system: [] });
  await hooks["chat.params"]({ sessionID: "ses_1" }, undefined as never);
});

test.each(['"', "\u0001", "語", "a"])(
  "a conversation of any length fits into a request to the runner: %j",
  async (unit) => {
    const requests = new ModelRequests(true);
    const { hooks } = requests;
    if (!("experimental.chat.system.transform" in hooks)) throw new Error("no capture");
    const text = unit.repeat(20_000);
    for (const count of [1, 5, 40]) {
      const messages = Array.from({ length: count }, () => message("msg_1", "user", [{ type: "text", text }]));
      await hooks["experimental.chat.messages.transform"]({}, { messages });
      await hooks["experimental.chat.system.transform"]({ sessionID: "ses_1" }, { system: [text.repeat(9)] });
      const body = JSON.stringify({ modelRequest: requests.prepared(INPUT, CALL) });
      expect(Buffer.byteLength(body)).toBeLessThan(512 * 1024);
    }
  },
);

test("whether content is captured is read once, and removed from the environment", () => {
  const env = { VALET_CAPTURES_CONTENT: "1" };
  expect(readCapturesContent(env)).toBe(true);
  expect(env).toEqual({});
  expect(readCapturesContent({})).toBe(false);
});
