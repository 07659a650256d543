/** Starts the real OpenCode and a scripted model in new folders, for tests of complete turns. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { demoRepository, type Scenario, type ScriptedModel, startScriptedModel } from "@valet/scripted-model";
import type { PromptDispatch } from "@valet/shared/protocol/dispatch";
import type { ModelPrices } from "@valet/shared/protocol/model-access";
import type { ValetSpans } from "@valet/shared/spans";
import { type ReadableSpan, Tracer } from "@valet/shared/tracing";
import type { OpenCodeClient } from "../src/opencode/client.ts";
import { OpenCode } from "../src/opencode/opencode.ts";
import type { OpenCodeOptions } from "../src/opencode/opencode-options.ts";
import type { PluginCall } from "../src/tools/plugin-call.ts";
import { startToolServer, type ToolServer, type ToolServerOptions } from "../src/tools/tool-server.ts";
import { dispatch } from "./link-server.ts";
import type { LossyLink } from "./lossy-link.ts";

export const MODEL = "valet/scripted-1";
const PRICES: ModelPrices = { input: 1, output: 2, cacheRead: 0.5 };

export interface RealAgentOptions {
  readonly scenario: Scenario;
  /** What the agent's tools and its plugin ask of the runner. */
  readonly tools: ToolServerOptions;
  /** The way of both to the runner; a direct one by default. */
  readonly link?: LossyLink;
  /** Further environment variables of OpenCode. */
  readonly env?: Readonly<Record<string, string>>;
  /** Called before OpenCode starts, when the workspace has its files. */
  prepare?(workspace: string): void;
  /** Returns the options of OpenCode that are not to be the usual ones. */
  change?(usual: OpenCodeOptions): Partial<OpenCodeOptions>;
}

export class RealAgent {
  readonly root = realpathSync(mkdtempSync(join(tmpdir(), "valet-agent-")));
  /** A folder with a repository with one commit. */
  readonly workspace = join(this.root, "workspace");
  readonly home = join(this.root, "home");
  /** Every span that has begun, in order. */
  readonly spans: ReadableSpan[] = [];
  /** What each request of the plugin and of the tools to the runner was about, in order. */
  readonly heard: PluginCall["about"][] = [];
  readonly tracer = new Tracer<ValetSpans>({
    scope: { name: "test" },
    processor: { onStart: (span) => this.spans.push(span), onEnd: () => {} },
  });
  #started: { readonly model: ScriptedModel; readonly server: ToolServer; readonly opencode: OpenCode } | undefined;
  #client: OpenCodeClient | undefined;

  async start({ scenario, tools, link, env, prepare, change }: RealAgentOptions): Promise<void> {
    cpSync(demoRepository, this.workspace, { recursive: true });
    mkdirSync(this.home);
    prepare?.(this.workspace);
    commitAll(this.workspace);
    const model = await startScriptedModel({ scenario });
    const server = startToolServer(this.#noting(tools));
    const { secret } = server;
    const url = (await link?.to(server.url)) ?? server.url;
    const usual: OpenCodeOptions = {
      workspace: this.workspace,
      tracer: this.tracer,
      tools: { plugin: import.meta.resolve("@valet/opencode-plugin/test/patient-plugin"), url, secret },
      modelAccess: {
        model: MODEL,
        openAiCompatible: { baseUrl: model.url, apiKey: "key-of-the-model", prices: PRICES },
        providerKeys: {},
      },
      health: { tryMs: 1_000, hungMs: 4_000 },
      // OpenCode must not need to install anything.
      env: { npm_config_registry: "http://127.0.0.1:1", PATH: process.env.PATH, HOME: this.home, ...env },
    };
    const opencode = new OpenCode({ ...usual, ...change?.(usual) });
    this.#started = { model, server, opencode };
    const bootstrap = this.tracer.startSpan("valet.runner.bootstrap");
    this.#client = await opencode.ready(bootstrap);
    bootstrap.end();
  }

  #noting(tools: ToolServerOptions): ToolServerOptions {
    const { answer, permitModelCall, onProviderCall, onModelRequest, onProviderBytes, shellOf } = tools;
    const note = <A extends unknown[], R>(about: PluginCall["about"], act: (...args: A) => R) => {
      return (...args: A) => {
        this.heard.push(about);
        return act(...args);
      };
    };
    return {
      ...tools,
      answer: note("tool", answer),
      permitModelCall: note("modelCall", async (call) => (await permitModelCall?.(call)) ?? {}),
      onProviderCall: note("providerCall", (call) => onProviderCall?.(call)),
      onModelRequest: note("modelRequest", (request) => onModelRequest?.(request)),
      onProviderBytes: note("providerBytes", (bytes) => onProviderBytes?.(bytes)),
      shellOf: note("shell", (shell) => shellOf?.(shell) ?? {}),
    };
  }

  get model(): ScriptedModel {
    return this.#parts.model;
  }

  /** Of the OpenCode that was started first. */
  get client(): OpenCodeClient {
    if (this.#client === undefined) throw new Error("the agent is not ready");
    return this.#client;
  }

  get opencode(): OpenCode {
    return this.#parts.opencode;
  }

  async stop(): Promise<void> {
    await this.#started?.opencode.stop();
    await this.#started?.server.stop();
    await this.#started?.model.close();
    rmSync(this.root, { recursive: true, force: true, maxRetries: 5 });
  }

  get #parts() {
    if (this.#started === undefined) throw new Error("the agent has not started");
    return this.#started;
  }
}

/** Turns a folder into a repository with one commit of its files. */
export function commitAll(folder: string): void {
  const git = (...args: string[]) => execFileSync("git", args, { cwd: folder, stdio: "ignore" });
  git("init", "--quiet");
  git("add", "--all", "--force");
  git("-c", "user.name=test", "-c", "user.email=test@example.invalid", "commit", "--quiet", "--message", "All");
}

let dispatches = 0;

/** Returns the dispatch of a new message in a new channel. */
export function dispatchOf(content: string, fields: Partial<PromptDispatch> = {}): PromptDispatch {
  const number = ++dispatches;
  return dispatch(`att_${number}`, { content, channel: `channel-${number}`, ...fields });
}
