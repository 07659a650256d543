/**
 * Observes the MCP servers in a repository's configuration. OpenCode connects to all of them before it answers, waits up to 30 s
 * for each, and silently continues without the tools of those that failed or ended.
 */
import { endWith } from "@valet/shared/outcome";
import type { ValetSpans } from "@valet/shared/spans";
import type { SpanContext, Tracer } from "@valet/shared/tracing";
import type { McpStatus, OpenCodeClient } from "./client.ts";

/** Longer than OpenCode's default timeout for its servers. */
const TIMEOUT_MS = 120_000;
/** How long after its connections broke a process that dies may take to be known as ended, in ms. */
const EXIT_MS = 5_000;
/** Other names may contain content. */
const NAME = /^[\w.:-]{1,64}$/;
/** How OpenCode (1.18.33) and its MCP client say that a server did not answer in time. */
const TIMED_OUT = /timed out/i;

export interface McpServersOptions {
  readonly client: OpenCodeClient;
  /** Resolves when OpenCode has ended. */
  readonly exited: Promise<unknown>;
  readonly tracer: Tracer<ValetSpans>;
  /** The start of OpenCode, which does not wait for its servers. */
  readonly start: SpanContext;
  /** The servers that OpenCode is to connect to, as far as the configuration's files tell. */
  readonly configured: readonly string[];
  /** Called if a server did not start, did not answer, or ended. */
  onFailed(): void;
  onProblem(problem: string): void;
  nowMs(): number;
}

/** A period in which prompts wait for servers. */
export interface McpWait {
  readonly fromMs: number;
  /** Infinity while they wait. */
  readonly untilMs: number;
  /**
   * While they wait, the configured servers. Afterwards those that did not answer in time, otherwise all that OpenCode connected to.
   * With commas between them.
   */
  readonly servers: string;
}

export class McpServers {
  readonly #options: McpServersOptions;
  readonly #connected = new Set<string>();
  #connecting: { fromMs: number; untilMs: number; names: readonly string[] } | undefined;
  /** When OpenCode failed to tell the servers. Prompts from then on wait for none; the earlier ones until it is known whether it lives on. */
  #failedMs = Number.POSITIVE_INFINITY;
  /** The current reading of their states, and whether they changed again since it began. */
  #reading: Promise<void> | undefined;
  #isStale = false;

  constructor(options: McpServersOptions) {
    this.#options = options;
  }

  /** Makes OpenCode connect to the servers, and records each one in a separate trace. Never rejects. */
  async connect(): Promise<void> {
    const { tracer, start, configured, onFailed, nowMs } = this.#options;
    const startTime = nowMs();
    this.#connecting = { fromMs: startTime, untilMs: Number.POSITIVE_INFINITY, names: configured };
    const answer = await this.#read();
    const untilMs = nowMs();
    if (answer === undefined) this.#failedMs = untilMs;
    // If OpenCode has died, its death ends the waiting prompts, with its own cause.
    if (answer === undefined && (await this.#isEnding())) return;
    const servers = answer ?? [];
    const names = servers.flatMap(([name, { status }]) => (status === "disabled" ? [] : name));
    const late = servers.flatMap(([name, { error = "" }]) => (TIMED_OUT.test(error) ? name : []));
    this.#connecting = {
      fromMs: startTime,
      untilMs,
      names: [late, names].find((each) => each.length > 0) ?? configured,
    };
    for (const [name, { status }] of servers) {
      if (status === "disabled") continue;
      const span = tracer.startSpan("valet.agent.mcp_connect", {
        startTime,
        attributes: { "valet.mcp.server.name": shown(name) },
        links: [{ context: start, attributes: { "valet.link.type": "caused_by" } }],
      });
      if (status === "connected") {
        this.#connected.add(name);
        endWith(span, "ok", undefined, untilMs);
      } else {
        endWith(span, "error", "mcp_server_failed", untilMs);
        onFailed();
      }
    }
  }

  /** Looks for servers that have ended, after OpenCode has said that a server's tools changed. Never rejects. */
  async changed(): Promise<void> {
    this.#isStale = true;
    this.#reading ??= this.#readAgain().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  async #readAgain(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false;
      for (const [name, { status }] of (await this.#read()) ?? []) {
        if (status === "connected") this.#connected.add(name);
        else if (this.#connected.delete(name)) {
          this.#options.onProblem(`the MCP server ${shown(name)} ended. The agent works without its tools`);
          this.#options.onFailed();
        }
      }
    }
  }

  /** Returns whether OpenCode has ended, which is known a little after its connections have broken. */
  async #isEnding(): Promise<boolean> {
    const { promise: late, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(resolve, EXIT_MS, false);
    const isEnding = await Promise.race([this.#options.exited.then(() => true), late]);
    clearTimeout(timer);
    return isEnding;
  }

  /** @returns `undefined` without an answer */
  async #read(): Promise<[string, McpStatus][] | undefined> {
    const servers = await this.#options.client.mcpServers(TIMEOUT_MS).catch(() => undefined);
    return servers && [...servers];
  }

  /**
   * Returns the part of a prompt's preparation in which it waits for servers; `undefined` if it does not.
   * @param untilMs when the preparation ends; infinity if it goes on. Epoch ms
   */
  waitWithin(fromMs: number, untilMs: number): McpWait | undefined {
    const { names = [], ...wait } = this.#connecting ?? { fromMs: 0, untilMs: 0 };
    const from = Math.max(fromMs, Math.floor(wait.fromMs));
    const until = Math.min(untilMs, Math.floor(wait.untilMs));
    if (names.length === 0 || until <= from || from >= Math.floor(this.#failedMs)) return undefined;
    return { fromMs: from, untilMs: until, servers: [...new Set(names.map(shown))].join(", ") };
  }
}

function shown(name: string): string {
  return NAME.test(name) ? name : "other";
}
