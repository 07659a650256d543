/** Entrypoints that are started ahead of their sandboxes, with real processes. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { processesWith, SECRET, startBroker, temporaryFolder, waitFor } from "../../test/broker.ts";
import type { SandboxBrokerOptions } from "../index.ts";

/** An entrypoint that can be started ahead: it applies the variables of its input, and stores what it has and had. */
const ENTRYPOINT = `
const { writeFileSync } = await import("node:fs");
console.log("loaded");
writeFileSync(import.meta.filename + ".loaded", "");
process.stdin.setEncoding("utf8");
let text = "";
for await (const chunk of process.stdin) text += chunk;
const { env, ...input } = JSON.parse(text);
const before = { ...process.env };
Object.assign(process.env, env);
writeFileSync(process.env.VALET_WORKSPACE + "/seen.json", JSON.stringify({ pid: process.pid, input, env: { ...process.env }, before }));
setInterval(() => {}, 1e6);
`;

/** Writes the entrypoint to a path of its own, by which its processes are found. */
function writeProgram(): string {
  const program = join(temporaryFolder(), "entrypoint.mjs");
  writeFileSync(program, ENTRYPOINT);
  return program;
}

async function start(options: Partial<SandboxBrokerOptions> = {}) {
  const program = writeProgram();
  const broker = await startBroker({
    entrypoint: [process.execPath, program],
    startsAhead: true,
    quietMs: 1,
    ...options,
  });
  /** Those that wait and those that have a sandbox. */
  const entrypoints = () => processesWith(program);
  const seen = (sessionId: string) => {
    try {
      return JSON.parse(broker.read(sessionId, "workspace/seen.json"));
    } catch {
      return undefined;
    }
  };
  return { ...broker, program, entrypoints, seen };
}

const environmentOf = (pid: number) => readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");

test("a sandbox gets the entrypoint that waits, with its own variables, and another one waits for the next", async () => {
  const broker = await start();
  await waitFor(() => broker.entrypoints().length === 1);
  const [spare] = broker.entrypoints();
  const { id } = await broker.create("s1", "", { env: { CANARY: "of the session", LANG: "de_DE.UTF-8" } });
  await waitFor(() => broker.seen("s1"));
  const { pid, input, env, before } = broker.seen("s1");
  expect(pid).toBe(spare);
  expect(input).toEqual({ token: "token-of-the-runner", restartCount: 0 });
  expect(env).toMatchObject({
    CANARY: "of the session",
    LANG: "de_DE.UTF-8",
    HOME: join(broker.folder("s1"), "home"),
    VALET_WORKSPACE: join(broker.folder("s1"), "workspace"),
    VALET_SANDBOX_ID: id,
  });
  // By which the broker finds it in any case.
  expect(environmentOf(pid)).toContain(`VALET_SANDBOX_ID=${id}`);
  expect(
    Object.keys(before)
      .filter((name) => !["PATH", "LANG"].includes(name) && !/CERT|SSL|CA/.test(name))
      .sort(),
  ).toEqual(["VALET_LIFELINE_FD", "VALET_SANDBOX_ID", "VALET_STARTED_AHEAD"]);
  await waitFor(() => broker.entrypoints().length === 2);
  const next = await broker.create("s2", "");
  await waitFor(() => broker.seen("s2"));
  expect(next.id).not.toBe(id);
  expect(broker.seen("s2").env.CANARY).toBeUndefined();
  await broker.call("DELETE", `/v1/sandboxes/${id}`);
  expect(() => process.kill(pid, 0)).toThrow();
});

test("one that has ended is not used", async () => {
  const broker = await start();
  await waitFor(() => broker.entrypoints().length === 1);
  const [spare = 0] = broker.entrypoints();
  process.kill(spare, "SIGKILL");
  await waitFor(() => broker.entrypoints().length === 0);
  await broker.create("s1", "");
  await waitFor(() => broker.seen("s1"));
  expect(broker.seen("s1").before.VALET_WORKSPACE).toBe(join(broker.folder("s1"), "workspace"));
  // Nor was it used and then replaced.
  expect(broker.seen("s1").input.restartCount).toBe(0);
});

test("what one has written before its sandbox was asked for is in the sandbox's log", async () => {
  const broker = await start();
  await waitFor(() => existsSync(`${broker.program}.loaded`));
  await broker.create("s1", "");
  await waitFor(() => broker.read("s1", "log/entrypoint.log") === "loaded\n");
});

test("one that dies is replaced by an entrypoint that has all variables from its start", async () => {
  const broker = await start();
  await waitFor(() => broker.entrypoints().length === 1);
  await broker.create("s1", "", { env: { CANARY: "of the session" } });
  await waitFor(() => broker.seen("s1"));
  const { pid, env } = broker.seen("s1");
  process.kill(pid, "SIGKILL");
  await waitFor(() => broker.seen("s1")?.pid !== pid && broker.seen("s1"));
  const { input, before } = broker.seen("s1");
  expect(input).toEqual({ token: "token-of-the-runner", restartCount: 1 });
  const { VALET_STARTED_AHEAD, ...others } = env;
  expect(VALET_STARTED_AHEAD).toBe("1");
  expect(before).toEqual(others);
});

test("of two sandboxes that are created at once one gets it, and each has its own variables", async () => {
  const broker = await start();
  await waitFor(() => broker.entrypoints().length === 1);
  const [spare] = broker.entrypoints();
  const sessions = ["s1", "s2"];
  const made = await Promise.all(sessions.map((each) => broker.create(each, "", { env: { CANARY: each } })));
  await waitFor(() => sessions.every((each) => broker.seen(each)));
  const seen = sessions.map((each) => broker.seen(each));
  expect(seen.map(({ env }) => env.CANARY)).toEqual(sessions);
  expect(seen.map(({ env }) => env.VALET_SANDBOX_ID)).toEqual(made.map(({ id }) => id));
  expect(seen.filter(({ pid }) => pid === spare)).toHaveLength(1);
  expect(new Set(made.map(({ id }) => id)).size).toBe(2);
});

test("one whose sandbox cannot be created ends", async () => {
  const broker = await start({ quietMs: 300 });
  await waitFor(() => broker.entrypoints().length === 1);
  const [spare] = broker.entrypoints();
  await expect(broker.create("s1", "", { snapshotId: "none" })).rejects.toThrow("not_found");
  expect(broker.entrypoints()).not.toContain(spare);
});

test("none waits while no sandbox could be created, and none outlives its broker", async () => {
  const broker = await start({ maxSandboxes: 1 });
  await waitFor(() => broker.entrypoints().length === 1);
  const { id } = await broker.create("s1", "");
  await waitFor(() => broker.seen("s1"));
  const { pid } = broker.seen("s1");
  expect(broker.entrypoints()).toEqual([pid]);
  await broker.call("DELETE", `/v1/sandboxes/${id}`);
  await waitFor(() => broker.entrypoints().some((each) => each !== pid));
  await broker.close();
  expect(broker.entrypoints()).toEqual([]);
});

test("one ends when its broker is killed", async () => {
  const program = writeProgram();
  const options = {
    secret: SECRET,
    stateDir: temporaryFolder(),
    entrypoint: [process.execPath, program],
    isolation: "none",
    startsAhead: true,
    quietMs: 1,
  };
  const script = `const { startSandboxBroker } = await import(${JSON.stringify(import.meta.resolve("../index.ts"))}); await startSandboxBroker(${JSON.stringify(options)});`;
  const broker = spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: "ignore" });
  onTestFinished(() => void broker.kill("SIGKILL"));
  // The broker's own arguments name the program, too.
  const spares = () => processesWith(program).filter((pid) => pid !== broker.pid);
  await waitFor(() => spares().length === 1);
  const exited = once(broker, "exit");
  broker.kill("SIGKILL");
  await exited;
  await waitFor(() => spares().length === 0);
});
