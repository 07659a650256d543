/** The variables of the agent's shells: the context of their tool call, and how git finds the hooks that add trailers. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { OpenAnswers } from "./open-answers.ts";
import { readCommitHooks, shellEnvironments } from "./shell-environment.ts";

const HOOKS = { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "core.hooksPath", GIT_CONFIG_VALUE_0: "/hooks" };

async function runnerThat(answers: string | undefined) {
  const bodies: string[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    bodies.push(body);
    if (answers !== undefined) response.end(answers);
  }).listen(0, "127.0.0.1");
  await vi.waitFor(() => expect(server.listening).toBe(true), 20_000);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const access = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, secret: "s" };
  return { access, bodies };
}

/** The session `ses_a` works on `msg_2`. */
function working() {
  const answers = new OpenAnswers();
  answers.updated({ info: { role: "assistant", id: "msg_2", parentID: "msg_1", sessionID: "ses_a" } });
  return answers;
}

const TOOL = { sessionID: "ses_a", callID: "call_1" };
const CONTEXT = { TRACEPARENT: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`, TRACESTATE: "a=b" };

test("one request names the call, and gives its context and the message of the session's turn; settings of shells stay", async () => {
  const origin = { messageId: "msg_1", traceId: "a".repeat(32) };
  const { access, bodies } = await runnerThat(JSON.stringify({ ...origin, env: CONTEXT }));
  vi.stubEnv("GIT_CONFIG_COUNT", "2");
  onTestFinished(() => void vi.unstubAllEnvs());
  const ids = { VALET_MESSAGE_ID: "msg_1", VALET_TRACE_ID: "a".repeat(32) };
  // OpenCode's own settings, which shells do not have.
  const hidden = { GIT_CONFIG_COUNT: undefined };
  expect(await shellEnvironments(access, working(), "/hooks", hidden)(TOOL)).toEqual({ ...HOOKS, ...ids, ...CONTEXT });
  expect(bodies.map((body) => JSON.parse(body))).toEqual([
    { shell: { opencodeSessionId: "ses_a", call: { messageId: "msg_2", callId: "call_1" } } },
  ]);
  expect(await shellEnvironments(access, working(), "/hooks", {})(TOOL)).toEqual({
    GIT_CONFIG_COUNT: "3",
    GIT_CONFIG_KEY_2: "core.hooksPath",
    GIT_CONFIG_VALUE_2: "/hooks",
    ...ids,
    ...CONTEXT,
  });
  expect(await shellEnvironments(access, working(), undefined, {})(TOOL)).toEqual(CONTEXT);
});

test("a call of which nobody knows the message is not named, nor is one that has no id", async () => {
  const { access, bodies } = await runnerThat("{}");
  const variablesOf = shellEnvironments(access, working(), undefined, {});
  await variablesOf({ sessionID: "ses_other", callID: "call_1" });
  await variablesOf({ sessionID: "ses_a" });
  await variablesOf({});
  expect(bodies.map((body) => JSON.parse(body))).toEqual([
    { shell: { opencodeSessionId: "ses_other" } },
    { shell: { opencodeSessionId: "ses_a" } },
  ]);
});

test.each([
  ["does not answer", undefined],
  ["knows no turn", "{}"],
  ["answers something else", '{"messageId":"a b; rm -rf"}'],
  ["answers variables that are none", '{"env":{"PATH=/":"x"}}'],
  ["has no page", "<html>"],
])("a command has no context, and its commits name only the session, if the runner %s", async (_what, answers) => {
  const { access } = await runnerThat(answers);
  expect(await shellEnvironments(access, working(), "/hooks", {})(TOOL)).toEqual(HOOKS);
  expect(await shellEnvironments(access, working(), undefined, {})(TOOL)).toEqual({});
});

test("a runner that is gone changes nothing for a command", async () => {
  const access = { url: "http://127.0.0.1:9/", secret: "s" };
  expect(await shellEnvironments(access, working(), undefined, {})(TOOL)).toEqual({});
});

test("the folder is read once, and removed from the environment", () => {
  const env = { VALET_COMMIT_HOOKS: "/hooks" };
  expect(readCommitHooks(env)).toBe("/hooks");
  expect(env).toEqual({});
  expect(readCommitHooks({})).toBeUndefined();
});
