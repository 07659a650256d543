/**
 * The competitor: the same OpenCode with the same configuration, model and repository, but driven directly over its HTTP API and
 * event stream, without Valet.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { OpenCodeClient } from "../../packages/runner/src/opencode/client.ts";
import { openCodeConfig, openCodeEnvironment, usesCatalogue } from "../../packages/runner/src/opencode/config.ts";
import { ConfigFolder } from "../../packages/runner/src/opencode/config-folder.ts";
import { EventStream } from "../../packages/runner/src/opencode/event-stream.ts";
import type { AgentEvent } from "../../packages/runner/src/opencode/events.ts";
import { newMessageId } from "../../packages/runner/src/opencode/ids.ts";
import { ModelAccess } from "../../packages/shared/src/protocol/model-access.ts";
import { INVALID_CONTEXT } from "../../packages/shared/src/tracing/index.ts";

const MODEL = { providerID: "valet", modelID: "scripted" };
const START_TIMEOUT_MS = 60_000;
const TURN_TIMEOUT_MS = 60_000;

export interface BareTimes {
  /** From the prompt's request to the first text on the event stream, in ms. */
  readonly firstText: number;
  /** To the event that the session is idle. */
  readonly done: number;
}

export class BareOpenCode {
  readonly #child: ChildProcess;
  readonly #client: OpenCodeClient;
  readonly #stream: EventStream;
  readonly #sessionId: string;
  readonly #listeners: Set<(event: AgentEvent) => void>;

  private constructor(
    child: ChildProcess,
    client: OpenCodeClient,
    stream: EventStream,
    sessionId: string,
    listeners: Set<(event: AgentEvent) => void>,
  ) {
    this.#child = child;
    this.#client = client;
    this.#stream = stream;
    this.#sessionId = sessionId;
    this.#listeners = listeners;
  }

  /**
   * Clones the repository, starts OpenCode there and creates a session.
   * @param folder does not exist yet; everything is kept in it
   */
  static async start(folder: string, repoUrl: string, modelUrl: string): Promise<BareOpenCode> {
    const workspace = join(folder, "workspace");
    const home = join(folder, "home");
    await mkdir(home, { recursive: true });
    await promisify(execFile)("git", ["clone", "--quiet", repoUrl, workspace]);
    const access = ModelAccess.parse({
      model: `${MODEL.providerID}/${MODEL.modelID}`,
      openAiCompatible: { baseUrl: modelUrl, apiKey: "none" },
    });
    const password = randomBytes(24).toString("base64url");
    const configFolder = new ConfigFolder(join(folder, "state"));
    configFolder.clear();
    const inherited = { PATH: process.env.PATH, HOME: home };
    const child = spawn(binary(), ["serve", "--port", "0", "--hostname", "127.0.0.1"], {
      cwd: workspace,
      env: {
        ...openCodeEnvironment(inherited, access, { password, config: openCodeConfig(access) }),
        ...configFolder.environment(usesCatalogue(access, inherited)),
      },
      stdio: ["ignore", "pipe", "ignore"],
    });
    const kill = () => child.kill("SIGKILL");
    process.once("exit", kill);
    child.once("exit", () => process.off("exit", kill));
    const url = await addressOf(child);
    const client = new OpenCodeClient({ url, password, directory: workspace });
    await untilHealthy(client);
    const listeners = new Set<(event: AgentEvent) => void>();
    const onEvent = (event: AgentEvent) => {
      for (const listener of [...listeners]) listener(event);
    };
    const stream = new EventStream({ client, onEvent, onReconnected: () => {} });
    await stream.connect();
    const sessionId = await client.createSession(INVALID_CONTEXT);
    return new BareOpenCode(child, client, stream, sessionId, listeners);
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  async turn(text: string): Promise<BareTimes> {
    const startMs = performance.now();
    const messageID = newMessageId();
    const firstText = this.#when(({ type, properties }) => {
      if (type === "message.part.delta") return true;
      if (type !== "message.part.updated" || properties.part.type !== "text") return false;
      return properties.part.messageID !== messageID && properties.part.text !== "";
    });
    let isBusy = false;
    const done = this.#when((event) => {
      if (event.type !== "session.status") return false;
      if (event.properties.status.type === "busy") isBusy = true;
      return isBusy && event.properties.status.type === "idle";
    });
    const parts = [{ type: "text" as const, text }];
    await this.#client.prompt(this.#sessionId, { messageID, model: MODEL, parts }, INVALID_CONTEXT);
    const [textMs, doneMs] = await Promise.all([firstText, done]);
    return { firstText: textMs - startMs, done: doneMs - startMs };
  }

  async stop(): Promise<void> {
    this.#stream.close();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }

  /** Returns when the first such event was read, as `performance.now()`. */
  #when(is: (event: AgentEvent) => boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("OpenCode did not answer")), TURN_TIMEOUT_MS);
      const listener = (event: AgentEvent) => {
        if (!is(event)) return;
        clearTimeout(timer);
        this.#listeners.delete(listener);
        resolve(performance.now());
      };
      this.#listeners.add(listener);
    });
  }
}

function binary(): string {
  const require = createRequire(new URL("../../packages/runner/package.json", import.meta.url));
  const manifest = require.resolve("opencode-ai/package.json");
  const { bin } = require(manifest) as { bin: { opencode: string } };
  return join(dirname(manifest), bin.opencode);
}

async function untilHealthy(client: OpenCodeClient): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      await client.health(1_000);
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(20);
    }
  }
}

async function addressOf(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    const found = /listening on (http:\/\/\S+)/.exec(line)?.[1];
    if (found === undefined) continue;
    // So that it never waits to write.
    child.stdout?.resume();
    return found;
  }
  throw new Error("OpenCode ended while it started");
}
