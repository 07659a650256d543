/** The HTTP API: answers and errors. drivers/local.test.ts tests what happens in sandboxes. */
import { once } from "node:events";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import {
  BrokerProblem,
  DeleteAnswer,
  SandboxAnswer,
  SandboxList,
  SESSION_HEADER,
  SnapshotAnswer,
} from "@valet/shared/protocol/sandbox-broker";
import { describe, expect, test } from "vitest";
import { createRequest, SECRET, STAY, startBroker, temporaryFolder, waitFor } from "../test/broker.ts";

const UNKNOWN = "sb-0123456789abcdef";

describe("sandboxes", () => {
  test("are created, read, listed and terminated", async () => {
    const broker = await startBroker();
    const beforeMs = Date.now();
    const created = await broker.call("POST", "/v1/sandboxes", createRequest("s1", STAY));
    expect(created.status).toBe(201);
    const { sandbox } = SandboxAnswer.strict().parse(created.body);
    expect(sandbox).toMatchObject({
      sessionId: "s1",
      generation: 1,
      state: "running",
      driver: "local",
      restartCount: 0,
    });
    expect(Date.parse(sandbox.createdAt)).toBeGreaterThanOrEqual(beforeMs);
    expect(Date.parse(sandbox.createdAt)).toBeLessThanOrEqual(Date.now());

    const read = await broker.call("GET", `/v1/sandboxes/${sandbox.id}`);
    expect(read.status).toBe(200);
    expect(read.body).toEqual({ sandbox });
    await broker.create("s2", STAY);
    const list = await broker.call("GET", "/v1/sandboxes?sessionId=s1");
    expect(SandboxList.strict().parse(list.body)).toEqual({ sandboxes: [sandbox] });

    const deleted = await broker.call("DELETE", `/v1/sandboxes/${sandbox.id}`);
    expect(deleted.status).toBe(200);
    expect(DeleteAnswer.strict().parse(deleted.body)).toEqual({ alreadyGone: false });
    expect((await broker.call("GET", `/v1/sandboxes/${sandbox.id}`)).status).toBe(404);
    expect((await broker.call("GET", "/v1/sandboxes?sessionId=s1")).body).toEqual({ sandboxes: [] });
    expect((await broker.call("DELETE", `/v1/sandboxes/${sandbox.id}`)).body).toEqual({ alreadyGone: true });
  });

  test("are created once per generation, for repeated and concurrent requests", async () => {
    const broker = await startBroker();
    const ask = () => broker.call("POST", "/v1/sandboxes", createRequest("s1", STAY));
    const answers = await Promise.all([ask(), ask(), ask()]);
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
    expect(new Set(answers.map(({ body }) => body.sandbox.id)).size).toBe(1);
    expect(await ask()).toMatchObject({ status: 201, body: { sandbox: { id: answers[0]?.body.sandbox.id } } });
    expect(readdirSync(join(broker.stateDir, "sandboxes"))).toHaveLength(1);
  });

  test("are refused for a known generation with another token or snapshot, and returned when only the environment differs", async () => {
    const broker = await startBroker();
    const { id } = await broker.create("s1", STAY);
    for (const change of [{ runnerToken: "another-token" }, { snapshotId: "sn-0" }]) {
      const answer = await broker.call("POST", "/v1/sandboxes", createRequest("s1", STAY, change));
      expect(answer).toMatchObject({ status: 409, body: { code: "generation_conflict" } });
    }
    const traced = { env: { TRACEPARENT: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" } };
    expect(await broker.create("s1", STAY, traced)).toMatchObject({ id });
  });

  test("of a newer generation end the older ones, which cannot be created again", async () => {
    const broker = await startBroker();
    const first = await broker.create("s1", STAY, { generation: 1 });
    const third = await broker.create("s1", STAY, { generation: 3 });
    expect((await broker.call("GET", "/v1/sandboxes?sessionId=s1")).body.sandboxes).toEqual([third]);
    expect((await broker.call("GET", `/v1/sandboxes/${first.id}`)).status).toBe(404);
    const late = await broker.call("POST", "/v1/sandboxes", createRequest("s1", STAY, { generation: 2 }));
    expect(late).toMatchObject({ status: 409, body: { code: "stale_generation" } });
  });

  test("of different sessions are created concurrently", async () => {
    const broker = await startBroker();
    const sessions = Array.from({ length: 8 }, (_, i) => `s${i}`);
    const sandboxes = await Promise.all(sessions.map((each) => broker.create(each, STAY)));
    expect(new Set(sandboxes.map(({ id }) => id)).size).toBe(8);
    expect(sandboxes.every(({ state }) => state === "running")).toBe(true);
  });

  test("above the limit are refused until one has ended; stopped ones do not count", async () => {
    const broker = await startBroker({ maxSandboxes: 2 });
    const [first] = await Promise.all([broker.create("s1", STAY), broker.create("s2", "exit 0")]);
    await waitFor(async () => {
      const { body } = await broker.call("GET", "/v1/sandboxes?sessionId=s2");
      return body.sandboxes[0]?.state === "stopped";
    });
    await broker.create("s3", STAY);
    const ask = () => broker.call("POST", "/v1/sandboxes", createRequest("s4", STAY));
    const refused = await ask();
    expect(refused.status).toBe(503);
    expect(BrokerProblem.parse(refused.body)).toMatchObject({ code: "capacity" });
    // A known sandbox is returned, not counted again.
    expect(await broker.create("s1", STAY)).toMatchObject({ id: first?.id });
    await broker.call("DELETE", `/v1/sandboxes/${first?.id}`);
    expect(await ask()).toMatchObject({ status: 201 });
  });

  test("are refused by a broker that drains, while known ones run on, and its health counts them", async () => {
    const broker = await startBroker();
    const health = async () => (await broker.call("GET", "/v1/health")).body;
    const first = await broker.create("s1", STAY);
    expect(await health()).toEqual({
      status: "ok",
      driver: "local",
      awake: 1,
      isolation: "none",
      network: "shared",
      limits: expect.objectContaining({ open_files: { value: 65_536, by: "rlimit" } }),
      isDraining: false,
    });
    broker.drain();
    const refused = await broker.call("POST", "/v1/sandboxes", createRequest("s2", STAY));
    expect(BrokerProblem.parse(refused.body)).toMatchObject({ code: "capacity", detail: "the broker is draining" });
    expect(await broker.create("s1", STAY)).toMatchObject({ id: first.id, state: "running" });
    expect(await health()).toMatchObject({ awake: 1, isDraining: true });
    expect(await broker.call("POST", `/v1/sandboxes/${first.id}/snapshot`)).toMatchObject({ status: 201 });
    await broker.call("DELETE", `/v1/sandboxes/${first.id}`);
    expect(await health()).toMatchObject({ awake: 0, isDraining: true });
  });

  test("that cannot start leave nothing behind", async () => {
    const broker = await startBroker({ entrypoint: ["/no/such/program"] });
    const answer = await broker.call("POST", "/v1/sandboxes", createRequest("s1", STAY));
    expect(answer.status).toBe(500);
    expect(BrokerProblem.parse(answer.body)).toMatchObject({
      code: "start_failed",
      detail: "the entrypoint cannot be started: ENOENT",
    });
    expect((await broker.call("GET", "/v1/sandboxes?sessionId=s1")).body).toEqual({ sandboxes: [] });
    expect(readdirSync(join(broker.stateDir, "sandboxes"))).toEqual([]);
  });
});

test("the broker's log says of which session a sandbox or a snapshot failed, and why, since answers send their reader there", async () => {
  const lines: string[] = [];
  const broker = await startBroker({ onError: ({ message }) => lines.push(message) });
  const headers = (session: string) => ({ [SESSION_HEADER]: session });
  const restore = createRequest("s1", STAY, { snapshotId: "sn-gone" });
  expect((await broker.call("POST", "/v1/sandboxes", restore, headers("s1"))).status).toBe(404);
  const { id } = await broker.create("s2", STAY);
  rmSync(join(broker.folder("s2"), "workspace"), { recursive: true });
  await broker.call("POST", `/v1/sandboxes/${id}/snapshot`, undefined, headers("s2"));
  mkdirSync(join(broker.folder("s2"), "workspace"));
  // Callers show the answer to a session's owner, who need not know where the broker's files are.
  const snapshots = join(broker.stateDir, "snapshots");
  rmSync(snapshots, { recursive: true });
  const { body } = await broker.call("POST", `/v1/sandboxes/${id}/snapshot`, undefined, headers("s2"));
  expect(body.detail).toBe("ENOENT: no such file or directory, mkdir");
  // These are no failures of the broker.
  await broker.call("GET", "/v1/sandboxes/sb-0", undefined, headers("s3"));
  await broker.call("POST", "/v1/sandboxes/sb-0/snapshot", undefined, headers("s3"));
  expect(lines).toEqual([
    "s1: Not found: no snapshot sn-gone",
    "s2: The snapshot could not be taken: the sandbox's workspace is no longer a folder",
    expect.stringContaining(
      `s2: The snapshot could not be taken: ENOENT: no such file or directory, mkdir '${snapshots}/`,
    ),
  ]);
  const other: string[] = [];
  const lacking = await startBroker({
    entrypoint: ["/no/such/program"],
    onError: ({ message }) => other.push(message),
  });
  await lacking.call("POST", "/v1/sandboxes", createRequest("s1", STAY), headers("s1"));
  expect(other).toEqual(["s1: The sandbox could not be started: the entrypoint cannot be started: ENOENT"]);
});

describe("snapshots", () => {
  test("are taken, restored and deleted", async () => {
    const broker = await startBroker();
    const { id } = await broker.create("s1", `echo kept > file; ${STAY}`);
    const taken = await broker.call("POST", `/v1/sandboxes/${id}/snapshot`);
    expect(taken.status).toBe(201);
    const { snapshotId, sizeBytes } = SnapshotAnswer.strict().parse(taken.body);
    expect(sizeBytes).toBeGreaterThan(0);
    const restored = await broker.create("s1", STAY, { generation: 2, snapshotId });
    expect(restored).toMatchObject({ generation: 2, snapshotId });
    expect(await broker.call("DELETE", `/v1/snapshots/${snapshotId}`)).toMatchObject({
      status: 200,
      body: { alreadyGone: false },
    });
    expect((await broker.call("DELETE", `/v1/snapshots/${snapshotId}`)).body).toEqual({ alreadyGone: true });
    const again = await broker.call("POST", "/v1/sandboxes", createRequest("s2", STAY, { snapshotId }));
    expect(again).toMatchObject({ status: 404, body: { code: "not_found", detail: `no snapshot ${snapshotId}` } });
  });

  test("a delete request with `keeps` also deletes the sandbox's snapshots, except the named one", async () => {
    const broker = await startBroker();
    const [one, other] = await Promise.all([broker.create("s1", STAY), broker.create("s2", STAY)]);
    const take = async ({ id }: { id: string }): Promise<string> =>
      (await broker.call("POST", `/v1/sandboxes/${id}/snapshot`)).body.snapshotId;
    const [first, second, others] = [await take(one), await take(one), await take(other)];
    const end = (query: string, id = one.id) => broker.call("DELETE", `/v1/sandboxes/${id}${query}`);
    const left = () => readdirSync(join(broker.stateDir, "snapshots")).sort();

    expect((await end("?keeps=../s")).status).toBe(400);
    expect((await end(`?keeps=${second}`)).body).toEqual({ alreadyGone: false });
    expect(left()).toEqual([second, others].sort());
    expect(left()).not.toContain(first);
    // Without `keeps` no snapshot is deleted, and neither is one by an id that is only the beginning of its sandbox's id.
    expect((await end("")).body).toEqual({ alreadyGone: true });
    await end("?keeps=", "sb");
    await end("?keeps=", one.id.slice(0, -1));
    expect(left()).toEqual([second, others].sort());
    expect((await end("?keeps=")).body).toEqual({ alreadyGone: true });
    expect(left()).toEqual([others]);
  });

  test("of a sandbox that is gone are refused as a conflict", async () => {
    const broker = await startBroker();
    const { id } = await broker.create("s1", STAY);
    await broker.call("DELETE", `/v1/sandboxes/${id}`);
    for (const gone of [id, UNKNOWN]) {
      const answer = await broker.call("POST", `/v1/sandboxes/${gone}/snapshot`);
      expect(answer).toMatchObject({ status: 409, body: { code: "sandbox_gone" } });
    }
  });
});

test("a broker accepts each of several secrets while callers change from one to the other", async () => {
  const next = "the-next-secret-of-these-tests";
  const both = await startBroker({ secret: `${next}, ${SECRET}` });
  const ask = async (broker: { call: typeof both.call }, secret: string) => {
    const headers = { authorization: `Bearer ${secret}` };
    return (await broker.call("GET", "/v1/sandboxes?sessionId=s1", undefined, headers)).status;
  };
  expect(await Promise.all([next, SECRET, `${next},${SECRET}`, ""].map((each) => ask(both, each)))).toEqual([
    200, 200, 401, 401,
  ]);
  const rotated = await startBroker({ secret: next });
  expect(await Promise.all([next, SECRET].map((each) => ask(rotated, each)))).toEqual([200, 401]);
  await expect(startBroker({ secret: `${next},` })).rejects.toThrow("at least 16 characters");
});

describe("bad requests", () => {
  test("without the secret are refused, except for health", async () => {
    const broker = await startBroker();
    expect(await broker.call("GET", "/v1/health", undefined, { authorization: "" })).toMatchObject({
      status: 200,
      body: { status: "ok", driver: "local" },
    });
    for (const authorization of [
      "",
      "Bearer",
      `Bearer ${SECRET}x`,
      `Bearer ${SECRET.slice(1)}`,
      SECRET,
      `Basic ${SECRET}`,
    ]) {
      for (const [method, path] of [
        ["POST", "/v1/sandboxes"],
        ["GET", "/v1/sandboxes?sessionId=s1"],
        ["GET", `/v1/sandboxes/${UNKNOWN}`],
        ["DELETE", `/v1/sandboxes/${UNKNOWN}`],
        ["POST", `/v1/sandboxes/${UNKNOWN}/snapshot`],
        ["DELETE", "/v1/snapshots/sn-0"],
        ["GET", "/elsewhere"],
      ] as const) {
        const { status, headers, body } = await broker.call(method, path, undefined, { authorization });
        expect(status).toBe(401);
        expect(headers.get("www-authenticate")).toBe("Bearer");
        expect(headers.get("content-type")).toBe("application/problem+json");
        expect(BrokerProblem.parse(body)).toMatchObject({
          type: "urn:valet:broker:unauthorized",
          code: "unauthorized",
        });
      }
    }
    expect(
      await broker.call("GET", "/v1/sandboxes?sessionId=s1", undefined, { authorization: `bearer ${SECRET}` }),
    ).toMatchObject({
      status: 200,
    });
  });

  test.each<[string, object, string]>([
    ["an unknown field", { extra: 1 }, "extra"],
    ["a missing session", { sessionId: undefined }, "sessionId"],
    ["a session that is a path", { sessionId: "../../etc" }, "sessionId"],
    ["a generation of 0", { generation: 0 }, "generation"],
    ["a generation that is text", { generation: "1" }, "generation"],
    ["a token with a space", { runnerToken: "two words" }, "runnerToken"],
    ["a snapshot id that is a path", { snapshotId: "../sandboxes" }, "snapshotId"],
    ["a variable with a bad name", { env: { "A=B": "1" } }, "env.A=B"],
    ["a variable with NUL in its value", { env: { A: "1\0B=2" } }, "env.A"],
    ["a variable that is a number", { env: { A: 1 } }, "env.A"],
    ["a telemetry backend", { env: { OTEL_EXPORTER_OTLP_HEADERS: "key=canary" } }, "env.OTEL_EXPORTER_OTLP_HEADERS"],
    ["too many variables", { env: Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`V${i}`, ""])) }, "env"],
    [
      "too large an environment",
      {
        env: {
          A: "x".repeat(30_000),
          B: "x".repeat(30_000),
          C: "x".repeat(30_000),
          D: "x".repeat(30_000),
          E: "é".repeat(6_000),
        },
      },
      "env",
    ],
  ])("with %s are refused, naming the field", async (_, change, path) => {
    const broker = await startBroker();
    const answer = await broker.call("POST", "/v1/sandboxes", createRequest("s1", STAY, change));
    expect(answer.status).toBe(400);
    const problem = BrokerProblem.parse(answer.body);
    expect(problem.code).toBe("invalid_request");
    expect(problem.errors?.map((each) => each.path)).toEqual([path]);
    expect(JSON.stringify(answer.body)).not.toMatch(/canary|two words/);
    expect(readdirSync(join(broker.stateDir, "sandboxes"))).toEqual([]);
  });

  test("that are malformed are refused, and the broker keeps serving", async () => {
    const broker = await startBroker();
    const refused = async (status: number, code: string, ...call: [method: string, path: string, body?: string]) => {
      expect(await broker.call(...call)).toMatchObject({ status, body: { status, code } });
    };
    for (const body of ["", "{", "null", "[]", '"text"', "\0"])
      await refused(400, "invalid_request", "POST", "/v1/sandboxes", body);
    await refused(400, "invalid_request", "GET", "/v1/sandboxes");
    await refused(400, "invalid_request", "GET", "/v1/sandboxes?sessionId=s1&extra=1");
    await refused(404, "not_found", "GET", "/v1/elsewhere");
    await refused(404, "not_found", "PUT", "/v1/sandboxes");
    await refused(413, "payload_too_large", "POST", "/v1/sandboxes", `{"sessionId":"${"x".repeat(300_000)}"}`);
    await broker.create("s1", STAY);
  });

  test("of 50 MB are refused, with or without a stated length, and the broker keeps serving", async () => {
    const broker = await startBroker();
    const chunk = new Uint8Array(1024 * 1024).fill(32);
    const post = (headers: Record<string, string>) =>
      fetch(`${broker.url}/v1/sandboxes`, {
        method: "POST",
        headers: { authorization: `Bearer ${SECRET}`, ...headers },
        body: ReadableStream.from(Array.from({ length: 50 }, () => chunk)),
        duplex: "half",
      });
    expect((await post({})).status).toBe(413);
    expect((await post({ "content-length": String(50 * 1024 * 1024) })).status).toBe(413);
    await broker.create("s1", STAY);
  });

  test("with paths as ids find nothing and change nothing", async () => {
    const broker = await startBroker();
    const { id } = await broker.create("s1", STAY);
    const hostile = [
      "..",
      "%2e%2e",
      "../sandboxes",
      "..%2fsandboxes",
      "%2e%2e%2f%2e%2e",
      ".",
      "",
      "%00",
      "%ff",
      "x".repeat(65),
    ];
    for (const each of hostile) {
      expect(await rawStatus(broker.url, "DELETE", `/v1/sandboxes/${each}`)).toBe(404);
      expect(await rawStatus(broker.url, "DELETE", `/v1/snapshots/${each}`)).toBe(404);
      expect(await rawStatus(broker.url, "POST", `/v1/sandboxes/${each}/snapshot`)).toBe(404);
      expect(await rawStatus(broker.url, "GET", `/v1/sandboxes/${each}?sessionId=s1`)).not.toBe(500);
    }
    const folders = readdirSync(broker.stateDir, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(folders.map(({ name }) => name).sort()).toEqual(["sandboxes", "snapshots"]);
    expect((await broker.call("GET", `/v1/sandboxes/${id}`)).body.sandbox.state).toBe("running");
  });
});

describe("starting", () => {
  test("refuses a weak secret, a port in use and a directory in use, and leaves nothing behind", async () => {
    await expect(startBroker({ secret: "short" })).rejects.toThrow("at least 16 characters");
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const stateDir = temporaryFolder();
    await expect(startBroker({ port, stateDir })).rejects.toThrow(`127.0.0.1:${port} is in use`);
    server.close();
    await startBroker({ stateDir });
    await expect(startBroker({ stateDir })).rejects.toThrow("in use by another sandbox broker");
  });
});

/** Sends a request with an unnormalized path, which `fetch` would normalize. @returns the status */
async function rawStatus(url: string, method: string, path: string): Promise<number | undefined> {
  const outgoing = request(url, { method, path, headers: { authorization: `Bearer ${SECRET}` } }).end();
  const [response] = await once(outgoing, "response");
  response.resume();
  return response.statusCode;
}
