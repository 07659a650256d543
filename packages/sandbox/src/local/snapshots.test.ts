/** What a snapshot keeps, that it is consistent, and that an incomplete one is never used. */
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  createRequest,
  halfCopies,
  processesWith,
  SLOW_TOOLS,
  STAY,
  startBroker,
  type TestBroker,
  uniqueSleep,
  waitFor,
} from "../../test/broker.ts";
import { findProcesses, isStopped } from "./process-table.ts";

const TEARING_TOOLS = fileURLToPath(new URL("../../test/tearing-tools", import.meta.url));
const WRITER = fileURLToPath(new URL("../../test/sqlite-writer.ts", import.meta.url));
const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async function snapshot(broker: TestBroker, id: string): Promise<string> {
  const { status, body } = await broker.call("POST", `/v1/sandboxes/${id}/snapshot`);
  expect(status).toBe(201);
  return body.snapshotId;
}

/** Replaces the copying tools with those of a folder, until the test ends. */
function copyWith(tools: string): void {
  const path = process.env.PATH;
  process.env.PATH = `${tools}:${path}`;
  onTestFinished(() => {
    process.env.PATH = path;
  });
}

test("workspace and home are restored unchanged, at the same path, also after the sandbox is gone", async () => {
  const broker = await startBroker();
  const script = `
    echo text > "a file"; mkdir -p deep/er; echo x > deep/er/x; chmod 640 deep/er/x; ln -s /nowhere link; ln deep/er/x hard
    touch -d 2001-02-03T04:05:06Z old; echo hidden > .hidden
    echo history > "$HOME/.history"; echo temporary > "$TMPDIR/t"; pwd > ready; ${STAY}`;
  const { id } = await broker.create("s1", script);
  await waitFor(() => broker.read("s1", "workspace/ready") !== "");
  const folder = broker.folder("s1");
  const server = createServer().listen(join(folder, "home", "socket"));
  onTestFinished(() => void server.close());
  await waitFor(() => existsSync(join(folder, "home", "socket")));

  const snapshotId = await snapshot(broker, id);
  await broker.call("DELETE", `/v1/sandboxes/${id}`);
  expect(existsSync(folder)).toBe(false);
  const restored = await broker.create("s1", STAY, { generation: 2, snapshotId });
  expect(restored.id).not.toBe(id);
  expect(broker.folder("s1")).toBe(folder);
  expect(broker.read("s1", "workspace/a file")).toBe("text\n");
  expect(broker.read("s1", "workspace/.hidden")).toBe("hidden\n");
  expect(broker.read("s1", "home/.history")).toBe("history\n");
  expect(readlinkSync(join(folder, "workspace/link"))).toBe("/nowhere");
  const hard = lstatSync(join(folder, "workspace/hard"));
  expect(hard).toMatchObject({ nlink: 2, ino: lstatSync(join(folder, "workspace/deep/er/x")).ino });
  expect(hard.mode & 0o777).toBe(0o640);
  expect(lstatSync(join(folder, "workspace/old")).mtime.toISOString()).toBe("2001-02-03T04:05:06.000Z");
  expect(readdirSync(join(folder, "tmp"))).toEqual([]);
  expect(readdirSync(join(folder, "home"))).toEqual([".history"]);
  expect(readdirSync(join(broker.stateDir, "snapshots", snapshotId)).sort()).toEqual([
    "home",
    "snapshot.json",
    "workspace",
  ]);
});

test("the runner's folder is restored, and may be missing in snapshots of earlier versions", async () => {
  const broker = await startBroker();
  const { id } = await broker.create("s1", `touch ready; ${STAY}`);
  await waitFor(() => broker.read("s1", "workspace/ready") === "");
  const without = await snapshot(broker, id);
  const script = `[ "$VALET_RESTORED" = 1 ] && mkdir "$VALET_RUNNER_STATE" && touch "$VALET_RUNNER_STATE/journal" done; ${STAY}`;
  const second = await broker.create("s1", script, { generation: 2, snapshotId: without });
  await waitFor(() => broker.read("s1", "workspace/done") === "");
  await broker.create("s1", STAY, { generation: 3, snapshotId: await snapshot(broker, second.id) });
  expect(broker.read("s1", "runner/journal")).toBe("");
});

test("one snapshot serves many sandboxes, none of which changes it", async () => {
  const broker = await startBroker();
  const { id } = await broker.create("s1", `echo one > file; ${STAY}`);
  await waitFor(() => broker.read("s1", "workspace/file") !== "");
  const snapshotId = await snapshot(broker, id);
  await broker.create("s1", `echo two > file; touch done; ${STAY}`, { generation: 2, snapshotId });
  await waitFor(() => broker.read("s1", "workspace/done") === "");
  await broker.create("s2", STAY, { snapshotId });
  expect(broker.read("s2", "workspace/file")).toBe("one\n");
});

test("a database under write load is intact in every snapshot, and its writer continues", async () => {
  const broker = await startBroker();
  const { id } = await broker.create("s1", `exec "${process.execPath}" "${WRITER}" "$HOME/history.db"`, {});
  const rows = (path: string) => {
    const database = new DatabaseSync(path);
    try {
      return database.prepare("select count(*) as n from pairs").get() as { n: number };
    } finally {
      database.close();
    }
  };
  const live = join(broker.folder("s1"), "home/history.db");
  let before = 0;
  copyWith(TEARING_TOOLS);
  for (let round = 0; round < 3; round++) {
    await waitFor(() => rows(live).n > before);
    const snapshotId = await snapshot(broker, id);
    const copy = join(broker.stateDir, "snapshots", snapshotId, "home/history.db");
    expect(existsSync(`${copy}-wal`)).toBe(true);
    const database = new DatabaseSync(copy);
    expect(database.prepare("pragma integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
    const odd = database.prepare("select n from pairs group by n having count(*) <> 2").all();
    expect(odd).toEqual([]);
    database.close();
    const { n } = rows(copy);
    expect(n).toBeGreaterThan(before);
    before = n;
  }
  await waitFor(() => rows(live).n > before);
  expect((await broker.call("GET", `/v1/sandboxes/${id}`)).body.sandbox.restartCount).toBe(0);
});

describe("an interrupted copy", () => {
  /** Returns a sandbox whose snapshot is being copied while its processes are paused. */
  async function copying(broker: TestBroker, sleep: string) {
    const { id } = await broker.create("s1", `setsid ${sleep} & ${sleep}`);
    await waitFor(() => processesWith(sleep).length === 2);
    copyWith(SLOW_TOOLS);
    const taking = broker.call("POST", `/v1/sandboxes/${id}/snapshot`, undefined, { traceparent: TRACEPARENT });
    await waitFor(() => halfCopies(join(broker.stateDir, "snapshots")).length === 1);
    expect(processesWith(sleep).every(isStopped)).toBe(true);
    return { id, taking };
  }

  test("leaves neither a snapshot nor a process when the sandbox is terminated", async () => {
    const broker = await startBroker();
    const sleep = uniqueSleep();
    const { id, taking } = await copying(broker, sleep);
    const deleted = await broker.call("DELETE", `/v1/sandboxes/${id}`);
    expect(deleted).toMatchObject({ status: 200, body: { alreadyGone: false } });
    const taken = await taking;
    expect(taken).toMatchObject({ status: 409, body: { code: "sandbox_gone" } });
    const [{ scopeSpans }] = JSON.parse(taken.body.spans).resourceSpans;
    const errorType = { key: "error.type", value: { stringValue: "sandbox_gone" } };
    expect(scopeSpans[0].spans).toMatchObject([
      { name: "valet.sandbox.copy", attributes: expect.arrayContaining([errorType]) },
      { name: "valet.sandbox.pause", attributes: expect.arrayContaining([errorType]) },
      { name: "POST /v1/sandboxes/:id/snapshot", status: { code: 0 } },
    ]);
    expect(readdirSync(join(broker.stateDir, "snapshots"))).toEqual([]);
    expect(processesWith(sleep)).toEqual([]);
    expect(findProcesses({ sandboxId: id })).toEqual([]);
  });

  test("is reported when the broker closes, and the sandbox keeps its files", async () => {
    const broker = await startBroker();
    const sleep = uniqueSleep();
    const { taking } = await copying(broker, sleep);
    await broker.close();
    expect(await taking).toMatchObject({ status: 503, body: { code: "shutting_down" } });
    expect(readdirSync(join(broker.stateDir, "snapshots"))).toEqual([]);
    expect(processesWith(sleep)).toEqual([]);
    expect(JSON.parse(broker.read("s1", "sandbox.json"))).toMatchObject({
      state: "stopped",
      stopReason: "broker_stopped",
    });
  });

  test("of a restore leaves only the newer sandbox when a newer generation interrupts it", async () => {
    const broker = await startBroker();
    const { id } = await broker.create("s1", STAY);
    const snapshotId = await snapshot(broker, id);
    await broker.call("DELETE", `/v1/sandboxes/${id}`);
    copyWith(SLOW_TOOLS);
    const slow = broker.call("POST", "/v1/sandboxes", createRequest("s1", STAY, { generation: 2, snapshotId }));
    const starting = await waitFor(
      async () => (await broker.call("GET", "/v1/sandboxes?sessionId=s1")).body.sandboxes[0],
    );
    expect(starting).toMatchObject({ generation: 2, state: "starting" });
    const newer = await broker.create("s1", STAY, { generation: 3 });
    expect(await slow).toMatchObject({ status: 409, body: { code: "sandbox_gone" } });
    expect((await broker.call("GET", "/v1/sandboxes?sessionId=s1")).body.sandboxes).toEqual([newer]);
    expect(readdirSync(join(broker.stateDir, "sandboxes"))).toHaveLength(1);
  });
});

test("a copy that takes longer than the caller allows is cancelled, and the sandbox continues", async () => {
  const broker = await startBroker();
  const { id } = await broker.create("s1", `touch ready; ${STAY}`);
  await waitFor(() => broker.read("s1", "workspace/ready") === "");
  const snapshotId = await snapshot(broker, id);
  copyWith(SLOW_TOOLS);
  const limit = { "valet-limit-ms": "300" };
  expect(await broker.call("POST", `/v1/sandboxes/${id}/snapshot`, undefined, limit)).toMatchObject({
    status: 504,
    body: { code: "limit_exceeded", detail: "it took longer than 300 ms" },
  });
  expect(readdirSync(join(broker.stateDir, "snapshots"))).toEqual([snapshotId]);
  expect(findProcesses({ sandboxId: id }).every(({ pid }) => !isStopped(pid))).toBe(true);
  const restore = createRequest("s2", STAY, { snapshotId });
  expect(await broker.call("POST", "/v1/sandboxes", restore, limit)).toMatchObject({ status: 504 });
  expect((await broker.call("GET", "/v1/sandboxes?sessionId=s2")).body.sandboxes).toEqual([]);
});

test("a copy error fails the snapshot, and the sandbox continues", async () => {
  const broker = await startBroker();
  const { id } = await broker.create("s1", STAY);
  const home = join(broker.folder("s1"), "home");
  rmSync(home, { recursive: true });
  expect(await broker.call("POST", `/v1/sandboxes/${id}/snapshot`)).toMatchObject({
    status: 500,
    body: { code: "snapshot_failed", detail: "the sandbox's home is no longer a folder" },
  });
  expect(readdirSync(join(broker.stateDir, "snapshots"))).toEqual([]);
  expect(findProcesses({ sandboxId: id }).every(({ pid }) => !isStopped(pid))).toBe(true);
  mkdirSync(home);
  const taken = join(broker.stateDir, "snapshots", await snapshot(broker, id), "snapshot.json");
  expect(JSON.parse(readFileSync(taken, "utf8"))).toMatchObject({ sessionId: "s1" });
});
