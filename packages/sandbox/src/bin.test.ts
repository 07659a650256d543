import { once } from "node:events";
import { chmodSync, existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import {
  ENTRYPOINT,
  processesWith,
  runProgram,
  startBrokerProcess,
  temporaryFolder,
  uniqueSleep,
  waitFor,
} from "../test/broker.ts";

async function run(args: readonly string[], env?: Record<string, string>) {
  const program = runProgram(args, env);
  if (program.stdout === null || program.stderr === null) throw new Error("no output");
  const [out, err, [code]] = await Promise.all([text(program.stdout), text(program.stderr), once(program, "exit")]);
  return { code, out, err };
}

test("--help prints the options", async () => {
  const { code, out } = await run(["--help"]);
  expect(code).toBe(0);
  for (const word of ["--state DIR", "--port N", "VALET_BROKER_SECRET", "ENTRYPOINT"]) expect(out).toContain(word);
});

test("a failed start prints the error without a stack and exits with 2", async () => {
  const stateDir = temporaryFolder();
  await startBrokerProcess(stateDir);
  const [inUse, noFolder] = await Promise.all([
    run(["--state", stateDir, "--", ...ENTRYPOINT]),
    run(["--state", "/dev/null", "--", ...ENTRYPOINT]),
  ]);
  expect(inUse).toEqual({
    code: 2,
    out: "",
    err: `valet-sandbox-broker: ${stateDir} is in use by another sandbox broker\n`,
  });
  expect(noFolder).toMatchObject({
    code: 2,
    out: "",
    err: expect.stringMatching(/^valet-sandbox-broker: .*\/dev\/null.*\n$/),
  });
});

test.each(["SIGTERM", "SIGINT"] as const)("%s ends all processes", async (signal) => {
  const stateDir = temporaryFolder();
  const broker = await startBrokerProcess(stateDir);
  const sleep = uniqueSleep();
  await broker.create("s1", `setsid ${sleep} & exec ${sleep}`);
  await waitFor(() => processesWith(sleep).length === 2);
  const exited = once(broker.process, "exit");
  broker.process.kill(signal);
  expect(await exited).toEqual([0, null]);
  expect(processesWith(sleep)).toEqual([]);
  expect(processesWith(stateDir)).toEqual([]);
});

test("SIGUSR2 drains the broker, whose sandboxes run on", async () => {
  const broker = await startBrokerProcess(temporaryFolder());
  await broker.create("s1", `exec ${uniqueSleep()}`);
  broker.process.kill("SIGUSR2");
  const { body } = await waitFor(async () => {
    const answer = await broker.call("GET", "/v1/health");
    return answer.body.isDraining && answer;
  });
  expect(body).toMatchObject({ awake: 1, isDraining: true });
});

test("a signal during the start ends the broker cleanly, too", async () => {
  const stateDir = temporaryFolder();
  const program = runProgram(["--state", stateDir, "--", ...ENTRYPOINT]);
  const exited = once(program, "exit");
  // The start creates this folder first; the guardian and the server follow.
  await waitFor(() => existsSync(join(stateDir, "sandboxes")));
  program.kill("SIGTERM");
  expect(await exited).toEqual([0, null]);
  expect(processesWith(stateDir)).toEqual([]);
});

test("its folder is restricted to its owner, also an existing one; agents' files have the usual modes", async () => {
  const stateDir = temporaryFolder();
  chmodSync(stateDir, 0o755);
  const broker = await startBrokerProcess(stateDir);
  expect(statSync(stateDir).mode & 0o777).toBe(0o700);
  await broker.create("s1", `echo work > made && exec ${uniqueSleep()}`);
  const made = await waitFor(() => statSync(join(broker.folder("s1"), "workspace/made")));
  expect(made.mode & 0o777).toBe(0o644);
  for (const path of ["sandboxes", "snapshots"]) expect(statSync(join(stateDir, path)).mode & 0o077).toBe(0);
  const log = statSync(join(broker.folder("s1"), "log"));
  expect(log.mode & 0o077).toBe(0);
});

test("agents cannot find the broker's secret in the environment of any process", async () => {
  const secret = `secret-${process.pid}-of-this-test`;
  const stateDir = temporaryFolder();
  const broker = await startBrokerProcess(stateDir, { VALET_BROKER_SECRET: secret });
  const environment = () => readFileSync(`/proc/${broker.process.pid}/environ`, "latin1");
  expect(environment()).not.toContain(secret);
  expect(environment()).toContain("PATH=");
  // The broker still accepts calls with the secret.
  const answer = await broker.call("GET", "/v1/sandboxes?sessionId=s1", undefined, {
    authorization: `Bearer ${secret}`,
  });
  expect(answer.status).toBe(200);
});
