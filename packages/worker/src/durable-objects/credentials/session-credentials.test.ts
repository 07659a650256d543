/** What opens a session's repository, on the real object: what of it is stored, shown and sent. */
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import { bindings } from "../../../test/bindings.ts";
import { eventually } from "../../../test/eventually.ts";
import { FakeRunner } from "../../../test/fake-runner.ts";
import { CALLER, TestSession, valueIn } from "../../../test/session.ts";
import { CREDENTIAL_KEY_BYTES } from "../../config.ts";
import { listSessions } from "../../database/sessions.ts";
import { SessionAgent } from "../session-agent.ts";
import { CredentialKeys } from "./credential-keys.ts";

const TOKEN = "ghp_0123456789abcdefghij";
const REPO = `https://user:canary@git.example/${TOKEN}/repo.git`;
const SHOWN = "https://git.example/REDACTED/repo.git";

/** Everything that the object has stored. */
function dump(session: TestSession): Promise<string> {
  return runInDurableObject(session.stub, (_object, { storage }) => {
    const tables = storage.sql.exec(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
    );
    return JSON.stringify(tables.toArray().map(({ name }) => storage.sql.exec(`SELECT * FROM "${name}"`).toArray()));
  });
}

/** Until the broker has answered the object writes its record as it knows it. */
function settled(session: TestSession): Promise<void> {
  return eventually(async () => expect((await session.view()).sandbox).toBeDefined());
}

/** Rewrites the record as a version without encryption wrote it, and restarts the object. */
async function asBefore(session: TestSession, patch: object): Promise<void> {
  await settled(session);
  await runInDurableObject(session.stub, (_object, { storage }) => {
    const { record } = storage.sql.exec("SELECT record FROM session").one();
    const before = { ...JSON.parse(record as string), ...patch };
    storage.sql.exec("UPDATE session SET record = ?", JSON.stringify(before));
  });
  await session.evict("close");
}

async function hello(session: TestSession) {
  const runner = await (await session.connect()).hello();
  return { config: await runner.next("config"), repo: await runner.next("repo-config"), runner };
}

const BOOTED = ["connected", "git_setup", "opencode_starting", "ready"] as const;

describe("at rest", () => {
  test("nothing stores them in plain text, and the runner receives them complete", async () => {
    const session = new TestSession();
    await session.create({ repoUrl: REPO });
    expect(await session.view()).toMatchObject({ repoUrl: SHOWN });
    const stored = await dump(session);
    expect(stored).toContain(SHOWN);
    expect(stored).not.toMatch(new RegExp(`canary|${TOKEN}`));
    const { repo } = await hello(session);
    expect(repo).toMatchObject({
      repoUrl: `https://git.example/${TOKEN}/repo.git`,
      credentials: { username: "user", password: "canary" },
    });
    const listed = await eventually(async () => {
      const found = (await listSessions(bindings.DB, CALLER.ownerId, 100)).find(({ id }) => id === session.id);
      expect(found).toBeDefined();
      return found;
    });
    expect(listed).toMatchObject({ repoUrl: SHOWN });
  });

  test("plain-text credentials of an older version still open, and are sealed", async () => {
    const session = new TestSession();
    await session.create({ repoUrl: "https://git.example/a.git" });
    const credentials = { username: "user", password: "canary" };
    await asBefore(session, { credentials, repoUrl: `https://git.example/${TOKEN}/a.git` });
    expect((await session.view()).repoUrl).toBe("https://git.example/REDACTED/a.git");
    await eventually(async () => expect(await dump(session)).not.toMatch(new RegExp(`canary|${TOKEN}`)));
    const { repo } = await hello(session);
    expect(repo).toMatchObject({ repoUrl: `https://git.example/${TOKEN}/a.git`, credentials });
  });

  test("an older version's ssh URL with a password is shown without it, also in the list", async () => {
    const session = new TestSession();
    const { ownerId } = CALLER;
    const view = await session.create({ repoUrl: "ssh://git@git.example/a.git" });
    await bindings.DB.prepare("INSERT OR REPLACE INTO sessions VALUES (?, ?, 'running', NULL, ?, ?, 1000000, ?)")
      .bind(
        session.id,
        ownerId,
        view.createdAt,
        view.updatedAt,
        JSON.stringify({ ...view, repoUrl: "ssh://git:canary@git.example/a.git" }),
      )
      .run();
    const listed = (await listSessions(bindings.DB, ownerId, 100)).find(({ id }) => id === session.id);
    expect(listed?.repoUrl).toBe("ssh://git@git.example/a.git");
    await asBefore(session, { repoUrl: "ssh://git:canary@git.example/a.git" });
    expect((await session.view()).repoUrl).toBe("ssh://git@git.example/a.git");
  });

  test("an object with a newer key seals them again", async () => {
    const session = new TestSession();
    await session.create({ repoUrl: REPO });
    await settled(session);
    const key = crypto.getRandomValues(new Uint8Array(CREDENTIAL_KEY_BYTES));
    await runInDurableObject(session.stub, async (_object, ctx) => {
      new SessionAgent(ctx, { ...bindings, VALET_CREDENTIAL_KEYS: Buffer.from(key).toString("base64url") });
      const newest = new CredentialKeys([key], "another");
      await eventually(async () => {
        const { record } = ctx.storage.sql.exec("SELECT record FROM session").one();
        const opened = await newest.open(JSON.parse(record as string).credentials, session.id);
        expect(opened).toMatchObject({ password: "canary" });
      });
    });
  });
});

describe("secrets", () => {
  test("are sent to a generation's runner once: a later connection with its token receives none", async () => {
    const session = new TestSession();
    await session.create({ repoUrl: REPO });
    const first = await hello(session);
    expect(first.config.modelAccess).toMatchObject({ openAiCompatible: { apiKey: "key-canary" } });
    for (const stage of BOOTED) first.runner.send({ type: "stage", stage });
    await session.reaches("running");
    const thief = await hello(session);
    expect(thief.config).toMatchObject({ hasSecrets: true, modelAccess: { model: "valet/test" } });
    expect(JSON.stringify([thief.config, thief.repo])).not.toMatch(new RegExp(`canary|${TOKEN}`));
    expect(thief.repo.repoUrl).toBe(SHOWN);
  });

  test("are sent again to the successor of an older runner that stores none for it", async () => {
    const session = new TestSession();
    await session.create({ repoUrl: REPO });
    const first = await (await session.connect()).ready({ version: "0.1.0" });
    await session.reaches("running");
    first.close();
    const second = await (await session.connect("restarted")).hello({ version: "0.1.0" });
    const config = await second.next("config");
    expect(config).toMatchObject({ modelAccess: { openAiCompatible: { apiKey: "key-canary" } } });
    expect(config.hasSecrets).toBeUndefined();
    expect((await second.next("repo-config")).credentials).toMatchObject({ password: "canary" });
  });

  test("are sent again if the link broke before the runner could receive them", async () => {
    const session = new TestSession();
    await session.create({ repoUrl: REPO });
    const first = await hello(session);
    first.runner.send({ type: "stage", stage: "connected" });
    first.runner.close();
    const second = await hello(session);
    expect(second.config.hasSecrets).toBeUndefined();
    expect(second.repo.credentials).toMatchObject({ password: "canary" });
  });

  test("lost during work on a full disk cost no files, and the next sandbox receives them again", async () => {
    const session = new TestSession();
    await session.create({ repoUrl: REPO });
    const first = await hello(session);
    for (const stage of BOOTED) first.runner.send({ type: "stage", stage });
    await session.reaches("running");
    const id = await session.send("work");
    await first.runner.accept();
    await session.broker.script({
      snapshot: [{ problem: { status: 500, code: "snapshot_failed", detail: "no space left on device" } }],
    });
    first.runner.send({ type: "stage", stage: "failed", errorType: "secrets_lost" });
    const { sleepProblem } = await eventually(async () => {
      const view = await session.view();
      expect(view.sleepProblem).toBeDefined();
      return view;
    });
    expect(sleepProblem).toMatchObject({ errorType: "snapshot_failed", detail: "no space left on device" });
    expect(await session.broker.calls("terminate")).toEqual([]);
    await session.elapse("check");
    await session.reaches("restoring");
    const next = await hello(session);
    expect(next.config).toMatchObject({ modelAccess: { openAiCompatible: { apiKey: "key-canary" } } });
    expect(next.repo.credentials).toMatchObject({ password: "canary" });
    for (const stage of BOOTED) next.runner.send({ type: "stage", stage });
    await next.runner.end((await next.runner.accept()).attemptId);
    await session.messageIs(id, { outcome: "ok", attempts: 2 });
    const [sleep] = await session.spans("valet.sandbox.hibernate");
    expect(sleep?.attributes).toMatchObject({
      "valet.hibernate.reason": "runner_lost",
      "valet.error.cause": "secrets_lost",
    });
  });

  test("are sent to the next generation's runner, too", async () => {
    const session = new TestSession();
    await session.create({ repoUrl: REPO });
    const { token } = await session.credentials();
    const first = await hello(session);
    for (const stage of BOOTED) first.runner.send({ type: "stage", stage });
    await session.reaches("running");
    // Its sandbox is kept in a snapshot, and the session wakes in another one.
    first.runner.send({ type: "stage", stage: "failed", errorType: "secrets_lost" });
    await session.reaches("hibernated");
    await session.send("go on");
    await eventually(async () => expect((await session.view()).generation).toBe(2));
    const old = await FakeRunner.open(session.stub, { token, generation: 1 });
    expect((await old.next("refused")).reason).toBe("stale_generation");
    expect((await hello(session)).repo.credentials).toMatchObject({ password: "canary" });
  });
});

test("two concurrent calls create one session", async () => {
  const session = new TestSession();
  const create = () => session.stub.create({ id: session.id, repoUrl: REPO }, CALLER);
  const [one, two] = await Promise.all([create(), create()]);
  expect([valueIn(one).id, valueIn(two).id]).toEqual([session.id, session.id]);
  await session.credentials();
  expect(await session.broker.calls("create")).toHaveLength(1);
});
