/** The variables of the agent's shells by which git finds the hooks that add trailers to commits. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { commitOrigins, readCommitHooks } from "./commit-origin.ts";

const HOOKS = { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "core.hooksPath", GIT_CONFIG_VALUE_0: "/hooks" };

async function runnerThat(answers: string | undefined) {
  const bodies: string[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    bodies.push(body);
    if (answers !== undefined) response.end(answers);
  }).listen(0, "127.0.0.1");
  await vi.waitFor(() => expect(server.listening).toBe(true));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const access = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, secret: "s" };
  return { access, bodies };
}

test("they name the message of the session's turn, and keep the settings that shells have", async () => {
  const { access, bodies } = await runnerThat(JSON.stringify({ messageId: "msg_1", traceId: "a".repeat(32) }));
  vi.stubEnv("GIT_CONFIG_COUNT", "2");
  onTestFinished(() => void vi.unstubAllEnvs());
  const ids = { VALET_MESSAGE_ID: "msg_1", VALET_TRACE_ID: "a".repeat(32) };
  // OpenCode's own settings, which shells do not have.
  expect(await commitOrigins(access, "/hooks", { GIT_CONFIG_COUNT: undefined })("ses_a")).toEqual({ ...HOOKS, ...ids });
  expect(await commitOrigins(access, "/hooks", {})("ses_a")).toEqual({
    GIT_CONFIG_COUNT: "3",
    GIT_CONFIG_KEY_2: "core.hooksPath",
    GIT_CONFIG_VALUE_2: "/hooks",
    ...ids,
  });
  expect(JSON.parse(bodies[0] ?? "")).toEqual({ shell: { opencodeSessionId: "ses_a" } });
});

test.each([
  ["does not answer", undefined],
  ["knows no turn", "{}"],
  ["answers something else", '{"messageId":"a b; rm -rf"}'],
])("they name only the session if the runner %s", async (_what, answers) => {
  const { access } = await runnerThat(answers);
  expect(await commitOrigins(access, "/hooks", {})("ses_a")).toEqual(HOOKS);
  expect(await commitOrigins(access, "/hooks", {})(undefined)).toEqual(HOOKS);
});

test("the folder is read once, and removed from the environment", () => {
  const env = { VALET_COMMIT_HOOKS: "/hooks" };
  expect(readCommitHooks(env)).toBe("/hooks");
  expect(env).toEqual({});
  expect(readCommitHooks({})).toBeUndefined();
});
