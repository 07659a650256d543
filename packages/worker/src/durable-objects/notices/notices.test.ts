// Events for endpoints of webhooks: at the real object and D1, with a receiver in place of the network.
import { runInDurableObject } from "cloudflare:test";
import {
  type WebhookEvent,
  WebhookEvent as WebhookEventSchema,
  type WebhookEventType,
} from "@valet/shared/protocol/webhooks";
import { contextHeaders, extractFromHeaders } from "@valet/shared/tracing";
import { Webhook } from "standardwebhooks";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { bindings } from "../../../test/bindings.ts";
import { eventually } from "../../../test/eventually.ts";
import type { FakeRunner } from "../../../test/fake-runner.ts";
import { requestOf, sessionIn, working } from "../../../test/family.ts";
import { RunnerSpans } from "../../../test/runner-spans.ts";
import { CALLER, TestSession, valueIn } from "../../../test/session.ts";
import { parseConfig } from "../../config.ts";
import { addWebhook, enableWebhook, listWebhooks, removeWebhook } from "../../database/webhooks.ts";
import { newSecret, sealSecrets } from "../../webhooks/secrets.ts";
import { newId } from "../core/ids.ts";
import { CredentialKeys } from "../credentials/credential-keys.ts";

const { DB } = bindings;
const { ownerId } = CALLER;
const CANARY = "content-canary";

interface Got {
  readonly url: string;
  readonly id: string;
  readonly event: WebhookEvent;
}

/** Receives what is sent to endpoints, verifies it, and answers as it is told to. */
class Receiver {
  readonly got: Got[] = [];
  answer: (url: string) => Response | Promise<Response> = () => new Response(null, { status: 204 });
  readonly #secrets = new Map<string, string>();

  constructor() {
    const { fetch } = globalThis;
    vi.spyOn(globalThis, "fetch").mockImplementation((input, init) => {
      const url = String(input instanceof Request ? input.url : input);
      const secret = this.#secrets.get(url);
      return secret === undefined ? fetch(input, init) : this.#take(url, secret, init);
    });
  }

  async add(events: readonly WebhookEventType[] = ["turn.ended"]): Promise<{ id: string; url: string }> {
    const { credentialKeys, broker } = parseConfig(bindings);
    const [id, secret] = [newId("wh"), newSecret()];
    const url = `https://hooks.example.com/${id}`;
    this.#secrets.set(url, secret);
    const secrets = await sealSecrets(new CredentialKeys(credentialKeys, broker.secret), id, { current: secret });
    await addWebhook(DB, { id, ownerId, url, events, secrets, createdAt: new Date().toISOString() }, 20);
    return { id, url };
  }

  async #take(url: string, secret: string, init?: RequestInit): Promise<Response> {
    const headers = Object.fromEntries(new Headers(init?.headers));
    const event = WebhookEventSchema.parse(new Webhook(secret).verify(String(init?.body), headers));
    expect(String(init?.body)).not.toContain(CANARY);
    this.got.push({ url, id: headers["webhook-id"] ?? "", event });
    return this.answer(url);
  }

  /** Returns the ids of the messages whose turns it was told of, each time that it was. */
  get turns(): string[] {
    return this.got.flatMap(({ event }) => (event.type === "turn.ended" ? event.data.turn.message_ids : []));
  }
}

let receiver: Receiver;
const sessions: TestSession[] = [];

async function start(): Promise<{ session: TestSession; runner: FakeRunner }> {
  const started = await TestSession.running();
  sessions.push(started.session);
  return started;
}

beforeEach(() => {
  receiver = new Receiver();
});
afterEach(async () => {
  // What a session has still to tell would reach the endpoints of the next test.
  for (const session of sessions.splice(0)) if ((await session.stub.view()).ok) await projected(session);
  vi.restoreAllMocks();
  await DB.prepare("DELETE FROM webhooks").run();
});

async function takeTurn(session: TestSession, runner: FakeRunner): Promise<string> {
  const id = await session.send(`${CANARY} do it`);
  await runner.end((await runner.accept()).attemptId);
  await session.messageIs(id, { status: "done" });
  return id;
}

/** Has the runner stop when it is asked to. */
async function stop(runner: FakeRunner): Promise<void> {
  await runner.next("shutdown");
  runner.send({ type: "stopped" });
}

const fails = (status: number) => () => new Response(CANARY, { status });
const waiting = (session: TestSession) =>
  runInDurableObject(session.stub, (_object, { storage }) =>
    storage.sql.exec("SELECT key, tries FROM durable_calls WHERE kind = 'webhook' ORDER BY key, seq").toArray(),
  );
/** Waits until a try has failed, and puts off the next one, so that it comes when the test wants it. @returns in how many ms it was due */
async function failed(session: TestSession, tries: number): Promise<number> {
  return eventually(() =>
    runInDurableObject(session.stub, (_object, { storage: { sql } }) => {
      const [first] = sql
        .exec("SELECT tries, calling FROM durable_calls WHERE kind = 'webhook' ORDER BY seq LIMIT 1")
        .toArray();
      expect(first).toEqual({ tries, calling: 0 });
      const { due_ms: dueMs } = sql.exec<{ due_ms: number }>("SELECT due_ms FROM timers WHERE kind = 'webhook'").one();
      sql.exec("UPDATE timers SET due_ms = due_ms + 1e9 WHERE kind = 'webhook'");
      return dueMs - Date.now();
    }),
  );
}

/** Returns a session in which two events wait for an endpoint that fails. */
async function twoWaiting(): Promise<{ id: string; session: TestSession; runner: FakeRunner }> {
  const { id } = await receiver.add();
  const { session, runner } = await start();
  receiver.answer = fails(500);
  await takeTurn(session, runner);
  await failed(session, 1);
  await takeTurn(session, runner);
  await eventually(async () => expect(await waiting(session)).toHaveLength(2));
  return { id, session, runner };
}

const endpoint = async (id: string) => (await listWebhooks(DB, ownerId, Date.now())).find((each) => each.id === id);
const projected = (session: TestSession) =>
  eventually(async () => expect(await session.timers()).not.toContain("projection"));

test("each endpoint receives the end of a turn once, with the sentence of why", async () => {
  const [one, two] = [await receiver.add(), await receiver.add(["turn.ended", "session.state"])];
  await receiver.add(["session.attention"]);
  const { session, runner } = await start();
  const id = await takeTurn(session, runner);
  await eventually(() => expect(receiver.turns).toEqual([id, id]));
  const ends = receiver.got.filter(({ event }) => event.type === "turn.ended");
  expect(ends.map(({ url }) => url).toSorted()).toEqual([one.url, two.url].toSorted());
  const { sentence } = valueIn(await session.stub.why("message", id));
  for (const { event } of ends) {
    expect(event).toMatchObject({ data: { sessionId: session.id, text: sentence, turn: { outcome: "ok" } } });
  }
  await projected(session);
  expect(await waiting(session)).toEqual([]);
  expect(receiver.turns).toHaveLength(2);
});

test("a turn's sentence has what became of its child session", async () => {
  await receiver.add(["turn.ended"]);
  const { session: parent, runner } = await start();
  const spans = new RunnerSpans(parent);
  const id = await parent.send("go");
  const dispatch = await runner.accept();
  const turn = spans.open("valet.turn", extractFromHeaders({ traceparent: dispatch.traceparent }), Date.now());
  const tool = spans.add("execute_tool spawn_session", turn.context, Date.now(), Date.now() + 1);
  await spans.sendTo(runner);
  const request = requestOf({ action: "spawn", prompt: "count" }, dispatch.attemptId);
  runner.send({ ...request, ...contextHeaders(tool) });
  const { answer } = await runner.next("child-session-response");
  turn.end(Date.now());
  await spans.sendTo(runner);
  const child = TestSession.of(sessionIn(answer));
  sessions.push(child);
  const work = await working(child);
  await work.runner.end(work.attemptId, { outcome: "error", errorType: "model_unknown" });
  await eventually(async () =>
    expect(valueIn(await child.stub.messages()).messages[0]).toMatchObject({ status: "done" }),
  );
  await runner.end(dispatch.attemptId);
  const ofTurn = () =>
    receiver.got.find(({ event }) => event.type === "turn.ended" && event.data.turn.message_ids[0] === id);
  await eventually(() => expect(ofTurn()).toBeDefined());
  expect(ofTurn()?.event.data.text).toContain(`its child session \`${child.id}\` failed, because of \`model_unknown\``);
});

test("each status is delivered once, in order, with the previous one", async () => {
  await receiver.add(["session.state"]);
  const { session, runner } = await start();
  await projected(session);
  valueIn(await session.stub.terminate(CALLER));
  await stop(runner);
  await session.reaches("terminated");
  await eventually(() => expect(receiver.got.at(-1)?.event).toMatchObject({ data: { status: "terminated" } }));
  const told = receiver.got.flatMap(({ event }) => (event.type === "session.state" ? [event.data] : []));
  told.forEach(({ previous, status }, index) => {
    expect(previous).toBe(told[index - 1]?.status ?? null);
    expect(status).not.toBe(previous);
  });
  expect(new Set(receiver.got.map(({ id }) => id)).size).toBe(told.length);
});

test("an event says when attention begins and when it ends, without the question", async () => {
  await receiver.add(["session.attention"]);
  const { session, runner } = await start();
  await session.send("go");
  const { attemptId } = await runner.accept();
  const question = { question: CANARY, header: CANARY, options: [] };
  runner.send({ type: "question-asked", attemptId, questionId: "que_1", questions: [question] });
  await eventually(() =>
    expect(receiver.got.map(({ event }) => event)).toMatchObject([
      {
        type: "session.attention",
        data: {
          text: "The agent asks a question.",
          attention: { state: "waiting_for_person", rule: "question_asked" },
        },
      },
    ]),
  );
  valueIn(await session.stub.replyQuestion("que_1", [["a"]], CALLER));
  await eventually(() => expect(receiver.got.at(-1)?.event).toMatchObject({ data: { attention: null } }));
  expect(receiver.got).toHaveLength(2);
});

test("a later event waits for an earlier one, which is retried with the same id", async () => {
  const { id } = await receiver.add();
  const other = await receiver.add();
  const { session, runner } = await start();
  receiver.answer = (url) => (url.endsWith(other.id) ? new Response() : new Response(CANARY, { status: 500 }));
  const first = await takeTurn(session, runner);
  await failed(session, 1);
  const second = await takeTurn(session, runner);
  await eventually(async () => expect(await waiting(session)).toHaveLength(2));
  // The other endpoint does not wait.
  await eventually(() => expect(receiver.got.filter(({ url }) => url === other.url)).toHaveLength(2));
  expect(await endpoint(id)).toMatchObject({ enabled: true, failing: { failures: 1, error: "HTTP 500" } });
  receiver.answer = () => new Response();
  await session.elapse("webhook");
  await eventually(async () => expect(await waiting(session)).toEqual([]));
  const here = receiver.got.filter(({ url }) => url.endsWith(id));
  const [tried, retried, last] = here.map(({ id: eventId }) => eventId);
  expect(retried).toBe(tried);
  expect(last).not.toBe(tried);
  expect(here.flatMap(({ event }) => (event.type === "turn.ended" ? event.data.turn.message_ids : []))).toEqual([
    first,
    first,
    second,
  ]);
  await eventually(async () => expect(await endpoint(id)).toMatchObject({ failing: null, givenUp: 0 }));
});

test("an event is given up after seven tries, over most of a day; then comes the next", async () => {
  const { id } = await receiver.add();
  const { session, runner } = await start();
  receiver.answer = fails(503);
  const first = await takeTurn(session, runner);
  const dueInMs = [await failed(session, 1)];
  const second = await takeTurn(session, runner);
  await eventually(async () => expect(await waiting(session)).toHaveLength(2));
  for (let tries = 2; tries < 7; tries++) {
    await session.elapse("webhook");
    dueInMs.push(await failed(session, tries));
  }
  expect((await endpoint(id))?.failing?.failures).toBe(6);
  await session.elapse("webhook");
  await eventually(() => expect(receiver.turns).toEqual([...Array(7).fill(first), second]));
  expect(await endpoint(id)).toMatchObject({ enabled: true, givenUp: 1 });
  [5, 300, 1800, 7200, 18_000, 36_000].forEach((seconds, index) => {
    expect(dueInMs[index]).toBeGreaterThan(seconds * 800 - 5000);
    expect(dueInMs[index]).toBeLessThan(seconds * 1200 + 1);
  });
});

test("a last try whose outcome is lost, with the object or with D1, is repeated: no event is given up without being counted", async () => {
  const { id, session } = await twoWaiting();
  for (let tries = 2; tries <= 6; tries++) {
    await session.elapse("webhook");
    await failed(session, tries);
  }
  const lost = Promise.withResolvers<Response>();
  receiver.answer = () => lost.promise;
  await session.elapse("webhook");
  await eventually(() => expect(receiver.got).toHaveLength(7));
  await session.crash();
  lost.resolve(new Response());
  receiver.answer = fails(500);
  const prepare = DB.prepare.bind(DB);
  const away = vi.spyOn(DB, "prepare").mockImplementation((query) => {
    if (query.includes("given_up + ")) throw new Error("D1 is away");
    return prepare(query);
  });
  await session.elapse("webhook");
  await failed(session, 8);
  away.mockRestore();
  expect(await endpoint(id)).toMatchObject({ givenUp: 0 });
  await session.elapse("webhook");
  await eventually(() => expect(receiver.got).toHaveLength(10));
  expect(await endpoint(id)).toMatchObject({ enabled: true, givenUp: 1 });
  expect(new Set(receiver.got.slice(0, 9).map((each) => each.id)).size).toBe(1);
});

test("410 disables the endpoint at once, drops what waits, and counts it; enabled again, it gets new events", async () => {
  const { id, session, runner } = await twoWaiting();
  receiver.answer = fails(410);
  await session.elapse("webhook");
  await eventually(async () => expect(await waiting(session)).toEqual([]));
  expect(receiver.got).toHaveLength(2);
  expect(await endpoint(id)).toMatchObject({ enabled: false, disabledReason: "gone", givenUp: 2 });
  await takeTurn(session, runner);
  await projected(session);
  expect(await waiting(session)).toEqual([]);
  await enableWebhook(DB, ownerId, id);
  receiver.answer = () => new Response();
  const last = await takeTurn(session, runner);
  await eventually(() => expect(receiver.turns.at(-1)).toBe(last));
  expect(receiver.got).toHaveLength(3);
});

test("what waits in a session that is deleted goes with it, and counts for its endpoint, once", async () => {
  const { id, session, runner } = await twoWaiting();
  const database = Object.getPrototypeOf(DB) as D1Database;
  const { batch } = database;
  let lost = 0;
  vi.spyOn(database, "batch").mockImplementation(async function (this: D1Database, statements) {
    const results = await batch.call(this, statements);
    const tombstone = await DB.prepare("SELECT 1 FROM deleted_sessions WHERE id = ?").bind(session.id).first();
    // D1 has done it, but the object does not learn that, and does it again.
    if (tombstone !== null && lost++ === 0) throw new Error("the answer is lost");
    return results as never;
  });
  valueIn(await session.stub.deleteSession(CALLER));
  await stop(runner);
  await eventually(() => expect(lost).toBe(2));
  expect(await endpoint(id)).toMatchObject({ enabled: true, givenUp: 2 });
});

test("what waits for a removed endpoint goes with it", async () => {
  const { id } = await receiver.add();
  const { session, runner } = await start();
  receiver.answer = fails(500);
  await takeTurn(session, runner);
  await failed(session, 1);
  await removeWebhook(DB, ownerId, id);
  await session.elapse("webhook");
  await eventually(async () => expect(await waiting(session)).toEqual([]));
  expect(receiver.got).toHaveLength(1);
});

test("an address that is refused by now gets nothing", async () => {
  const { id, url } = await receiver.add();
  await DB.prepare("UPDATE webhooks SET url = 'https://169.254.169.254/' WHERE id = ?").bind(id).run();
  const { session, runner } = await start();
  await takeTurn(session, runner);
  await eventually(async () =>
    expect((await endpoint(id))?.failing?.error).toContain("the URL is refused: its host is a private address"),
  );
  expect(receiver.got.filter((each) => each.url === url)).toEqual([]);
});

test("an eviction while D1 is written, while a try runs, and while one waits loses no event and tells none under another id", async () => {
  await receiver.add();
  const { session, runner } = await start();
  await projected(session);
  // While the projection waits.
  const id = await session.send("go");
  await runner.end((await runner.accept()).attemptId);
  await session.crash();
  // While a try runs: its answer is lost.
  const lost = Promise.withResolvers<Response>();
  receiver.answer = () => lost.promise;
  await eventually(async () => {
    await session.alarm();
    expect(receiver.turns).toEqual([id]);
  });
  receiver.answer = fails(500);
  await session.crash();
  lost.resolve(new Response());
  // The object repeats it by itself, and waits for the next try.
  await failed(session, 2);
  await session.evict();
  receiver.answer = () => new Response();
  await session.elapse("webhook");
  await eventually(async () => expect(await waiting(session)).toEqual([]));
  expect(receiver.turns).toEqual([id, id, id]);
  expect(new Set(receiver.got.map((each) => each.id)).size).toBe(1);
});

test("a deleted session takes its waiting events along, and the deletion does not wait for them; the endpoint stays", async () => {
  const { id } = await receiver.add();
  const { session, runner } = await start();
  receiver.answer = fails(500);
  await takeTurn(session, runner);
  await failed(session, 1);
  valueIn(await session.stub.deleteSession(CALLER));
  await stop(runner);
  await eventually(async () => expect((await session.stub.view()).ok).toBe(false));
  expect(await endpoint(id)).toMatchObject({ enabled: true });
  expect(receiver.got).toHaveLength(1);
});

test("a reported change of a turn's record is no second end", async () => {
  await receiver.add();
  const { session, runner } = await start();
  const id = await takeTurn(session, runner);
  await eventually(() => expect(receiver.turns).toEqual([id]));
  await runInDurableObject(session.stub, (_object, { storage }) => {
    storage.sql.exec("INSERT INTO projected_turns (record, steps) SELECT record, NULL FROM turns");
  });
  await takeTurn(session, runner);
  await projected(session);
  await eventually(async () => expect(await waiting(session)).toEqual([]));
  expect(receiver.turns).toHaveLength(2);
});
