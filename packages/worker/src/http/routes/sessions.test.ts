import { createExecutionContext } from "cloudflare:test";
import { type MessageList, SessionList } from "@valet/shared/protocol/session-api";
import { SessionView } from "@valet/shared/protocol/session-view";
import { describe, expect, test } from "vitest";
import { call, createSession, ORIGIN, signIn } from "../../../test/api.ts";
import { bindings } from "../../../test/bindings.ts";
import { eventually } from "../../../test/eventually.ts";
import { upsertSession } from "../../database/sessions.ts";
import { createApp } from "../app.ts";

const REPO = "https://git.example/team/repo.git";

async function errorsOf(token: string, body: object) {
  const response = await call("POST", "/api/sessions", { token, body });
  expect(response.status).toBe(400);
  return ((await response.json()) as { errors: { path: string; message: string }[] }).errors;
}

describe("a session is created", () => {
  test("without any field", async () => {
    const token = await signIn();
    const response = await call("POST", "/api/sessions", { token, body: {} });
    expect(response.status).toBe(201);
    const view = SessionView.parse(await response.json());
    expect(response.headers.get("location")).toBe(`/api/sessions/${view.id}`);
  });

  test("with every field", async () => {
    const token = await signIn();
    const parent = await createSession(token);
    const input = {
      repoUrl: REPO,
      branch: "main",
      ref: "v1.2",
      title: "Fix it",
      prompt: "Fix the tests",
      queueMode: "collect",
      model: "anthropic/claude",
      models: ["openai/gpt", "valet/a/b:free"],
      idleTimeoutMs: 60_000,
      parentSessionId: parent.id,
    };
    const { prompt, ...shown } = input;
    const { id } = await createSession(token, input);
    const view = await (await call("GET", `/api/sessions/${id}`, { token })).json();
    expect(view).toMatchObject(shown);
  });

  test("with an id of the caller's, once: the same again returns it, anything else is refused", async () => {
    const token = await signIn();
    const id = `ses_${crypto.randomUUID().replaceAll("-", "").slice(0, 26)}`;
    const post = (body: object, by = token) => call("POST", "/api/sessions", { token: by, body });
    const body = { id, title: "Fix it", repoUrl: "https://me:pass@git.example/a.git", prompt: "Fix the tests" };
    const both = await Promise.all([post(body), post(body)]);
    expect(both.map(({ status }) => status)).toEqual([201, 201]);
    const { prompt, ...rest } = body;
    // The order of fields does not count, and neither does the password, of which nothing is kept.
    const again = await post({ prompt, ...rest, repoUrl: "https://me:other@git.example/a.git" });
    expect(again.status).toBe(201);
    expect(await again.json()).toMatchObject({ id, title: "Fix it" });
    const { messages } = await (await call("GET", `/api/sessions/${id}/messages`, { token })).json<MessageList>();
    expect(messages.length).toBe(1);

    for (const other of [{ ...body, title: "Other" }, rest, { id }, { ...body, model: "groq/none" }]) {
      const refused = await post(other);
      expect([refused.status, await refused.json()]).toMatchObject([409, { type: "urn:valet:problem:id-taken" }]);
    }
    const stranger = await post(body, await signIn());
    expect([stranger.status, await stranger.json()]).toMatchObject([409, { type: "urn:valet:problem:session-exists" }]);
  });

  test("with the id of a session without a digest: as again where nothing contradicts what is known of it", async () => {
    const token = await signIn();
    const created = { title: "Fix it", repoUrl: "https://me:pass@git.example/a.git", prompt: "Fix the tests" };
    // An earlier version created it, or Valet chose its id.
    const { id } = await createSession(token, created);
    const post = (body: object) => call("POST", "/api/sessions", { token, body: { id, ...body } });
    for (const same of [
      created,
      { ...created, models: [], queueMode: "followup", trustRepositoryConfig: false },
      { ...created, repoUrl: "https://me:other@git.example/a.git" },
    ]) {
      const again = await post(same);
      expect([again.status, await again.json()]).toMatchObject([201, { id, title: "Fix it" }]);
    }
    const { title: _, ...untitled } = created;
    const { prompt: __, ...silent } = created;
    for (const other of [
      {},
      untitled,
      silent,
      { ...created, prompt: "Fix it" },
      { ...created, repoUrl: "https://git.example/b.git" },
      { ...created, branch: "main" },
      { ...created, model: "groq/none" },
      { ...created, models: ["valet/other"] },
      { ...created, queueMode: "collect" },
      { ...created, trustRepositoryConfig: true },
      { ...created, askBefore: ["commands"] },
      { ...created, idleTimeoutMs: 1234 },
    ]) {
      const refused = await post(other);
      expect([refused.status, await refused.json()]).toMatchObject([409, { type: "urn:valet:problem:id-taken" }]);
    }
    const { messages } = await (await call("GET", `/api/sessions/${id}/messages`, { token })).json<MessageList>();
    expect(messages.length).toBe(1);
  });

  test("as a child with an id of the caller's, once in its family, whatever is asked for again", async () => {
    const token = await signIn();
    const parent = await createSession(token);
    const id = `ses_${crypto.randomUUID().replaceAll("-", "").slice(0, 26)}`;
    const body = { id, parentSessionId: parent.id };
    for (const [each, status] of [
      [body, 201],
      [body, 201],
      [{ ...body, title: "Other" }, 409],
    ] as const) {
      expect((await call("POST", "/api/sessions", { token, body: each })).status).toBe(status);
    }
    const path = `/api/sessions?parentSessionId=${parent.id}`;
    const { sessions } = SessionList.parse(await (await call("GET", path, { token })).json());
    expect(sessions.map((each) => each.id)).toEqual([id]);
  });

  test.each([
    ["id", "ses_short"],
    ["id", "ses_UPPERCASEUPPERCASEUPPERCA"],
    ["repoUrl", "http://git.example/a.git"],
    ["repoUrl", "git://git.example/a.git"],
    ["repoUrl", "ext::sh -c id"],
    ["repoUrl", "ssh://-oProxyCommand=id/x"],
    ["repoUrl", "ssh://user:pw@git.example/a.git"],
    ["repoUrl", "https://git.example/https%3A%2F%2Fuser%3Apw%40other/a.git"],
    ["repoUrl", "/etc"],
    ["branch", "--upload-pack=id"],
    ["ref", "a..b"],
    ["title", ""],
    ["prompt", "x".repeat(200_001)],
    ["model", "claude"],
    ["models", [1]],
    ["models", Array(11).fill("a/b")],
    ["queueMode", "later"],
    ["idleTimeoutMs", -1],
    ["idleTimeoutMs", 1.5],
    ["parentSessionId", "x"],
  ])("but not with %s %j", async (field, value) => {
    const errors = await errorsOf(await signIn(), { [field]: value });
    expect(errors.map(({ path }) => path.split(".")[0])).toEqual([field]);
  });

  test("not from a file, when sandboxes run on another machine", async () => {
    const errors = await errorsOf(await signIn(), { repoUrl: "file:///srv/repo.git" });
    expect(errors).toMatchObject([{ path: "repoUrl" }]);
  });

  test("from a file, when sandboxes run on this machine", async () => {
    const request = new Request(`${ORIGIN}/api/sessions`, {
      method: "POST",
      headers: { authorization: `Bearer ${await signIn()}`, "content-type": "application/json" },
      body: JSON.stringify({ repoUrl: "file:///srv/repo.git" }),
    });
    const env = { ...bindings, VALET_ALLOW_FILE_REPOS: "true" };
    const response = await createApp().fetch(request, env, createExecutionContext());
    expect(SessionView.parse(await response.json()).repoUrl).toBe("file:///srv/repo.git");
  });

  test("with a password that is never shown", async () => {
    const token = await signIn();
    const { id } = await createSession(token, { repoUrl: "https://user:pa55word@git.example/a.git" });
    for (const path of [`/api/sessions/${id}`, "/api/sessions"]) {
      const text = await (await call("GET", path, { token })).text();
      expect(text).toContain("https://git.example/a.git");
      expect(text).not.toContain("pa55word");
    }
  });

  test("not as a child of another owner's session", async () => {
    const { id } = await createSession(await signIn());
    expect(await errorsOf(await signIn(), { parentSessionId: id })).toMatchObject([{ path: "parentSessionId" }]);
  });
});

describe("the list", () => {
  test("has the owner's sessions only, newest first", async () => {
    const token = await signIn();
    await createSession(await signIn());
    const made = [await createSession(token), await createSession(token)];
    const { sessions } = SessionList.parse(await (await call("GET", "/api/sessions", { token })).json());
    expect(sessions.map(({ id }) => id).sort()).toEqual(made.map(({ id }) => id).sort());
    const times = sessions.map(({ createdAt }) => createdAt);
    expect(times).toEqual(times.toSorted().reverse());
  });

  test("is the same for each of the owner's tokens", async () => {
    const ownerId = crypto.randomUUID();
    const { id } = await createSession(await signIn(ownerId));
    const { sessions } = SessionList.parse(
      await (await call("GET", "/api/sessions", { token: await signIn(ownerId) })).json(),
    );
    expect(sessions.map((session) => session.id)).toEqual([id]);
  });

  test("has pages without gaps or duplicates, also for equal times", async () => {
    const ownerId = crypto.randomUUID();
    const token = await signIn(ownerId);
    const { id, ...rest } = (await createSession(token)) as SessionView;
    const ids = Array.from({ length: 6 }, (_, n) => `ses_${n}`);
    await bindings.DB.batch(
      ids.map((id) => upsertSession(bindings.DB, { ownerId, version: 1, view: { ...rest, id } })),
    );
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const query = new URLSearchParams({ limit: "3", ...(cursor !== undefined && { cursor }) });
      const response = await call("GET", `/api/sessions?${query}`, { token });
      const page = SessionList.parse(await response.json());
      expect(page.sessions.length).toBeLessThanOrEqual(3);
      seen.push(...page.sessions.map((session) => session.id));
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    expect(seen.toSorted()).toEqual([id, ...ids].toSorted());
  });
});

describe("a search", () => {
  test("finds words in title, repository, branch and id, of one owner, and takes each character as it is", async () => {
    const owner = await signIn();
    const make = async (input: object) => (await createSession(owner, input)).id;
    const export_ = await make({ title: "Mend the Flaky export of axb" });
    const percent = await make({ title: "100% of a_b" });
    const hebrew = await make({ title: "\u202bשלום\u202c <img onerror>" });
    const repository = await make({ repoUrl: "https://git.example/acme/billing.git", branch: "fix/export" });
    await createSession(await signIn(), { title: "export of somebody else" });
    const found = async (q: string) => {
      const response = await call("GET", `/api/sessions?q=${encodeURIComponent(q)}`, { token: owner });
      expect(response.status, q).toBe(200);
      const { sessions, nextCursor } = SessionList.parse(await response.json());
      expect(nextCursor).toBeUndefined();
      return sessions.map(({ id }) => id);
    };
    await eventually(async () => expect(await found("acme")).toEqual([repository]));
    expect(await found("EXPORT")).toEqual([repository, export_]);
    expect(await found("export flaky")).toEqual([export_]);
    expect(await found("billing fix/exp")).toEqual([repository]);
    expect(await found("%")).toEqual([percent]);
    expect(await found("a_b")).toEqual([percent]);
    expect(await found("שלום")).toEqual([hebrew]);
    expect(await found("onerror>")).toEqual([hebrew]);
    expect(await found(hebrew.slice(0, 14))).toEqual([hebrew]);
    expect(await found("nothing")).toEqual([]);
    expect((await found(" \u200b")).length).toBe(4);
    for (const q of ["", "x".repeat(201)]) {
      expect((await call("GET", `/api/sessions?q=${q}`, { token: owner })).status).toBe(400);
    }
  });
});
