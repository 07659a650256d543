/** What `valet up` does with its state directory, its environment and its log. */

import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { readProcess } from "./processes.ts";
import { guardiansOf, processesAbout, run, startUp, temporaryState, until, valet, workersOf } from "./up-process.ts";
import { CLI, endUp, hasEnded } from "./valet-up.ts";

const TIMEOUT_MS = 60_000;

async function refusal(state: string): Promise<string> {
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

/** Returns a finding of `valet doctor` in a shell with these variables. */
async function doctorsFinding(wanted: string, state: string, variables = {}): Promise<Finding> {
  const { stdout } = await run(["--state", state, "doctor", "--json"], { env: { ...process.env, ...variables } });
  return JSON.parse(stdout).findings.find(({ name }: Finding) => name === wanted);
}

const systemFinding = (state: string) => doctorsFinding("system", state);

describe("the state directory", () => {
  test(
    "is restricted to its owner, also when it existed before, and so is everything that the Worker writes",
    async () => {
      const state = temporaryState();
      chmodSync(state, 0o755);
      mkdirSync(join(state, "broker"), { mode: 0o755 });
      await startUp(state);
      for (const path of [state, join(state, "broker")]) expect(statSync(path).mode & 0o777).toBe(0o700);
      for (const file of ["secrets.json", "connection.json", "format.json", "worker.lock"]) {
        expect(statSync(join(state, file)).mode & 0o077, file).toBe(0);
      }
      expect(statSync(join(state, "storage/d1")).mode & 0o077).toBe(0);
    },
    TIMEOUT_MS,
  );

  test(
    "has secrets that rotate: without its token `up` makes another and the old one is refused; a new key goes in front",
    async () => {
      const state = temporaryState();
      const before = await startUp(state);
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
    TIMEOUT_MS,
  );

  test("must not be a directory that other programs need", async () => {
    const shared = join(temporaryState(), "shared");
    mkdirSync(shared);
    chmodSync(shared, 0o1777);
    expect(await refusal(shared)).toContain(`${shared} holds other users' files`);
    expect(statSync(shared).mode & 0o7777).toBe(0o1777);
  });

  test.each([
    ["of a newer version", { format: 99 }, "A newer version of Valet wrote"],
    ["with an unknown format", "nonsense", "format.json cannot be read"],
  ])("is refused with a sentence: %s", async (_what, format, sentence) => {
    const state = temporaryState();
    writeFileSync(join(state, "format.json"), JSON.stringify(format));
    expect(await refusal(state)).toContain(sentence);
    expect((await systemFinding(state)).detail).toContain(sentence);
    // Nothing was changed.
    expect(existsSync(join(state, "secrets.json"))).toBe(false);
  });

  test("is refused with a sentence when it cannot be created", async () => {
    const folder = temporaryState();
    writeFileSync(join(folder, "file"), "");
    symlinkSync("circle", join(folder, "circle"));
    const why = {
      // There Node's own recursive mkdir never returns.
      "/proc/valet": "/proc/valet: it cannot be created (ENOENT)",
      [join(folder, "file")]: "file: a file is in the way (EEXIST)",
      [join(folder, "file/state")]: "file: a file is in the way (EEXIST)",
      [join(folder, "circle")]: "circle: its links lead in a circle (ELOOP)",
      [join(folder, "n".repeat(300))]: ": the name is too long (ENAMETOOLONG)",
      "": "The folder has no name",
    };
    const states = Object.entries(why);
    const refusals = await Promise.all(states.map(([state]) => refusal(state)));
    for (const [nth, [, part]] of states.entries()) expect(refusals[nth]).toContain(part);
  });

  test("is refused with a sentence when something else is where its files and folders must be", async () => {
    const taken = ["broker", "log", "storage", "connection.json", "secrets.json", "worker.lock"].map((name) => {
      const state = temporaryState();
      const path = join(state, name);
      if (name.includes(".")) mkdirSync(path);
      else writeFileSync(path, "");
      return {
        state,
        sentence: `${path} must be a ${name.includes(".") ? "file" : "folder"}. Move what is there away`,
      };
    });
    const refusals = await Promise.all(taken.map(({ state }) => refusal(state)));
    for (const [nth, { sentence }] of taken.entries()) expect(refusals[nth]).toContain(sentence);
  });
});

describe("doctor", () => {
  test(
    "says whether the system runs, hangs or does not exist",
    async () => {
      const state = temporaryState();
      const up = await startUp(state);
      expect(await systemFinding(state)).toMatchObject({ state: "ok" });
      expect(await doctorsFinding("model's provider", state)).toMatchObject({
        state: "ok",
        detail: expect.stringMatching(/^127\.0\.0\.1:\d+ answers and has valet\/scripted; no prompt was sent/),
      });
      expect(await doctorsFinding("sandbox broker", state)).toMatchObject({
        state: "ok",
        detail: expect.stringMatching(/answers; driver local; 0 awake, at most \d+/),
      });
      const [pid] = workersOf(state);
      process.kill(pid as number, "SIGSTOP");
      expect(await systemFinding(state)).toMatchObject({
        state: "missing",
        detail: expect.stringMatching(/its Worker does not answer at .* within 5 s; its sandbox broker answers/),
      });
      process.kill(pid as number, "SIGCONT");
      await until("the Worker's answer", async () => (await systemFinding(state)).state === "ok");
      up.child.kill("SIGSTOP");
      expect(await systemFinding(state)).toMatchObject({
        state: "missing",
        detail: expect.stringMatching(/its sandbox broker, .* does not answer at .* within 5 s/),
      });
      await endUp(up, "SIGKILL");
      await until("the Worker's end", () => workersOf(state).length === 0);
      expect(await systemFinding(state)).toMatchObject({
        state: "note",
        detail: expect.stringContaining("nothing runs"),
      });
      expect(await doctorsFinding("sandbox broker", state)).toMatchObject({
        state: "note",
        detail: "not checked: no Valet answers",
      });
    },
    2 * TIMEOUT_MS,
  );
});

describe("doctor in another shell", () => {
  test(
    "shows the running host's model, and the source of each fact",
    async () => {
      const state = temporaryState();
      const real = { VALET_MODEL_BASE_URL: "http://127.0.0.1:9", VALET_MODEL: "m" };
      const shell = { source: "this shell's environment" };
      expect(await doctorsFinding("model", state, real)).toMatchObject({ state: "ok", ...shell });
      const scripted = await startUp(state);
      expect(await doctorsFinding("model", state, real)).toMatchObject({
        state: "note",
        detail: expect.stringMatching(/^scripted; .*valet\/m/),
        source: "the running host",
      });
      await endUp(scripted);
      const up = await startUp(state, { env: { ...process.env, ...real } });
      expect(await doctorsFinding("model", state)).toMatchObject({
        state: "ok",
        detail: expect.stringMatching(/^valet\/m; .*scripted/),
        source: "the running host",
      });
      await endUp(up);
      expect(await doctorsFinding("model", state)).toMatchObject({ state: "note", ...shell });
    },
    TIMEOUT_MS,
  );
});

describe("the environment", () => {
  test(
    "of every process that `up` starts, and its own, holds no secret, also after a restart of the Worker",
    async () => {
      const secret = `secret-${process.pid}-${Date.now()}`;
      const state = temporaryState();
      const env = {
        ...process.env,
        VALET_MODEL_BASE_URL: "http://127.0.0.1:9",
        VALET_MODEL: "m",
        VALET_MODEL_API_KEY: `${secret}-model`,
        OTEL_EXPORTER_OTLP_HEADERS: `authorization=${secret}-export`,
        UNRELATED_TOKEN: `${secret}-other`,
      };
      const up = await startUp(state, { env });
      const [before] = workersOf(state);
      expect(guardiansOf(state)).toHaveLength(1);
      expect(processesAbout(secret)).toEqual([]);
      expect(readProcess(before as number, "environ")).toContain("PATH=");
      process.kill(before as number, "SIGKILL");
      await until("another Worker", () => up.log().includes("runs again"));
      expect(workersOf(state)).not.toEqual([before]);
      expect(processesAbout(secret)).toEqual([]);
      expect(await endUp(up)).toBe(0);
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
      for (let crashes = 0; crashes < 2; crashes++) {
        const [pid] = workersOf(up.state);
        process.kill(pid as number, "SIGKILL");
        await until("another Worker", () => hasEnded(up.child) || workersOf(up.state).some((each) => each !== pid));
      }
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
