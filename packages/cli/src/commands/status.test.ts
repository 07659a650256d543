import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { SessionStatus } from "@valet/shared/protocol/session-view";
import { viewIncompleteSnapshot, viewRunnerWarning } from "@valet/shared/protocol/warnings";
import { expect, onTestFinished, test, vi } from "vitest";
import { runProgram } from "../run-program.ts";
import { NOW } from "../sample-now.ts";

interface Listed {
  readonly id: string;
  readonly status: SessionStatus;
}

const PAGE = 100;
const sessionsOf = (count: number, status: SessionStatus): Listed[] =>
  Array.from({ length: count }, (_, index) => ({ id: `ses_${status}_${index}`, status }));

/** Runs `status` with these arguments beside an API. @param answer returns the answer to a request, and its status if it is not 200 */
async function runStatus(args: readonly string[], answer: (url: URL) => readonly [body: unknown, status?: number]) {
  const server = createServer((request, response) => {
    const [body, status = 200] = answer(new URL(request.url ?? "", "http://valet.test"));
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close().closeAllConnections());
  await once(server, "listening");
  let stdout = "";
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    stdout += text;
    return true;
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const code = await runProgram(["status", ...args, "--url", url, "--token", "t"]);
  write.mockRestore();
  return { code, stdout };
}

/** Runs `status --json` beside an API with these sessions, newest first. @param gone the session that is deleted meanwhile */
async function statusOf(sessions: readonly Listed[], gone?: string) {
  const asked = { pages: 0, sessions: 0 };
  const { code, stdout } = await runStatus(["--json"], ({ pathname, searchParams }) => {
    const id = /^\/api\/sessions\/(.+)\/now$/.exec(pathname)?.[1];
    asked[id === undefined ? "pages" : "sessions"]++;
    if (id !== undefined && id === gone) {
      return [{ type: "urn:valet:problem:session-deleted", title: "The session was deleted", status: 410 }, 410];
    }
    if (id !== undefined) return [{ ...NOW, sessionId: id }];
    const from = Number(searchParams.get("cursor") ?? 0);
    const page = sessions.slice(from, from + PAGE).map((each) => ({ ...VIEW, ...each }));
    return [{ sessions: page, ...(from + PAGE < sessions.length && { nextCursor: String(from + PAGE) }) }];
  });
  const { sessions: shown, has_more } = JSON.parse(stdout);
  return {
    code,
    asked,
    has_more,
    shown: (shown as { readonly sessionId: string }[]).map(({ sessionId }) => sessionId),
  };
}

const VIEW = {
  agent: "none",
  models: [],
  queueMode: "followup",
  idleTimeoutMs: 0,
  queueLength: 0,
  generation: 1,
  permissions: [],
  questions: [],
  createdAt: NOW.at,
  updatedAt: NOW.at,
};

test("status asks the newest hundred sessions that are not terminated, and says that there are more", async () => {
  const open = sessionsOf(300, "hibernated");
  const { asked, has_more, shown } = await statusOf([...sessionsOf(150, "terminated"), ...open]);
  expect(shown).toEqual(open.slice(0, 100).map(({ id }) => id));
  expect([has_more, asked]).toEqual([true, { pages: 3, sessions: 100 }]);
});

test("status asks no more than a thousand sessions whether they are terminated", async () => {
  const { asked, has_more, shown } = await statusOf([...sessionsOf(2_000, "terminated"), ...sessionsOf(1, "running")]);
  expect([shown, has_more, asked]).toEqual([[], true, { pages: 10, sessions: 0 }]);
});

test("status of exactly a hundred sessions does not say that there are more", async () => {
  const { has_more, shown } = await statusOf([...sessionsOf(100, "running"), ...sessionsOf(30, "terminated")]);
  expect([shown.length, has_more]).toEqual([100, false]);
});

test("a session that is deleted meanwhile is left out", async () => {
  const [kept, gone] = sessionsOf(2, "running").map(({ id }) => id);
  const { code, shown } = await statusOf(sessionsOf(2, "running"), gone);
  expect([code, shown]).toEqual([0, [kept]]);
});

test("the status of one session ends with its warnings, which say what to do", async () => {
  const id = "ses_01j8z3k5m7n9p1q3r5s7t9v1w3";
  const warnings = [viewRunnerWarning("repository_empty"), viewIncompleteSnapshot(3)];
  const { code, stdout } = await runStatus([id], ({ pathname }) =>
    pathname.endsWith("/now") ? [{ ...NOW, sessionId: id }] : [{ ...VIEW, id, status: "running", warnings }],
  );
  expect(code).toBe(0);
  const lines = stdout.trimEnd().split("\n");
  expect(lines[0]).toMatch(id);
  expect(lines.slice(-2)).toEqual(warnings.map(({ type, message }) => `warning: ${type}: ${message}`));
});
