/** A killed broker leaves no processes behind, and no incomplete files that pass for complete ones. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import {
  type BrokerProcess,
  createRequest,
  halfCopies,
  processesWith,
  SLOW_TOOLS,
  STAY,
  startBroker,
  startBrokerProcess,
  temporaryFolder,
  uniqueSleep,
  waitFor,
} from "../../test/broker.ts";
import { findProcesses } from "./process-table.ts";

async function kill({ process: broker }: BrokerProcess): Promise<void> {
  const exited = once(broker, "exit");
  broker.kill("SIGKILL");
  await exited;
}

function guardiansOf(broker: BrokerProcess): number[] {
  return processesWith("valet-sandbox-guardian").filter((pid) => isChildOf(pid, broker.process.pid));
}

/** Kills the broker and its guardian. */
async function killWithGuardian(broker: BrokerProcess): Promise<void> {
  const guardians = guardiansOf(broker);
  expect(guardians).toHaveLength(1);
  for (const pid of guardians) process.kill(pid, "SIGKILL");
  await kill(broker);
}

function isChildOf(pid: number, parent: number | undefined): boolean {
  try {
    return readFileSync(`/proc/${pid}/status`, "latin1").includes(`\nPPid:\t${parent}\n`);
  } catch {
    return false;
  }
}

/** Creates an entrypoint with a child in its session and a daemon outside it. */
async function createFamily(broker: BrokerProcess, sessionId: string) {
  const sleep = uniqueSleep();
  const sandbox = await broker.create(
    sessionId,
    `setsid sh -c '(${sleep}) & exit' & ${sleep} & echo work > file; ${STAY}`,
  );
  await waitFor(() => processesWith(sleep).length >= 2 && broker.read(sessionId, "workspace/file") !== "");
  return { ...sandbox, sleep };
}

test("when the broker is killed, its sandboxes' processes end without it, and the next broker has the files", async () => {
  const stateDir = temporaryFolder();
  const broker = await startBrokerProcess(stateDir);
  const families = await Promise.all(["s1", "s2"].map((each) => createFamily(broker, each)));
  // Of their control groups; none where this user can make none.
  const places: string[] = existsSync(join(stateDir, "control-groups.json"))
    ? JSON.parse(readFileSync(join(stateDir, "control-groups.json"), "utf8"))
    : [];
  await kill(broker);
  await waitFor(() =>
    families.every(({ id, sleep }) => processesWith(sleep).length + findProcesses({ sandboxId: id }).length === 0),
  );
  // The guardian reads the folder for the last time before it exits.
  await waitFor(() => processesWith(stateDir).length === 0);
  expect(places.filter((path) => existsSync(path))).toEqual([]);

  const next = await startBroker({ stateDir });
  for (const { id, sessionId } of families) {
    const { body } = await next.call("GET", `/v1/sandboxes/${id}`);
    expect(body.sandbox).toMatchObject({ state: "stopped", stopReason: "broker_lost", sessionId });
  }
  const { body } = await next.call("POST", `/v1/sandboxes/${families[0]?.id}/snapshot`);
  await next.create("s1", STAY, { generation: 2, snapshotId: body.snapshotId });
  expect(next.read("s1", "workspace/file")).toBe("work\n");
});

test("when broker and guardian are killed, the next broker ends the orphaned processes before it is ready", async () => {
  const stateDir = temporaryFolder();
  const broker = await startBrokerProcess(stateDir);
  const { id, sleep } = await createFamily(broker, "s1");
  await killWithGuardian(broker);
  expect(processesWith(sleep).length).toBeGreaterThanOrEqual(2);
  await startBroker({ stateDir });
  expect(processesWith(sleep)).toEqual([]);
  expect(findProcesses({ sandboxId: id })).toEqual([]);
});

test("a killed guardian is replaced, and the replacement ends the sandboxes", async () => {
  const stateDir = temporaryFolder();
  const broker = await startBrokerProcess(stateDir);
  const { id, sleep } = await createFamily(broker, "s1");
  const [first] = guardiansOf(broker);
  process.kill(first as number, "SIGKILL");
  await waitFor(() => guardiansOf(broker).some((pid) => pid !== first));
  await kill(broker);
  await waitFor(() => processesWith(sleep).length + findProcesses({ sandboxId: id }).length === 0);
});

test("a process with a reused process id is not taken for a sandbox's", async () => {
  const stateDir = temporaryFolder();
  const broker = await startBroker({ stateDir });
  await broker.create("s1", STAY);
  const path = join(broker.folder("s1"), "sandbox.json");
  await broker.close();
  const neighbour = spawn("sleep", ["600"], { detached: true, stdio: "ignore" });
  await once(neighbour, "spawn");
  onTestFinished(() => void neighbour.kill());
  const record = JSON.parse(readFileSync(path, "utf8"));
  writeFileSync(path, JSON.stringify({ ...record, leader: { ...record.leader, pid: neighbour.pid } }));
  await startBroker({ stateDir });
  expect({ exitCode: neighbour.exitCode, signalCode: neighbour.signalCode }).toEqual({
    exitCode: null,
    signalCode: null,
  });
});

test("when the broker is killed during a copy, no snapshot, no copying process and, in the end, no copy is left", async () => {
  const stateDir = temporaryFolder();
  const broker = await startBrokerProcess(stateDir, { PATH: `${SLOW_TOOLS}:${process.env.PATH}` });
  const { id, sleep } = await createFamily(broker, "s1");
  const taking = broker.call("POST", `/v1/sandboxes/${id}/snapshot`);
  taking.catch(() => {});
  const snapshots = join(stateDir, "snapshots");
  const [half] = await waitFor(() => halfCopies(snapshots).length === 1 && halfCopies(snapshots));
  await killWithGuardian(broker);
  await expect(taking).rejects.toThrow();
  expect(findProcesses({ sandboxId: id }).length).toBeGreaterThan(2);

  const next = await startBroker({ stateDir });
  expect(processesWith(sleep)).toEqual([]);
  expect(findProcesses({ sandboxId: id })).toEqual([]);
  for (const name of [half, half?.replace(".partial", "")]) {
    const answer = await next.call("POST", "/v1/sandboxes", createRequest("s2", STAY, { snapshotId: name }));
    expect([400, 404]).toContain(answer.status);
  }
  await waitFor(() => readdirSync(snapshots).length === 0);
  expect(next.read("s1", "workspace/file")).toBe("work\n");
});

test("when the broker is killed during a restore, nothing of the new sandbox is left, and it can be created again", async () => {
  const stateDir = temporaryFolder();
  const first = await startBroker({ stateDir });
  const { id } = await first.create("s1", STAY);
  const { body } = await first.call("POST", `/v1/sandboxes/${id}/snapshot`);
  await first.close();
  const broker = await startBrokerProcess(stateDir, { PATH: `${SLOW_TOOLS}:${process.env.PATH}` });
  const change = { generation: 2, snapshotId: body.snapshotId };
  const restoring = broker.call("POST", "/v1/sandboxes", createRequest("s1", STAY, change));
  restoring.catch(() => {});
  await waitFor(() => halfCopies(join(stateDir, "sandboxes")).length === 1);
  const { id: half } = JSON.parse(broker.read("s1", "sandbox.json"));
  await kill(broker);
  await expect(restoring).rejects.toThrow();

  const next = await startBroker({ stateDir });
  expect((await next.call("GET", "/v1/sandboxes?sessionId=s1")).body).toEqual({ sandboxes: [] });
  expect(findProcesses({ sandboxId: half })).toEqual([]);
  expect(await next.create("s1", STAY, change)).toMatchObject({ generation: 2, state: "running" });
});

test("unfinished folders are deleted; unreadable ones are kept aside and reported", async () => {
  const stateDir = temporaryFolder();
  const first = await startBroker({ stateDir });
  await first.create("s1", STAY);
  const folder = first.folder("s1");
  await first.close();
  writeFileSync(join(folder, "sandbox.json"), "{");
  const sandboxes = join(stateDir, "sandboxes");
  mkdirSync(join(sandboxes, "0123456789abcdef0123"));
  mkdirSync(join(sandboxes, "0123456789abcdef0123.12345678.gone"));
  const errors: string[] = [];
  const next = await startBroker({ stateDir, onError: ({ message }) => errors.push(message) });
  expect(errors).toEqual([expect.stringContaining(`its files are kept in ${folder}`)]);
  await waitFor(() => readdirSync(sandboxes).length === 1);
  expect(readdirSync(sandboxes)[0]).toMatch(/\.unreadable$/);
  await next.create("s1", STAY);
});

test("the files of a sandbox whose record was removed are kept aside and reported", async () => {
  const stateDir = temporaryFolder();
  const first = await startBroker({ stateDir });
  await first.create("s1", `echo work > file; touch ready; ${STAY}`);
  await waitFor(() => first.read("s1", "workspace/ready") === "");
  const folder = first.folder("s1");
  await first.close();
  rmSync(join(folder, "sandbox.json"));
  const errors: string[] = [];
  await startBroker({ stateDir, onError: ({ message }) => errors.push(message) });
  expect(errors).toEqual([expect.stringContaining(`its files are kept in ${folder}`)]);
  const [kept] = readdirSync(join(stateDir, "sandboxes"));
  expect(readFileSync(join(stateDir, "sandboxes", kept ?? "", "workspace/file"), "utf8")).toBe("work\n");
});
