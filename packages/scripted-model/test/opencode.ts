/**
 * Runs the real OpenCode for tests and recordings: `opencode serve` with its own home folder, a scripted model as its
 * only provider, and a git repository made from the demo's files.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { demoRepository } from "../src/shipped.ts";

const binary = fileURLToPath(new URL("../node_modules/.bin/opencode", import.meta.url));
const startTimeoutMs = 30_000;
const connectTimeoutMs = 2_000;
const connectAttempts = 5;
const callTimeoutMs = 30_000;
const waitTimeoutMs = 30_000;

/** An event as OpenCode sends it on `/event`. */
export interface OpenCodeEvent {
  id: string;
  type: string;
  // biome-ignore lint/suspicious/noExplicitAny: OpenCode's own shapes; a test says which it expects
  properties: any;
}

export interface OpenCodeOptions {
  /** The scripted model's `url`. */
  modelUrl: string;
  /** OpenCode's `permission` setting. */
  permission?: unknown;
  /** OpenCode's `mcp` setting: servers whose tools the agent gets. */
  mcp?: unknown;
}

/** A running OpenCode. */
export interface OpenCode {
  /** The git repository that it works in. */
  readonly workspace: string;
  /** Every event so far, with the epoch milliseconds at which it was read. */
  readonly events: readonly { at: number; event: OpenCodeEvent }[];
  /** Calls OpenCode's HTTP API; throws unless the answer is 2xx. */
  // biome-ignore lint/suspicious/noExplicitAny: OpenCode's own shapes; a test says which it expects
  call(method: "GET" | "POST", path: string, body?: unknown): Promise<any>;
  /** Returns the first matching event from `events[from]` on, past or future; rejects after 30 s. */
  waitFor(fits: (event: OpenCodeEvent) => boolean, from?: number): Promise<OpenCodeEvent>;
  stop(): Promise<void>;
}

/** Starts OpenCode and resolves once its event stream is connected. */
export async function startOpenCode({ modelUrl, permission = "allow", mcp = {} }: OpenCodeOptions): Promise<OpenCode> {
  const root = await realpath(await mkdtemp(join(tmpdir(), "valet-opencode-")));
  const workspace = join(root, "workspace");
  await cp(demoRepository, workspace, { recursive: true });
  await mkdir(join(root, "home"));
  const git = (...args: string[]) => execFileSync("git", args, { cwd: workspace, stdio: "ignore" });
  git("init", "--quiet");
  git("add", ".");
  git("-c", "user.name=demo", "-c", "user.email=demo@example.invalid", "commit", "--quiet", "--message", "Greeter");

  const config = {
    model: "scripted/scripted-1",
    permission,
    mcp,
    provider: {
      scripted: {
        npm: "@ai-sdk/openai-compatible",
        name: "Scripted",
        options: { baseURL: modelUrl, apiKey: "scripted" },
        models: {
          "scripted-1": {
            name: "Scripted",
            tool_call: true,
            reasoning: true,
            limit: { context: 128_000, output: 8_000 },
            cost: { input: 3, output: 15, cache_read: 0.3 },
          },
        },
      },
    },
  };
  const child = spawn(binary, ["serve", "--port", "0", "--hostname", "127.0.0.1"], {
    cwd: workspace,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env.PATH,
      HOME: join(root, "home"),
      OPENCODE_CONFIG_CONTENT: JSON.stringify(config),
      OPENCODE_DISABLE_AUTOUPDATE: "1",
      OPENCODE_DISABLE_MODELS_FETCH: "1",
      OPENCODE_DISABLE_LSP_DOWNLOAD: "1",
    },
  });
  const stopped = new AbortController();
  let url: string | undefined;
  const stop = async () => {
    stopped.abort();
    await end(child, url);
    await rm(root, { recursive: true, force: true, maxRetries: 5 });
  };

  try {
    const address = await listening(child);
    url = address;
    const events: { at: number; event: OpenCodeEvent }[] = [];
    const listeners = new Set<() => void>();
    const waitFor: OpenCode["waitFor"] = (fits, from = 0) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = events.find(({ event }, index) => index >= from && fits(event));
          if (!found) return;
          clearTimeout(timer);
          listeners.delete(look);
          resolve(found.event);
        };
        const timer = setTimeout(() => {
          listeners.delete(look);
          reject(new Error(`no matching event in ${waitTimeoutMs} ms, after ${events.at(-1)?.event.type ?? "none"}`));
        }, waitTimeoutMs);
        listeners.add(look);
        look();
      });
    await connectEvents(`${address}/event`, stopped.signal, (event) => {
      events.push({ at: Date.now(), event });
      for (const look of listeners) look();
    });
    return { workspace, events, waitFor, stop, call: (method, path, body) => call(address, method, path, body) };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Reads the URL from OpenCode's output, since port 0 lets it choose the port. */
async function listening(child: ChildProcess): Promise<string> {
  let output = "";
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const timer = setTimeout(() => reject(new Error(`OpenCode did not start: ${output}`)), startTimeoutMs);
  const read = (chunk: Buffer) => {
    output += chunk.toString();
    const found = /listening on (http:\/\/\S+)/u.exec(output)?.[1];
    if (found) resolve(found);
  };
  child.stdout?.on("data", read);
  child.stderr?.on("data", read);
  child.once("exit", (code) => reject(new Error(`OpenCode exited with ${code}: ${output}`)));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Resolves with the stream's first event and reads on in the background. A request right after "listening" may stall or
 * be reset, so there are several tries with a short timeout each.
 */
async function connectEvents(url: string, signal: AbortSignal, onEvent: (event: OpenCodeEvent) => void): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const connection = new AbortController();
    const timer = setTimeout(() => connection.abort(), connectTimeoutMs);
    try {
      const response = await fetch(url, { signal: AbortSignal.any([signal, connection.signal]) });
      if (!response.body) throw new Error(`${url}: ${response.status} without a body`);
      const stream = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
      const reader = stream.getReader();
      const read = async () => {
        const { value, done } = await reader.read();
        if (!done) onEvent(JSON.parse(value.data) as OpenCodeEvent);
        return !done;
      };
      if (!(await read())) throw new Error(`${url}: the stream ended`);
      void (async () => {
        while (await read());
      })().catch((error: unknown) => {
        if (!signal.aborted) console.error("OpenCode's event stream broke:", error);
      });
      return;
    } catch (error) {
      if (attempt === connectAttempts) throw error;
      await sleep(100, undefined, { signal });
    } finally {
      clearTimeout(timer);
    }
  }
}

async function call(url: string, method: string, path: string, body: unknown): Promise<unknown> {
  const response = await fetch(`${url}${path}`, {
    method,
    signal: AbortSignal.timeout(callTimeoutMs),
    ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}

/**
 * Kills OpenCode and the commands of its tools. The commands lead sessions of their own, which no signal to OpenCode's
 * group reaches, so `/global/dispose` ends them. SIGKILL, because a SIGTERM may take seconds and there is nothing to
 * save.
 */
async function end(child: ChildProcess, url: string | undefined): Promise<void> {
  const ended = () => child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
  if (ended()) return;
  const exited = once(child, "exit");
  if (url) await call(url, "POST", "/global/dispose", {}).catch(() => undefined);
  if (!ended()) child.kill("SIGKILL");
  await exited;
}
