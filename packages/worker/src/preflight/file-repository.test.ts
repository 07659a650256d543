import { createExecutionContext } from "cloudflare:test";
import { brokerProblem } from "@valet/shared/protocol/sandbox-broker";
import { afterEach, expect, test, vi } from "vitest";
import { call, ORIGIN, signIn } from "../../test/api.ts";
import { bindings } from "../../test/bindings.ts";
import type { Env } from "../bindings.ts";
import { createApp } from "../http/app.ts";
import { refuseFileRepository } from "./file-repository.ts";

afterEach(() => vi.restoreAllMocks());

const ALLOWED = { ...bindings, VALET_ALLOW_FILE_REPOS: "true" };
type Answer = (signal: AbortSignal) => Response | Promise<Response>;

/** Creates a session on a `file:` repository whose broker answers like this. */
async function create(answer: Answer, env: Env = ALLOWED) {
  const token = await signIn();
  const asked: unknown[] = [];
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const { pathname } = new URL(String(input));
    if (pathname !== "/v1/repositories/check") throw new Error("away");
    asked.push(JSON.parse(String(init?.body)));
    return answer(init?.signal as AbortSignal);
  });
  const request = new Request(`${ORIGIN}/api/sessions`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ repoUrl: "file:///srv/a.git", branch: "main" }),
  });
  const response = await createApp().fetch(request, env, createExecutionContext());
  const { sessions } = (await (await call("GET", "/api/sessions", { token })).json()) as { sessions: object[] };
  return { status: response.status, body: await response.json(), sessions: sessions.length, asked };
}

const says = (state: string) => () => Response.json({ state });
const hangs: Answer = (signal) =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

test.each([
  ["not_found", "repoUrl", "there is no git repository in this folder"],
  ["no_ref", "branch", "the repository has neither a branch nor a tag of this name"],
])("%s is refused before a session exists, with its field", async (state, path, part) => {
  const { status, body, sessions, asked } = await create(says(state));
  expect([status, sessions]).toEqual([400, 0]);
  expect(body).toMatchObject({ errors: [{ path, message: expect.stringContaining(part) }] });
  expect(asked).toEqual([{ url: "file:///srv/a.git", branch: "main" }]);
});

test.each<[string, Answer]>([
  ["knows the repository", says("ok")],
  ["could not find out", says("unknown")],
  ["says what only a newer Worker understands", says("a_new_state")],
  ["does not have the route", () => Response.json(brokerProblem("not_found"), { status: 404 })],
  ["answers with something else", () => new Response("<html>")],
  ["is away", () => Promise.reject(new Error("connection refused"))],
  ["hangs", hangs],
])("a broker that %s does not keep a session from being created", async (_what, answer) => {
  const { status, sessions, asked } = await create(answer);
  expect([status, sessions, asked.length]).toEqual([201, 1, 1]);
});

test("where files are not allowed, the broker is not asked", async () => {
  expect(await create(says("ok"), bindings)).toMatchObject({ status: 400, asked: [] });
});

test.each(["https://git.example/a.git", "git@git.example:a.git", undefined])(
  "%s is not the broker's to check",
  async (repoUrl) => {
    const send = vi.fn<typeof fetch>();
    expect(await refuseFileRepository({ repoUrl }, ALLOWED, send)).toBeUndefined();
    expect(send).not.toHaveBeenCalled();
  },
);
