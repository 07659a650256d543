/** OpenCode as the rest of the runner sees it: one that is there, comes back when it dies, and tells its events. */

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { innerLimit, LIMITS } from "@valet/shared/limits";
import { endWith, type SpanOf } from "@valet/shared/outcome";
import type { ProviderCall } from "@valet/shared/protocol/child-sessions";
import type { RunnerWarning } from "@valet/shared/protocol/warnings";
import type { ErrorType, ValetSpans } from "@valet/shared/spans";
import { isValidContext, type Parent, type SpanContext, type StartOptions, type Tracer } from "@valet/shared/tracing";
import { createMillisClock } from "../spans/tracing.ts";
import type { OpenCodeClient } from "./client.ts";
import { secretVariables } from "./config.ts";
import { ConfigFolder, type WrittenConfig } from "./config-folder.ts";
import { EventStream } from "./event-stream.ts";
import type { AgentEvent } from "./events.ts";
import { type HealthCheckOptions, isHung } from "./health-check.ts";
import { checkMcpServers } from "./mcp-check.ts";
import { OpenCodeServer, OpenCodeStartError, type ServerOptions, START_TIMEOUT_MS } from "./server.ts";

/** What a turn needs of the agent; tests have one of their own. */
export interface AgentAccess {
  /** Resolves to a healthy OpenCode, started anew if it has died. `parent` is what a start, or the wait for one, is part of. */
  ready(parent: Parent): Promise<OpenCodeClient>;
  /**
   * Begins to start OpenCode anew if it has died, and does not wait for it: nobody's work is waiting yet.
   * @param cause what it died in
   */
  restart(cause: SpanContext): void;
  /**
   * Asks OpenCode for its health. One that does not answer in time is killed, and its listeners hear of that. Never rejects.
   * @param onSilent called when the first request was not answered; never after this has resolved
   * @returns whether OpenCode hung
   */
  check(onSilent: () => void): Promise<boolean>;
  /** @returns what ends the subscription */
  subscribe(listener: AgentListener): () => void;
}

export interface AgentListener {
  /** @param readMs epoch ms at which the event was read */
  onEvent(event: AgentEvent, readMs: number): void;
  /** Events may have been lost: the history has what they told. */
  onReconnected(): void;
  onDeath(errorType: DeathType): void;
}

/** How an OpenCode goes that is in work: its process ends by itself, or is killed since it answers nothing. */
export type DeathType = Extract<ErrorType, "opencode_died" | "opencode_hung">;

export interface OpenCodeOptions extends Omit<ServerOptions, "signal" | "configFolder" | "runsRepositoryCode"> {
  readonly tracer: Tracer<ValetSpans>;
  /** The runner's; a new one unless given. */
  readonly stateFolder?: string;
  /** Whether all of the repository's configuration counts; only its text unless given. */
  readonly trustsRepository?: boolean;
  /** Told what of the repository's configuration does not count, and why; never quotes content. */
  readonly onProblem?: (problem: string) => void;
  /** What is amiss though the agent works. */
  readonly onWarning?: (warning: RunnerWarning) => void;
  /**
   * Settles when the repository is in place. The process starts before that, and reads the workspace's own configuration
   * after it.
   */
  readonly workspaceReady?: Promise<unknown>;
  /** How long OpenCode may take to answer a health check, and all of them together. */
  readonly health?: Pick<HealthCheckOptions, "tryMs" | "hungMs">;
}

interface Running {
  readonly server: OpenCodeServer;
  readonly stream: EventStream;
}

/** What a start is part of, or follows from. */
type Begins = Pick<StartOptions<ValetSpans["valet.runner.opencode_start"]>, "parent" | "links">;

export class OpenCode implements AgentAccess {
  readonly #options: OpenCodeOptions;
  readonly #configFolder: ConfigFolder;
  readonly #listeners = new Set<AgentListener>();
  /** Streams of processes whose end was told. */
  readonly #dead = new WeakSet<EventStream>();
  readonly #stopping = new AbortController();
  /** The one that runs, or is being started; none before the first and after one died. */
  #running: Promise<Running> | undefined;
  /** The span of the start that goes on; none while OpenCode runs, or is gone. */
  #starting: SpanContext | undefined;
  #hasStarted = false;
  /** Under way while its health is asked for. */
  #checking: Promise<boolean> | undefined;

  constructor(options: OpenCodeOptions) {
    this.#options = options;
    this.#configFolder = new ConfigFolder(options.stateFolder ?? mkdtempSync(join(tmpdir(), "valet-runner-")));
  }

  /** @throws OpenCodeStartError when it does not become healthy, or is stopped meanwhile */
  async ready(parent: Parent): Promise<OpenCodeClient> {
    if (this.#stopping.signal.aborted) throw new OpenCodeStartError("stopped");
    if (this.#running !== undefined && this.#starting !== undefined)
      await this.#wait(this.#running, this.#starting, parent);
    else await this.#replaceIfHung(parent);
    this.#running ??= this.#start({ parent });
    return (await this.#running).server.client;
  }

  restart(cause: SpanContext): void {
    if (this.#stopping.signal.aborted) return;
    const links = isValidContext(cause)
      ? [{ context: cause, attributes: { "valet.link.type": "caused_by" } } as const]
      : [];
    this.#running ??= this.#start({ links });
    // Its span says what became of it; work that needs OpenCode tries again.
    this.#running.catch(() => undefined);
  }

  /** Waits for a start that others began. Should it fail, that is no failure of who waits: {@link ready} starts anew then. */
  async #wait(running: Promise<Running>, start: SpanContext, parent: Parent): Promise<void> {
    const span = this.#options.tracer.startSpan("valet.runner.opencode_wait", {
      parent,
      links: [{ context: start, attributes: { "valet.link.type": "waited_on" } }],
    });
    const isHealthy = await running.then(
      () => true,
      () => false,
    );
    if (isHealthy) endWith(span, "ok");
    else if (this.#stopping.signal.aborted) endWith(span, "aborted", "runner_shutdown");
    else endWith(span, "error", "opencode_unhealthy");
  }

  async check(onSilent: () => void): Promise<boolean> {
    // One that starts has limits of its own.
    if (this.#running === undefined || this.#starting !== undefined) return false;
    const silent = setTimeout(onSilent, this.#options.health?.tryMs ?? LIMITS.agentHealthMs);
    this.#checking ??= this.#check(this.#running).finally(() => {
      this.#checking = undefined;
    });
    const hangs = await this.#checking;
    clearTimeout(silent);
    return hangs;
  }

  async #check(running: Promise<Running>): Promise<boolean> {
    const { server, stream } = await running;
    const hangs = await isHung({ client: server.client, exited: server.exited, ...this.#options.health });
    if (!hangs || this.#stopping.signal.aborted || this.#running !== running) return false;
    this.#options.onProblem?.("OpenCode answers nothing: it is killed, and started anew when it is needed");
    this.#died(stream, "opencode_hung");
    await server.kill();
    return true;
  }

  /** What froze while nobody needed it shows when somebody does. */
  async #replaceIfHung(parent: Parent): Promise<void> {
    let span: SpanOf<"valet.agent.unresponsive"> | undefined;
    const hangs = await this.check(() => {
      span = this.#options.tracer.startSpan("valet.agent.unresponsive", { parent });
    });
    if (span !== undefined) endWith(span, hangs ? "error" : "ok", hangs ? "opencode_hung" : undefined);
  }

  subscribe(listener: AgentListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Passes on what is known of a request to a provider. */
  forwardProviderCall(call: ProviderCall): void {
    const event: AgentEvent = { type: "provider.call", properties: { sessionID: call.opencodeSessionId, call } };
    this.#tell((listener) => listener.onEvent(event, Date.now()));
  }

  /** Ends OpenCode for good, with all that its tools started, also while it starts. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const running = await this.#running?.catch(() => undefined);
    await running?.server.stop();
  }

  /** Without the repository's configuration if it does not become healthy with it. */
  async #start(begins: Begins): Promise<Running> {
    let isOfRepository = false;
    try {
      return await this.#tryStart(begins, (written) => {
        isOfRepository = written.isOfRepository;
      }).catch((error: unknown) => {
        if (!isOfRepository || this.#stopping.signal.aborted) throw error;
        this.#options.onProblem?.(
          "OpenCode did not start with the repository's configuration, and is started without it",
        );
        this.#options.onWarning?.("repository_config_dropped");
        return this.#tryStart(begins);
      });
    } catch (error) {
      this.#running = undefined;
      throw error;
    } finally {
      this.#starting = undefined;
    }
  }

  /** @param onWritten told of the repository's configuration; without it, that does not count */
  async #tryStart(begins: Begins, onWritten?: (written: WrittenConfig) => void): Promise<Running> {
    const { tracer, workspaceReady, startTimeoutMs = START_TIMEOUT_MS } = this.#options;
    const { signal } = this.#stopping;
    const span = tracer.startSpan("valet.runner.opencode_start", {
      ...begins,
      attributes: { "valet.opencode.restart": this.#hasStarted },
    });
    this.#hasStarted = true;
    this.#starting = span.context;
    let server: OpenCodeServer | undefined;
    let stream: EventStream | undefined;
    try {
      this.#configFolder.clear();
      server = await OpenCodeServer.start({
        ...this.#options,
        configFolder: this.#configFolder,
        signal,
        runsRepositoryCode: onWritten !== undefined && this.#options.trustsRepository === true,
      });
      await Promise.race([workspaceReady?.catch(() => undefined), aborted(signal), server.exited]);
      if (signal.aborted) throw new OpenCodeStartError("stopped");
      span.setAttribute("valet.opencode.repository_config", this.#writeConfig(onWritten, span.context));
      stream = this.#openStream(server);
      // What is left is for a start without the repository's configuration.
      await this.#connect(server, stream, onWritten === undefined ? startTimeoutMs : innerLimit(startTimeoutMs));
      const running = { server, stream };
      void server.exited.then(() => this.#died(running.stream, "opencode_died"));
      span.setAttribute("valet.opencode.version", server.version);
      endWith(span, "ok");
      if (onWritten !== undefined && this.#options.trustsRepository) this.#checkMcpServers(server, span.context);
      return running;
    } catch (error) {
      stream?.close();
      await server?.stop();
      const reason = error instanceof OpenCodeStartError ? error.reason : "unhealthy";
      if (signal.aborted) endWith(span, "aborted", "runner_shutdown");
      else endWith(span, "error", reason === "died" ? "opencode_died" : "opencode_unhealthy");
      throw new OpenCodeStartError(reason);
    }
  }

  /** Only a repository that is trusted may configure servers. */
  #checkMcpServers({ client }: OpenCodeServer, start: SpanContext): void {
    const onFailed = () => this.#options.onWarning?.("mcp_server_failed");
    void checkMcpServers({ client, tracer: this.#options.tracer, start, onFailed, nowMs: createMillisClock() });
  }

  #writeConfig(
    onWritten: ((written: WrittenConfig) => void) | undefined,
    parent: SpanContext,
  ): "text" | "trusted" | "dropped" {
    if (onWritten === undefined) return "dropped";
    const { workspace, modelAccess, tracer, trustsRepository = false, onProblem, onWarning } = this.#options;
    const written = this.#configFolder.write({
      workspace,
      isTrusted: trustsRepository,
      secretVariables: secretVariables(modelAccess),
    });
    for (const problem of written.problems) onProblem?.(problem);
    if (written.problems.length > 0) {
      const span = tracer.startSpan("valet.runner.repository_config", { parent });
      endWith(span, "error", "repository_config_invalid");
      onWarning?.("repository_config_invalid");
    }
    onWritten(written);
    return trustsRepository ? "trusted" : "text";
  }

  #openStream({ client }: OpenCodeServer): EventStream {
    const stream = new EventStream({
      client,
      ...(this.#options.secrets !== undefined && { secrets: this.#options.secrets }),
      onEvent: (event, readMs) => this.#tell((listener) => listener.onEvent(event, readMs)),
      onReconnected: () => this.#tell((listener) => listener.onReconnected()),
    });
    this.#stopping.signal.addEventListener("abort", () => stream.close());
    return stream;
  }

  /** @throws OpenCodeStartError, or what the stream could not be connected for */
  async #connect(server: OpenCodeServer, stream: EventStream, timeoutMs: number): Promise<void> {
    let isConnected = false;
    const died = server.exited.then(() => {
      if (!isConnected) throw new OpenCodeStartError("died");
    });
    await Promise.race([stream.connect(Number.POSITIVE_INFINITY, timeoutMs), died]);
    isConnected = true;
    if (this.#stopping.signal.aborted) throw new OpenCodeStartError("stopped");
  }

  /** The first to say so counts: a process that was killed ends, too. */
  #died(stream: EventStream, errorType: DeathType): void {
    if (this.#dead.has(stream)) return;
    this.#dead.add(stream);
    stream.close();
    this.#running = undefined;
    if (!this.#stopping.signal.aborted) this.#tell((listener) => listener.onDeath(errorType));
  }

  #tell(what: (listener: AgentListener) => void): void {
    // A listener may leave while it is told.
    for (const listener of [...this.#listeners]) what(listener);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
