/** Brokers for tests, and functions that inspect their files and processes. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { type SandboxBrokerOptions, startSandboxBroker } from "../src/index.ts";

export const SECRET = "the-secret-of-these-tests";
export const ENTRYPOINT = ["/bin/sh", fileURLToPath(new URL("./entrypoint.sh", import.meta.url))] as const;
/** A folder for the front of `PATH` with tools whose copies never end. */
export const SLOW_TOOLS = fileURLToPath(new URL("./slow-tools", import.meta.url));
/** Runs until it is killed. */
export const STAY = "exec sleep 600";
const WAIT_MS = 30_000;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what the broker sent; a test says what it expects
  readonly body: any;
}

export interface TestBroker {
  readonly url: string;
  readonly stateDir: string;
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Creates a sandbox that runs a shell script; fails the test if that fails. */
  create(sessionId: string, script: string, more?: object): Promise<Answer["body"]["sandbox"]>;
  /** Returns the folder of a session's sandbox. */
  folder(sessionId: string): string;
  /** Reads a file of the sandbox. */
  read(sessionId: string, path: string): string;
}

/** Creates a folder that is removed after the test. */
export function temporaryFolder(): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), "valet-broker-")));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Starts a broker in this process; it is closed after the test. */
export async function startBroker(
  options: Partial<SandboxBrokerOptions> = {},
): Promise<TestBroker & { close(): Promise<void>; drain(): void }> {
  const stateDir = options.stateDir ?? temporaryFolder();
  const restart = { delayMs: 5, maxDelayMs: 20, ...options.restart };
  const broker = await startSandboxBroker({
    secret: SECRET,
    entrypoint: ENTRYPOINT,
    graceMs: 1_000,
    // Independent of the machine.
    maxSandboxes: 100,
    isolation: "none",
    ...options,
    restart,
    stateDir,
  });
  onTestFinished(() => broker.close());
  return { ...testBroker(broker.url, stateDir), close: () => broker.close(), drain: () => broker.drain() };
}

export interface BrokerProcess extends TestBroker {
  readonly process: ChildProcess;
}

const PROGRAM = fileURLToPath(new URL("../src/bin.ts", import.meta.url));
/** Halves the time that the program takes to start. */
const COMPILE_CACHE = fileURLToPath(new URL("../node_modules/.cache/node", import.meta.url));

/** Runs the broker's program; it is killed after the test. */
export function runProgram(args: readonly string[], env: Record<string, string> = {}, user?: number): ChildProcess {
  const program = spawn(process.execPath, [PROGRAM, ...args], {
    ...(user !== undefined && { uid: user, gid: user }),
    env: { PATH: process.env.PATH, VALET_BROKER_SECRET: SECRET, NODE_COMPILE_CACHE: COMPILE_CACHE, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(program, "exit");
  onTestFinished(async () => {
    program.kill("SIGTERM");
    await exited;
  });
  return program;
}

/** Starts a broker in a process of its own, which tests can kill. */
export async function startBrokerProcess(
  stateDir: string,
  env?: Record<string, string>,
  user?: number,
): Promise<BrokerProcess> {
  const program = runProgram(["--state", stateDir, "--", ...ENTRYPOINT], env, user);
  if (program.stdout === null) throw new Error("no output");
  const [line] = await once(createInterface(program.stdout), "line");
  return { ...testBroker(JSON.parse(line).url, stateDir), process: program };
}

/** Starts a broker of a user other than root, to whom file permissions do not apply. */
export function startOrdinaryBroker(): Promise<BrokerProcess> {
  const stateDir = temporaryFolder();
  if (process.getuid?.() !== 0) return startBrokerProcess(stateDir);
  chownSync(stateDir, NOBODY, NOBODY);
  // That user's home cannot hold Node.js's cache.
  return startBrokerProcess(stateDir, { NODE_COMPILE_CACHE: "" }, NOBODY);
}
const NOBODY = 65_534;

export function testBroker(url: string, stateDir: string): TestBroker {
  const call: TestBroker["call"] = async (method, path, body, headers = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${SECRET}`, ...headers },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    return { status: response.status, headers: response.headers, body: await response.json() };
  };
  const folder = (sessionId: string): string => {
    const sandboxes = join(stateDir, "sandboxes");
    const found = readdirSync(sandboxes).find((name) => {
      return JSON.parse(readFileSync(join(sandboxes, name, "sandbox.json"), "utf8")).sessionId === sessionId;
    });
    if (found === undefined) throw new Error(`no folder for ${sessionId}`);
    return join(sandboxes, found);
  };
  return {
    url,
    stateDir,
    call,
    folder,
    read: (sessionId, path) => readFileSync(join(folder(sessionId), path), "utf8"),
    create: async (sessionId, script, more = {}) => {
      const { status, body } = await call("POST", "/v1/sandboxes", createRequest(sessionId, script, more));
      if (status !== 201) throw new Error(JSON.stringify(body));
      return body.sandbox;
    },
  };
}

export function createRequest(sessionId: string, script: string, more: object = {}): Record<string, unknown> {
  return { sessionId, generation: 1, env: { TEST_SCRIPT: script }, runnerToken: "token-of-the-runner", ...more };
}

/** Polls until `read` returns a value; an exception counts as no value yet. */
export async function waitFor<T>(read: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
  let last: unknown = "nothing came";
  for (const end = Date.now() + WAIT_MS; Date.now() < end; await sleep(15)) {
    try {
      const value = await read();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
  }
  throw new Error(`timed out: ${last}`);
}

/** Returns the copies below `path` that the slow tools have begun. */
export function halfCopies(path: string): string[] {
  return readdirSync(path).filter((name) => existsSync(join(path, name, "workspace/half")));
}

/** Returns the ids of the living processes whose command line contains this text. */
export function processesWith(text: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        // A zombie has no command line.
        return (
          pid !== process.pid && readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").includes(text)
        );
      } catch {
        return false;
      }
    });
}

/** Returns a duration that no other `sleep` on this machine has, which marks the processes of one test. */
export function uniqueSleep(): string {
  return `sleep 600.${process.pid}${String(Math.random()).slice(2, 12)}`;
}
