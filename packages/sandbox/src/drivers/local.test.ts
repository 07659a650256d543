/** What happens in sandboxes, with real processes: their environment, their life and their end. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { certificateVariables } from "@valet/shared/certificate-variables";
import { describe, expect, test } from "vitest";
import {
  processesWith,
  STAY,
  startBroker,
  type TestBroker,
  temporaryFolder,
  uniqueSleep,
  waitFor,
} from "../../test/broker.ts";
import { findProcesses } from "../local/process-table.ts";

const TOKEN = "token-of-the-runner";

/** Returns what the sandbox's entrypoint has read from its standard input, once for each start. */
function inputsOf(broker: TestBroker, sessionId: string): unknown[] {
  const lines = broker.read(sessionId, "workspace/inputs.jsonl").trim().split("\n");
  return lines.map((line) => JSON.parse(line));
}

async function stateOf(broker: TestBroker, id: string): Promise<Record<string, unknown>> {
  return (await broker.call("GET", `/v1/sandboxes/${id}`)).body.sandbox;
}

/** Returns what /proc shows of a process; nothing when it has ended. */
function procFile(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}

describe("the entrypoint", () => {
  test("gets the variables of the API and nothing else of the broker's environment", async () => {
    process.env.CANARY_OF_THE_BROKER = "canary";
    // Where the certificates are that the machine trusts.
    process.env.GIT_SSL_CAINFO = "/authorities.pem";
    process.env.OTEL_EXPORTER_OTLP_HEADERS = "key=canary";
    try {
      const broker = await startBroker({ path: "/usr/bin:/bin" });
      const env = {
        TEST_SCRIPT: `env > env; echo "$OLDPWD" > cwd; ${STAY}`,
        TRACEPARENT: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        PATH: "/wrong",
        HOME: "/wrong",
        VALET_SANDBOX_ID: "wrong",
        LANG: "de_DE.UTF-8",
      };
      const { id } = await broker.create("s1", "", { env });
      await waitFor(() => broker.read("s1", "workspace/cwd") !== "");
      const folder = broker.folder("s1");
      const lines = broker.read("s1", "workspace/env").trim().split("\n");
      const seen = Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
      // Set by the shell.
      for (const name of ["PWD", "OLDPWD", "SHLVL", "_"]) delete seen[name];
      expect(seen).toEqual({
        ...env,
        ...certificateVariables(process.env),
        GIT_SSL_CAINFO: "/authorities.pem",
        PATH: "/usr/bin:/bin",
        HOME: join(folder, "home"),
        TMPDIR: join(folder, "tmp"),
        VALET_WORKSPACE: join(folder, "workspace"),
        VALET_RUNNER_STATE: join(folder, "runner"),
        VALET_RESTORED: "0",
        VALET_ISOLATION: "none",
        VALET_SANDBOX_LIMITS: expect.stringContaining('"openFiles":65536'),
        VALET_LIFELINE_FD: "3",
        VALET_SANDBOX_ID: id,
      });
      // The working directory is not the workspace, whose files must not configure the entrypoint's runtime.
      expect(broker.read("s1", "workspace/cwd").trim()).toBe("/");
      expect(JSON.stringify(seen)).not.toContain("canary");
    } finally {
      delete process.env.CANARY_OF_THE_BROKER;
      delete process.env.GIT_SSL_CAINFO;
      delete process.env.OTEL_EXPORTER_OTLP_HEADERS;
    }
  });

  test("gets the runner's token from standard input; environment, arguments and disk do not hold it", async () => {
    const broker = await startBroker();
    const { id } = await broker.create("s1", STAY);
    expect(await waitFor(() => inputsOf(broker, "s1"))).toEqual([{ token: TOKEN, restartCount: 0 }]);
    // Some of its processes are short-lived, such as those of a shell script.
    const shown = findProcesses({ sandboxId: id }).flatMap(({ pid }) =>
      ["environ", "cmdline"].map((file) => procFile(pid, file)),
    );
    expect(shown.filter((text) => text !== "")).not.toEqual([]);
    for (const text of shown) expect(text).not.toContain(TOKEN);
    expect(broker.read("s1", "sandbox.json")).not.toContain(TOKEN);
    expect(broker.read("s1", "sandbox.json")).not.toContain("sleep");
    expect(statSync(broker.folder("s1")).mode & 0o077).toBe(0);
  });

  test("is restarted when it dies, with the same token, after its remaining processes have ended", async () => {
    const broker = await startBroker();
    const left = uniqueSleep();
    const script = `
      starts=$(wc -l < inputs.jsonl)
      if [ "$starts" -lt 4 ]; then ${left} & kill -9 $$; fi
      ${STAY}`;
    const { id } = await broker.create("s1", script);
    const sandbox = await waitFor(async () => {
      const now = await stateOf(broker, id);
      return now.restartCount === 3 && now;
    });
    expect(sandbox).toMatchObject({ state: "running", generation: 1 });
    expect(await waitFor(() => inputsOf(broker, "s1").length === 4 && inputsOf(broker, "s1"))).toEqual(
      [0, 1, 2, 3].map((restartCount) => ({ token: TOKEN, restartCount })),
    );
    expect(processesWith(left)).toEqual([]);
  });

  test("that keeps dying is not restarted any more; its files stay and can be snapshotted", async () => {
    const broker = await startBroker({ restart: { limit: 2 } });
    const { id } = await broker.create("s1", "echo work > file; exit 1");
    const sandbox = await waitFor(async () => {
      const now = await stateOf(broker, id);
      return now.state === "stopped" && now;
    });
    expect(sandbox).toMatchObject({ stopReason: "entrypoint_failed", restartCount: 2 });
    expect(inputsOf(broker, "s1")).toHaveLength(3);
    const { body } = await broker.call("POST", `/v1/sandboxes/${id}/snapshot`);
    await broker.create("s1", STAY, { generation: 2, snapshotId: body.snapshotId });
    expect(broker.read("s1", "workspace/file")).toBe("work\n");
  });

  test("that keeps dying: the error has its last output, without its token and passwords", async () => {
    const broker = await startBroker({ restart: { limit: 1 } });
    const script = `echo "before"; printf '\\033[31mwhy: %s of https://user:password@git.example/x.git\\033[0m\\n\\n' "$(tail -1 inputs.jsonl)" >&2; exit 1`;
    const { id } = await broker.create("s1", script, { runnerToken: TOKEN });
    const sandbox = await waitFor(async () => {
      const now = await stateOf(broker, id);
      return now.state === "stopped" && now;
    });
    expect(sandbox.lastLogLine).toBe('why: {"token":"REDACTED","restartCount":1} of https://git.example/x.git');
  });

  test.each([0, 77, 78])("that exits with %i is not restarted", async (code) => {
    const broker = await startBroker();
    const { id } = await broker.create("s1", `exit ${code}`);
    const sandbox = await waitFor(async () => {
      const now = await stateOf(broker, id);
      return now.state === "stopped" && now;
    });
    expect(sandbox).toMatchObject({ stopReason: "entrypoint_ended", restartCount: 0 });
    expect(inputsOf(broker, "s1")).toHaveLength(1);
  });

  test("that lives long enough between deaths is always restarted", async () => {
    const broker = await startBroker({ restart: { limit: 1, stableMs: 0 } });
    const { id } = await broker.create("s1", "exit 1");
    await waitFor(async () => ((await stateOf(broker, id)).restartCount as number) >= 4);
  });

  test("has its output in a log of bounded size", async () => {
    const broker = await startBroker({ maxLogBytes: 10_000 });
    await broker.create("s1", `echo to stderr >&2; until [ -e go ]; do sleep 0.01; done; seq 1 20000; ${STAY}`);
    const readLog = () => broker.read("s1", "log/entrypoint.log");
    await waitFor(() => readLog() === "to stderr\n");
    writeFileSync(join(broker.folder("s1"), "workspace/go"), "");
    const log = await waitFor(() => readLog().endsWith("\n20000\n") && readLog());
    expect(log.length).toBeLessThanOrEqual(10_000);
    expect(broker.read("s1", "log/entrypoint.log.1").length).toBeLessThanOrEqual(10_000);
  });
});

describe("terminating", () => {
  test("ends children, grandchildren and daemons, and removes every file", async () => {
    const broker = await startBroker({ graceMs: 100 });
    const sleep = uniqueSleep();
    const family = [
      `sh -c '${sleep} & wait' &`,
      // Outside the session and without a parent: found by its environment.
      `setsid sh -c '(trap "" TERM; ${sleep}) & exit 0' &`,
      // Without its environment and outside the session: found by its parent.
      `env -i setsid -w sh -c '${sleep} & wait' &`,
      // Without its environment and a parent: found by the session.
      `env -i sh -c '${sleep} & exit 0' &`,
    ];
    const { id } = await broker.create("s1", `${family.join("\n")}\n${STAY}`);
    const sleeping = () =>
      processesWith(sleep).filter((pid) => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n");
    await waitFor(() => sleeping().length === 4);
    expect((await broker.call("DELETE", `/v1/sandboxes/${id}`)).body).toEqual({ alreadyGone: false });
    expect(processesWith(sleep)).toEqual([]);
    expect(findProcesses({ sandboxId: id })).toEqual([]);
    expect(() => broker.folder("s1")).toThrow("no folder");
  });

  test("ends the entrypoint first, and its children after it has exited", async () => {
    const broker = await startBroker({ graceMs: 10_000 });
    const out = join(temporaryFolder(), "order");
    const child = `(trap 'echo child >> ${out}; exit' TERM; while :; do sleep 0.01; done) &`;
    // No one signals the child before its parent has exited.
    const parent = `trap 'sleep 0.1; echo parent >> ${out}; exit' TERM; touch ready; while :; do sleep 0.01; done`;
    const { id } = await broker.create("s1", `${child} ${parent}`);
    await waitFor(() => broker.read("s1", "workspace/ready") === "");
    await broker.call("DELETE", `/v1/sandboxes/${id}`);
    expect(readFileSync(out, "utf8")).toBe("parent\nchild\n");
  });

  test("kills what is left after the grace period", async () => {
    const broker = await startBroker({ graceMs: 2_000 });
    const out = join(temporaryFolder(), "asked");
    const stay = "while :; do sleep 0.01; done";
    const { id } = await broker.create("s1", `trap 'echo asked >> ${out}' TERM; touch ready; ${stay}`);
    await waitFor(() => broker.read("s1", "workspace/ready") === "");
    expect((await broker.call("DELETE", `/v1/sandboxes/${id}`)).status).toBe(200);
    // It received SIGTERM before it was killed.
    expect(readFileSync(out, "utf8")).toBe("asked\n");
    expect(findProcesses({ sandboxId: id })).toEqual([]);
  });

  test("catches processes that fork endlessly", async () => {
    const broker = await startBroker({ graceMs: 0 });
    const sleep = uniqueSleep();
    const hydra = `hydra() { touch ready; ${sleep} & sh -c "exit" & (hydra) & exit 0; }; hydra & ${STAY}`;
    const { id } = await broker.create("s1", `ulimit -u 4000; ${hydra}`);
    await waitFor(() => processesWith(sleep).length > 10);
    expect((await broker.call("DELETE", `/v1/sandboxes/${id}`)).status).toBe(200);
    expect(processesWith(sleep)).toEqual([]);
  });

  test("leaves other sandboxes alone, and is idempotent for concurrent calls", async () => {
    const broker = await startBroker();
    const [one, two] = [await broker.create("s1", STAY), await broker.create("s2", STAY)];
    const answers = await Promise.all([1, 2].map(() => broker.call("DELETE", `/v1/sandboxes/${one.id}`)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(answers.map(({ body }) => body.alreadyGone).sort()).toEqual([false, true]);
    expect(await stateOf(broker, two.id)).toMatchObject({ state: "running", restartCount: 0 });
    expect(findProcesses({ sandboxId: two.id })).not.toEqual([]);
  });

  test("ends the restarts of an entrypoint that dies at once", async () => {
    const broker = await startBroker({ restart: { limit: 1000, delayMs: 1, maxDelayMs: 1 } });
    const { id } = await broker.create("s1", "exit 1");
    await waitFor(async () => ((await stateOf(broker, id)).restartCount as number) > 2);
    expect((await broker.call("DELETE", `/v1/sandboxes/${id}`)).status).toBe(200);
    expect((await broker.call("GET", `/v1/sandboxes/${id}`)).status).toBe(404);
    expect(findProcesses({ sandboxId: id })).toEqual([]);
  });
});

describe("a sandbox whose files somebody removed", () => {
  test("is gone, also when its entrypoint makes its folder again: it cannot be snapshotted, and its processes end with it", async () => {
    const broker = await startBroker();
    const sleep = uniqueSleep();
    const { id } = await broker.create("s1", `setsid ${sleep} & ${STAY}`);
    await waitFor(() => processesWith(sleep).length === 1);
    const folder = broker.folder("s1");
    rmSync(folder, { recursive: true });
    mkdirSync(join(folder, "runner"), { recursive: true });
    expect((await broker.call("GET", `/v1/sandboxes/${id}`)).status).toBe(404);
    const snapshot = await broker.call("POST", `/v1/sandboxes/${id}/snapshot`);
    expect([snapshot.status, snapshot.body.code]).toEqual([409, "sandbox_gone"]);
    expect(processesWith(sleep)).toHaveLength(1);
    expect((await broker.call("DELETE", `/v1/sandboxes/${id}`)).body.alreadyGone).toBe(false);
    expect(processesWith(sleep)).toEqual([]);
    expect(findProcesses({ sandboxId: id })).toEqual([]);
    expect(existsSync(folder)).toBe(false);
  });

  test("is kept if the folder of all sandboxes is away, which is logged once, and goes on when that is back", async () => {
    const warnings: string[] = [];
    const broker = await startBroker({ onWarning: (line) => void warnings.push(line) });
    const { id } = await broker.create("s1", STAY);
    const sandboxes = dirname(broker.folder("s1"));
    renameSync(sandboxes, `${sandboxes}-elsewhere`);
    // As under a mount point.
    for (const isEmpty of [false, true]) {
      if (isEmpty) mkdirSync(sandboxes);
      expect(await stateOf(broker, id)).toMatchObject({ id, state: "running" });
      expect((await broker.call("POST", `/v1/sandboxes/${id}/snapshot`)).body.code).toBe("snapshot_failed");
    }
    rmSync(sandboxes, { recursive: true });
    expect(warnings).toEqual([
      expect.stringMatching(
        /sandboxes, is missing, or another folder is in its place\..* restored from a copy, stop Valet and start/,
      ),
    ]);
    renameSync(`${sandboxes}-elsewhere`, sandboxes);
    expect((await broker.call("POST", `/v1/sandboxes/${id}/snapshot`)).status).toBe(201);
  });

  test("is kept if the disk of the folder of all sandboxes answers with an error, which is logged", async () => {
    const warnings: string[] = [];
    const broker = await startBroker({ onWarning: (line) => void warnings.push(line) });
    const { id } = await broker.create("s1", STAY);
    const disk = dirname(dirname(broker.folder("s1")));
    renameSync(disk, `${disk}-elsewhere`);
    // A link to itself.
    symlinkSync(disk, disk);
    try {
      expect(await stateOf(broker, id)).toMatchObject({ id, state: "running" });
      expect(warnings).toEqual([expect.stringContaining("sandboxes, is missing")]);
    } finally {
      rmSync(disk);
      renameSync(`${disk}-elsewhere`, disk);
    }
    expect((await broker.call("POST", `/v1/sandboxes/${id}/snapshot`)).status).toBe(201);
  });

  test("is gone if a file is in the place of its folder", async () => {
    const broker = await startBroker();
    const { id } = await broker.create("s1", STAY);
    const folder = broker.folder("s1");
    rmSync(folder, { recursive: true });
    writeFileSync(folder, "");
    expect((await broker.call("GET", `/v1/sandboxes/${id}`)).status).toBe(404);
    expect((await broker.call("DELETE", `/v1/sandboxes/${id}`)).body.alreadyGone).toBe(false);
  });

  test("is kept while any of the agent's files are left", async () => {
    const broker = await startBroker();
    const { id } = await broker.create("s1", STAY);
    rmSync(join(broker.folder("s1"), "workspace"), { recursive: true });
    expect(await stateOf(broker, id)).toMatchObject({ id, state: "running" });
    expect((await broker.call("POST", `/v1/sandboxes/${id}/snapshot`)).body.code).toBe("snapshot_failed");
  });
});

describe("closing", () => {
  test("ends every process and keeps the files; the next broker has the sandboxes as stopped", async () => {
    const broker = await startBroker();
    const sleep = uniqueSleep();
    const sandbox = await broker.create("s1", `setsid ${sleep} & echo work > file; ${STAY}`);
    await waitFor(() => processesWith(sleep).length === 1 && broker.read("s1", "workspace/file") !== "");
    await Promise.all([broker.close(), broker.close()]);
    expect(processesWith(sleep)).toEqual([]);
    expect(findProcesses({ sandboxId: sandbox.id })).toEqual([]);
    expect(processesWith(broker.stateDir)).toEqual([]);

    const next = await startBroker({ stateDir: broker.stateDir });
    expect(await stateOf(next, sandbox.id)).toEqual({ ...sandbox, state: "stopped", stopReason: "broker_stopped" });
    // Creating it again returns the stopped sandbox: its token is lost and cannot be passed on.
    expect(await next.create("s1", STAY)).toMatchObject({ id: sandbox.id, state: "stopped" });
    const { body } = await next.call("POST", `/v1/sandboxes/${sandbox.id}/snapshot`);
    await next.create("s1", STAY, { generation: 2, snapshotId: body.snapshotId });
    expect(next.read("s1", "workspace/file")).toBe("work\n");
  });
});
