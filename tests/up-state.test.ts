/** What `valet up` does with its state directory, its environment and its log. */

import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { findHost } from "../packages/cli/src/check-host.ts";
import { UserError } from "../packages/cli/src/errors.ts";
import { STATE_FORMAT } from "../packages/cli/src/system/state-format.ts";
import { startSystem } from "../packages/cli/src/system/system.ts";
import { guardiansOf, processesAbout, until, workersOf } from "./host-processes.ts";
import { readProcess } from "./processes.ts";
import { run, startUp, temporaryState, valet } from "./up-process.ts";
import { CLI, endUp, hasEnded, startUp as startForAll, type UpProcess } from "./valet-up.ts";

const TIMEOUT_MS = 60_000;

/** Returns why a state directory is refused. Here `valet up` itself does not run, whose output {@link refusalOfUp} reads. */
async function refusal(stateDir: string): Promise<string> {
  const starting = startSystem({ stateDir, env: process.env, scenario: "demo", report: () => {} });
  starting.then((system) => system.stop()).catch(() => {});
  const error = await starting.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(UserError);
  return (error as UserError).message;
}

async function refusalOfUp(state: string): Promise<string> {
  const child = valet(["--state", state, "up", "--json"]);
  let printed = "";
  child.stdout?.on("data", (chunk) => (printed += chunk));
  await new Promise((closed) => child.once("close", closed));
  expect(child.exitCode).toBe(2);
  return (JSON.parse(printed) as { error: { message: string } }).error.message;
}

interface Finding {
  readonly name: string;
  readonly state: string;
  readonly detail: string;
  readonly source?: string;
}

/** Returns the findings of `valet doctor` in a shell with these variables, by their names. */
async function findingsOf(state: string, variables = {}): Promise<Record<string, Finding | undefined>> {
  const { stdout } = await run(["--state", state, "doctor", "--json"], { env: { ...process.env, ...variables } });
  return Object.fromEntries(JSON.parse(stdout).findings.map((finding: Finding) => [finding.name, finding]));
}

const systemFinding = async (state: string) => (await findingsOf(state)).system;

describe("the state directory", () => {
  test(
    "is restricted to its owner, also when it existed before; its secrets rotate: without its token `up` makes another and the old one is refused; a new key goes in front",
    async () => {
      const state = temporaryState();
      chmodSync(state, 0o755);
      mkdirSync(join(state, "broker"), { mode: 0o755 });
      const before = await startUp(state);
      for (const path of [state, join(state, "broker")]) expect(statSync(path).mode & 0o777).toBe(0o700);
      for (const file of ["secrets.json", "connection.json", "format.json", "worker.lock"]) {
        expect(statSync(join(state, file)).mode & 0o077, file).toBe(0);
      }
      expect(statSync(join(state, "storage/d1")).mode & 0o077).toBe(0);
      await endUp(before);
      const file = join(state, "secrets.json");
      const { credentialKeys } = JSON.parse(readFileSync(file, "utf8"));
      const keys = [Buffer.alloc(32, 7).toString("base64"), ...credentialKeys];
      writeFileSync(file, JSON.stringify({ credentialKeys: keys }));
      const after = await startUp(state);
      const ask = async (token: string) =>
        (await fetch(`${after.url}/api/sessions`, { headers: { authorization: `Bearer ${token}` } })).status;
      expect([await ask(before.token), await ask(after.token)]).toEqual([401, 200]);
      const secrets = JSON.parse(readFileSync(file, "utf8"));
      expect(secrets).toMatchObject({ token: after.token, brokerSecret: expect.any(String), credentialKeys: keys });
      await endUp(after);
    },
    2 * TIMEOUT_MS,
  );

  test("must not be a directory that other programs need", async () => {
    const shared = join(temporaryState(), "shared");
    mkdirSync(shared);
    chmodSync(shared, 0o1777);
    expect(await refusalOfUp(shared)).toContain(`${shared} holds other users' files`);
    expect(statSync(shared).mode & 0o7777).toBe(0o1777);
  });

  test.each([
    ["of a newer version", { format: 99 }, "A newer version of Valet wrote"],
    ["with an unknown format", "nonsense", "format.json cannot be read"],
  ])("is refused with a sentence: %s", async (_what, format, sentence) => {
    const state = temporaryState();
    writeFileSync(join(state, "format.json"), JSON.stringify(format));
    expect(await refusal(state)).toContain(sentence);
    expect((await findHost(state)).finding.detail).toContain(sentence);
    // Nothing was changed.
    expect(existsSync(join(state, "secrets.json"))).toBe(false);
  });

  test("has another format for each schema of its objects, which refuse a newer one", async () => {
    // By computed paths: these files are compiled with the types of the Worker.
    const objects = join(import.meta.dirname, "../packages/worker/src/durable-objects");
    const { SESSION_MIGRATIONS } = await import(join(objects, "session-schema.ts"));
    const { CAPACITY_MIGRATIONS } = await import(join(objects, "capacity/capacity-schema.ts"));
    const schemas = { sessions: SESSION_MIGRATIONS.length, capacity: CAPACITY_MIGRATIONS.length };
    expect({ format: STATE_FORMAT, ...schemas }).toEqual({ format: 3, sessions: 17, capacity: 1 });
  });

  test("is refused with a sentence when it cannot be created", async () => {
    const folder = temporaryState();
    writeFileSync(join(folder, "file"), "");
    symlinkSync("circle", join(folder, "circle"));
    const why = {
      // There Node's own recursive mkdir never returns.
      "/proc/valet": "/proc/valet: nothing can be created there",
      [join(folder, "file")]: "file: a file is in the way (EEXIST)",
      [join(folder, "file/state")]: "file: a file is in the way (EEXIST)",
      [join(folder, "circle")]: "circle: its links lead in a circle (ELOOP)",
      [join(folder, "n".repeat(300))]: ": the name is too long (ENAMETOOLONG)",
    };
    for (const [state, part] of Object.entries(why)) expect(await refusal(state)).toContain(part);
    expect(await refusalOfUp("")).toContain("The folder has no name");
  });

  test("is refused with a sentence when something else is where its files and folders must be", async () => {
    for (const name of ["broker", "log", "storage", "connection.json", "secrets.json", "worker.lock"]) {
      const state = temporaryState();
      const path = join(state, name);
      if (name.includes(".")) mkdirSync(path);
      else writeFileSync(path, "");
      const kind = name.includes(".") ? "file" : "folder";
      expect(await refusal(state)).toContain(`${path} must be a ${kind}. Move what is there away`);
    }
  });
});

/** Settings of a user's own model, at an address at which nothing answers. */
const REAL = { VALET_MODEL_BASE_URL: "http://127.0.0.1:9", VALET_MODEL: "m" };

describe("doctor", () => {
  test(
    "says whether the system runs, hangs or does not exist; in another shell it shows the running host's model",
    async () => {
      const state = temporaryState();
      const shell = { source: "this shell's environment" };
      expect((await findingsOf(state, REAL)).model).toMatchObject({ state: "ok", ...shell });
      const up = await startUp(state);
      const running = await findingsOf(state, REAL);
      expect(running.system).toMatchObject({ state: "ok" });
      expect(running["model's provider"]).toMatchObject({
        state: "ok",
        detail: expect.stringMatching(/^127\.0\.0\.1:\d+ answers and has valet\/scripted; no prompt was sent/),
      });
      expect(running["sandbox broker"]).toMatchObject({
        state: "ok",
        detail: expect.stringMatching(/answers; driver local; 0 awake, at most \d+/),
      });
      expect(running.model).toMatchObject({
        state: "note",
        detail: expect.stringMatching(/^scripted; .*valet\/m/),
        source: "the running host",
      });
      const [pid] = workersOf(state);
      process.kill(pid as number, "SIGSTOP");
      expect(await systemFinding(state)).toMatchObject({
        state: "missing",
        detail: expect.stringMatching(/its Worker does not answer at .* within 5 s; its sandbox broker answers/),
      });
      process.kill(pid as number, "SIGCONT");
      await until("the Worker's answer", async () => (await systemFinding(state))?.state === "ok");
      up.child.kill("SIGSTOP");
      expect(await systemFinding(state)).toMatchObject({
        state: "missing",
        detail: expect.stringMatching(/its sandbox broker, .* does not answer at .* within 5 s/),
      });
      await endUp(up, "SIGKILL");
      await until("the Worker's end", () => workersOf(state).length === 0);
      const ended = await findingsOf(state);
      expect(ended.system).toMatchObject({
        state: "missing",
        detail: expect.stringContaining("without being stopped"),
      });
      expect(ended["sandbox broker"]).toMatchObject({ state: "note", detail: "not checked: no Valet answers" });
      expect(ended.model).toMatchObject({ state: "note", ...shell });
    },
    2 * TIMEOUT_MS,
  );
});

describe("with a user's own model", () => {
  const secret = `secret-${process.pid}-${Date.now()}`;
  let state: string;
  let up: UpProcess;

  beforeAll(async () => {
    state = mkdtempSync(join(tmpdir(), "valet-up-"));
    const keys = {
      VALET_MODEL_API_KEY: `${secret}-model`,
      OTEL_EXPORTER_OTLP_HEADERS: `authorization=${secret}-export`,
      UNRELATED_TOKEN: `${secret}-other`,
    };
    up = await startForAll(state, { env: { ...process.env, ...REAL, ...keys } });
  }, TIMEOUT_MS);
  afterAll(async () => {
    await endUp(up);
    rmSync(state, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }, TIMEOUT_MS);

  test(
    "doctor shows the running host's model, and the source of each fact, also in a shell without one",
    async () => {
      expect((await findingsOf(state)).model).toMatchObject({
        state: "ok",
        detail: expect.stringMatching(/^valet\/m; .*scripted/),
        source: "the running host",
      });
    },
    TIMEOUT_MS,
  );

  test(
    "the environment of every process that `up` starts, and its own, holds no secret, also after a restart of the Worker",
    async () => {
      const [before] = workersOf(state);
      expect(guardiansOf(state)).toHaveLength(1);
      expect(processesAbout(secret)).toEqual([]);
      expect(readProcess(before as number, "environ")).toContain("PATH=");
      process.kill(before as number, "SIGKILL");
      await until("another Worker", () => up.log().includes("runs again"));
      expect(workersOf(state)).not.toEqual([before]);
      expect(processesAbout(secret)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});

describe("an unwritable log", () => {
  /** Starts `up` with its output redirected. */
  async function upInto(output: "pipe" | number) {
    const state = temporaryState();
    const child = spawn(process.execPath, [CLI, "--state", state, "up", "--json"], {
      stdio: ["ignore", output, output],
    });
    onTestFinished(() => void (hasEnded(child) || child.kill("SIGKILL")));
    await until("the start", () => hasEnded(child) || existsSync(join(state, "connection.json")));
    const { url, token } = JSON.parse(readFileSync(join(state, "connection.json"), "utf8"));
    return { state, child, pid: child.pid as number, url, token, log: () => "" };
  }

  test.each([
    ["on a full disk", () => openSync("/dev/full", "w")],
    ["without a reader", () => "pipe" as const],
  ])(
    "does not end `up`: %s",
    async (_why, output) => {
      const up = await upInto(output());
      up.child.stdout?.destroy();
      up.child.stderr?.destroy();
      // Of a crash it writes two lines.
      const [pid] = workersOf(up.state);
      process.kill(pid as number, "SIGKILL");
      await until("another Worker", () => hasEnded(up.child) || workersOf(up.state).some((each) => each !== pid));
      const headers = { authorization: `Bearer ${up.token}` };
      await until("an answer", () => fetch(`${up.url}/api/sessions`, { headers }).catch(() => undefined));
      expect(hasEnded(up.child)).toBe(false);
      expect(await endUp(up)).toBe(0);
    },
    TIMEOUT_MS,
  );

  test(
    "fails a command whose result is lost with it, and is reported",
    async () => {
      const child = spawn(process.execPath, [CLI, "doctor"], { stdio: ["ignore", openSync("/dev/full", "w"), "pipe"] });
      let printed = "";
      child.stderr?.on("data", (chunk) => (printed += chunk));
      await new Promise((closed) => child.once("close", closed));
      expect(printed).toContain("standard output cannot be written (ENOSPC)");
      expect(child.exitCode).not.toBe(0);
    },
    TIMEOUT_MS,
  );
});
