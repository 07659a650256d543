/** `valet up` as a process of its own: what it prints, what it leaves, and how it goes on after it was killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, describe, expect, test } from "vitest";

const CLI = resolve(import.meta.dirname, "../packages/cli/src/bin.ts");

const folders: string[] = [];
const children: ChildProcess[] = [];

afterEach(async () => {
  for (const child of children.splice(0))
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function stateDir(): string {
  const folder = mkdtempSync(join(tmpdir(), "valet-up-"));
  folders.push(folder);
  return folder;
}

interface Running {
  readonly child: ChildProcess;
  readonly url: string;
  readonly token: string;
}

function valet(...args: string[]): ChildProcess {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  return child;
}

async function up(state: string): Promise<Running> {
  const child = valet("--state", state, "up", "--json");
  const line = await new Promise<string>((ready, failed) => {
    let output = "";
    child.stdout?.on("data", (chunk) => {
      output += chunk;
      if (output.includes("\n")) ready(output);
    });
    child.on("exit", (code) => failed(new Error(`valet up ended with ${code}`)));
  });
  return { child, ...JSON.parse(line) };
}

/** Runs a command to its end. */
async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = valet(...args);
  const output = { stdout: "", stderr: "" };
  child.stdout?.on("data", (chunk) => (output.stdout += chunk));
  child.stderr?.on("data", (chunk) => (output.stderr += chunk));
  const [code] = await once(child, "close");
  return { code, ...output };
}

function workerdCount(parentPid: number): number {
  return readdirSync("/proc").filter((pid) => {
    try {
      const parent = /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
      return Number(parent) === parentPid && readlinkSync(`/proc/${pid}/exe`).endsWith("/workerd");
    } catch {
      return false;
    }
  }).length;
}

async function listSessions({ url, token }: Running): Promise<number> {
  return (await fetch(`${url}/api/sessions`, { headers: { authorization: `Bearer ${token}` } })).status;
}

describe("valet up", () => {
  test("prints one line when it is ready, is found by other commands, and stops all on SIGTERM", async () => {
    const state = stateDir();
    const running = await up(state);
    expect(await listSessions(running)).toBe(200);
    expect(workerdCount(running.child.pid as number)).toBe(1);
    expect(await run("--state", state, "sessions", "--json")).toMatchObject({ code: 0, stdout: '{"sessions":[]}\n' });

    running.child.kill("SIGTERM");
    const [code] = await once(running.child, "exit");
    expect(code).toBe(0);
    await expect(fetch(running.url)).rejects.toThrow();
  }, 60_000);

  test("says so when it runs already on the state", async () => {
    const state = stateDir();
    const { url, child } = await up(state);
    const second = await run("--state", state, "up");
    expect(second.code).toBe(2);
    expect(second.stderr).toContain(`Valet already runs on ${state} at ${url}.`);
    child.kill("SIGTERM");
    await once(child, "exit");
  }, 60_000);

  test("goes on after it was killed, with the same token", async () => {
    const state = stateDir();
    const first = await up(state);
    first.child.kill("SIGKILL");
    await once(first.child, "exit");
    const second = await up(state);
    expect(second.token).toBe(first.token);
    expect(await listSessions(second)).toBe(200);
    // The workerd that outlived the first is gone: nothing answers at its address.
    if (second.url !== first.url) await expect(fetch(first.url)).rejects.toThrow();
    second.child.kill("SIGTERM");
    await once(second.child, "exit");
  }, 60_000);
});

describe("bad input", () => {
  test.each<[string, string[], string]>([
    ["no command", ["nonsense"], "unknown command"],
    ["a bad port", ["up", "--port", "99999"], "A port is 1 to 65535."],
    ["a URL without a token", ["sessions", "--url", "http://127.0.0.1:1"], "Give the token"],
    ["nothing running", ["--state", "/nonexistent", "sessions"], "Nothing runs on /nonexistent"],
    ["no file", ["workflow", "ses_x", "/nonexistent.json", "--url", "http://127.0.0.1:1", "--token", "x"], "ENOENT"],
    ["no JSON", ["workflow", "ses_x", CLI, "--url", "http://127.0.0.1:1", "--token", "x"], "holds no JSON"],
    ["nobody there", ["sessions", "--url", "http://127.0.0.1:1", "--token", "x"], "does not answer"],
  ])("%s ends with 2 and says what is wrong", async (_what, args, message) => {
    const { code, stdout, stderr } = await run(...args);
    expect(stderr).toContain(message);
    expect(stdout).toBe("");
    expect(code).toBe(2);
  });
});
