/** Manages OpenCode: starts and restarts its server, checks its health, and passes its events to listeners. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LimitError } from "@valet/shared/limit-errors";
import { innerLimit, LIMITS } from "@valet/shared/limits";
import { endWith, type SpanOf } from "@valet/shared/outcome";
import type { ProviderBytes, ProviderCall } from "@valet/shared/protocol/child-sessions";
import type { ModelRequest } from "@valet/shared/protocol/model-request";
import type { ValetSpans, WarmUpScope } from "@valet/shared/spans";
import { isValidContext, type Parent, type SpanContext, type StartOptions } from "@valet/shared/tracing";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { startErrorType } from "../agent/errors.ts";
import { createMillisClock } from "../spans/tracing.ts";
import type { AgentAccess, AgentListener, DeathType } from "./agent-access.ts";
import { type AppliedConfig, applyConfig } from "./apply-config.ts";
import type { OpenCodeClient } from "./client.ts";
import { openCodeModel } from "./config.ts";
import { ConfigFolder } from "./config-folder.ts";
import { EventStream } from "./event-stream.ts";
import type { AgentEvent } from "./events.ts";
import { answerOf } from "./first-request.ts";
import { isHung } from "./health-check.ts";
import { McpServers, type McpWait } from "./mcp-servers.ts";
import { modelRequestEvent } from "./model-request.ts";
import type { OpenCodeOptions } from "./opencode-options.ts";
import { Refusals } from "./refusals.ts";
import { OpenCodeServer, OpenCodeStartError, START_TIMEOUT_MS } from "./server.ts";
import { WarmUp } from "./warm-up.ts";

interface Running {
  readonly server: OpenCodeServer;
  readonly stream: EventStream;
}

interface StartLimits {
  /** When OpenCode must be ready, by `performance.now()`: the clock of a machine that wakes is set while OpenCode starts. */
  readonly deadline: number;
  /** How long it may take to load the repository's configuration, in ms. */
  readonly configMs: number;
}

/** The parent of a start's span, or its links. */
type Begins = Pick<StartOptions<ValetSpans["valet.runner.opencode_start"]>, "parent" | "links">;

export class OpenCode implements AgentAccess {
  readonly #options: OpenCodeOptions;
  readonly #configFolder: ConfigFolder;
  readonly #refusals: Refusals;
  readonly #listeners = new Set<AgentListener>();
  /** The streams of processes whose end was reported to the listeners. */
  readonly #dead = new WeakSet<EventStream>();
  readonly #stopping = new AbortController();
  /** The running or starting OpenCode; `undefined` before the first start and after it died. */
  #running: Promise<Running> | undefined;
  /** The span of the current start; `undefined` if OpenCode is not starting. */
  #starting: SpanContext | undefined;
  #hasStarted = false;
  #isWorkspaceReady = false;
  /** Whether work waits for the current start. OpenCode is not warmed up then, but starts to work. */
  #isNeeded = false;
  /** The last warm-up, running or ended. */
  #warmUp: WarmUp | undefined;
  /** The MCP servers of the last start; absent if the session does not trust its repository. */
  #mcpServers: McpServers | undefined;
  /** The current health check. */
  #checking: Promise<boolean> | undefined;

  constructor(options: OpenCodeOptions) {
    this.#options = options;
    const folder = options.stateFolder ?? mkdtempSync(join(tmpdir(), "valet-runner-"));
    this.#configFolder = new ConfigFolder(folder);
    this.#refusals = new Refusals(folder);
    const { workspaceReady = Promise.resolve() } = options;
    const noteReady = () => {
      this.#isWorkspaceReady = true;
    };
    workspaceReady.then(noteReady, noteReady);
  }

  /** @throws OpenCodeStartError if it does not become healthy, or is stopped */
  async ready(parent: Parent): Promise<OpenCodeClient> {
    if (this.#stopping.signal.aborted) throw new OpenCodeStartError("stopped");
    this.#noteNeed();
    if (this.#running !== undefined && this.#starting !== undefined)
      await this.#wait(this.#running, this.#starting, parent);
    else await this.#replaceIfHung(parent);
    this.#running ??= this.#start({ parent });
    return (await this.#running).server.client;
  }

  async begin<T>(parent: Parent, request: (client: OpenCodeClient) => Promise<T>): Promise<T> {
    const { aborted: isStopping } = this.#stopping.signal;
    if (isStopping || this.#running === undefined || this.#starting !== undefined) {
      return request(await this.ready(parent));
    }
    this.#noteNeed();
    const asked = request((await this.#running).server.client);
    const hangs = this.#replaceIfHung(parent, asked);
    return answerOf(asked, hangs, async () => request(await this.ready(parent)));
  }

  #noteNeed(): void {
    // The first start is that of the runner, for which no work waits.
    this.#isNeeded = this.#hasStarted;
    if (this.#isNeeded) this.#warmUp?.skip();
  }

  restart(cause: SpanContext): void {
    if (this.#stopping.signal.aborted) return;
    if (this.#running === undefined) this.#isNeeded = false;
    const links = isValidContext(cause)
      ? [{ context: cause, attributes: { "valet.link.type": "caused_by" } } as const]
      : [];
    this.#running ??= this.#start({ links });
    // The start's span records a failure. Work that needs OpenCode starts it again.
    this.#running.catch(() => undefined);
  }

  /** Waits for a start that other work began. Does not throw if the start fails, since {@link ready} then starts it again. */
  async #wait(running: Promise<Running>, start: SpanContext, parent: Parent): Promise<void> {
    const span = this.#options.tracer.startSpan("valet.runner.opencode_wait", {
      parent,
      links: [{ context: start, attributes: { "valet.link.type": "waited_on" } }],
    });
    const failure = await running.then(
      () => undefined,
      (error: unknown) => startErrorType(error),
    );
    if (failure === undefined) endWith(span, "ok");
    else if (this.#stopping.signal.aborted) endWith(span, "aborted", "runner_shutdown");
    else endWith(span, "error", failure);
  }

  async check(onSilent: () => void): Promise<boolean> {
    // A start has its own timeouts.
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
    this.#options.onProblem?.("OpenCode does not respond. It was killed and will be restarted when it is needed");
    this.#died(stream, "opencode_hung");
    await server.kill();
    return true;
  }

  /**
   * Checks an idle OpenCode when work is about to use it, since it may hang without anybody having noticed.
   * @param asked a request of that work. Once it is answered, a late answer to the check delays nothing, and has no span.
   * @returns whether OpenCode hung
   */
  async #replaceIfHung(parent: Parent, asked?: Promise<unknown>): Promise<boolean> {
    let span: SpanOf<"valet.agent.unresponsive"> | undefined;
    let isAnswered = false;
    const noteAnswer = () => {
      isAnswered = true;
    };
    asked?.then(noteAnswer, () => undefined);
    const hangs = await this.check(() => {
      if (!isAnswered) span = this.#options.tracer.startSpan("valet.agent.unresponsive", { parent });
    });
    if (span !== undefined) endWith(span, hangs ? "error" : "ok", hangs ? "opencode_hung" : undefined);
    return hangs;
  }

  refuseCalls(): void {
    this.#refusals.add();
  }

  subscribe(listener: AgentListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Passes the plugin's report about a request to a provider to the listeners. */
  forwardProviderCall(call: ProviderCall): void {
    const event: AgentEvent = { type: "provider.call", properties: { sessionID: call.opencodeSessionId, call } };
    this.#tell((listener) => listener.onEvent(event, Date.now()));
  }

  /** Passes the plugin's report that a request leaves for its provider to the listeners, without secrets. */
  forwardModelRequest(request: ModelRequest): void {
    const event = modelRequestEvent(request, this.#options.secrets);
    this.#tell((listener) => listener.onEvent(event, Date.now()));
  }

  /** Forwards that a provider has sent bytes. */
  forwardProviderBytes({ opencodeSessionId: sessionID, atMs }: ProviderBytes): void {
    const event: AgentEvent = { type: "provider.bytes", properties: { sessionID, atMs } };
    this.#tell((listener) => listener.onEvent(event, Date.now()));
  }

  /** Ends OpenCode and its tools' commands permanently, also during a start. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#warmUp?.stop();
    const running = await this.#running?.catch(() => undefined);
    await running?.server.stop();
  }

  /** Starts OpenCode, without the repository's configuration if it does not become healthy with it. */
  async #start(begins: Begins): Promise<Running> {
    let config: AppliedConfig | undefined;
    const { startTimeoutMs = START_TIMEOUT_MS } = this.#options;
    const limits: StartLimits = {
      deadline: performance.now() + startTimeoutMs,
      configMs: startTimeoutMs - innerLimit(startTimeoutMs),
    };
    try {
      return await this.#tryStart(begins, limits, (parent) => {
        config = applyConfig(this.#configFolder, this.#options, parent);
        return config;
      }).catch((error: unknown) => {
        if (!config?.isOfRepository || this.#stopping.signal.aborted) throw error;
        this.#options.onProblem?.(
          "OpenCode did not start with the repository's configuration. It is started without it",
        );
        this.#options.onWarning?.("repository_config_dropped");
        return this.#tryStart(begins, limits);
      });
    } catch (error) {
      this.#running = undefined;
      throw error;
    } finally {
      this.#starting = undefined;
    }
  }

  /** @param configure applies the repository's configuration, which is ignored if this is absent */
  async #tryStart(
    begins: Begins,
    { deadline, configMs }: StartLimits,
    configure?: (parent: SpanContext) => AppliedConfig,
  ): Promise<Running> {
    const { tracer, workspaceReady } = this.#options;
    const leftMs = () => Math.max(1, deadline - performance.now());
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
      this.#refusals.reset();
      this.#mcpServers = undefined;
      server = await OpenCodeServer.start({
        ...this.#options,
        configFolder: this.#configFolder,
        refusalsFile: this.#refusals.path,
        signal,
        startTimeoutMs: leftMs(),
        runsRepositoryCode: configure !== undefined && this.#options.trustsRepository === true,
      });
      this.#options.onProcess?.();
      // During the repository's setup OpenCode loads everything that does not depend on the workspace.
      if (!this.#isWorkspaceReady)
        this.#startWarmUp(server.client.inFolder(this.#configFolder.empty), span.context, "process");
      const died = server.exited.then(() => "died" as const);
      const first = await Promise.race([workspaceReady?.catch(() => undefined), aborted(signal), died]);
      if (signal.aborted) throw new OpenCodeStartError("stopped");
      if (first === "died") throw new OpenCodeStartError("died");
      this.#warmUp?.skip();
      const config = configure?.(span.context);
      span.setAttribute("valet.opencode.repository_config", config?.kind ?? "dropped");
      stream = this.#openStream(server);
      // If the repository's configuration lets it hang, there must be time for a start without it.
      const connectMs = config?.isOfRepository ? Math.min(configMs, innerLimit(leftMs())) : leftMs();
      await this.#connect(server, stream, connectMs);
      const running = { server, stream };
      void server.exited.then(() => this.#died(running.stream, this.#limitHit(server?.wasKilled) ?? "opencode_died"));
      span.setAttribute("valet.opencode.version", server.version);
      if (!this.#isNeeded) this.#startWarmUp(server.client, span.context, "workspace");
      endWith(span, "ok");
      if (config?.kind === "trusted") this.#connectMcpServers(server, span.context, config.mcpServers);
      return running;
    } catch (error) {
      stream?.close();
      const failure = error instanceof OpenCodeStartError ? error : new OpenCodeStartError("unhealthy");
      // Before it is ended here.
      const limit = this.#limitHit(failure.reason === "died" ? (failure.wasKilled ?? server?.wasKilled) : undefined);
      await server?.stop();
      if (failure.reason === "walled") this.#options.onProblem?.(failure.message);
      const hasDied = failure.reason === "died";
      if (hasDied) this.#warmUp?.fail(limit ?? "opencode_died");
      if (signal.aborted) endWith(span, "aborted", "runner_shutdown");
      else endWith(span, "error", limit ?? startErrorType(failure));
      throw limit === undefined || signal.aborted ? failure : new OpenCodeStartError(failure.reason, { limit });
    }
  }

  /** Starts a warm-up in the background, if the runner has tools: their plugin answers the warm-up's model call. */
  #startWarmUp(client: OpenCodeClient, start: SpanContext, scope: WarmUpScope): void {
    const { tools, tracer, modelAccess } = this.#options;
    if (tools === undefined) return;
    const warmUp = new WarmUp({ client, tracer, start, scope, model: openCodeModel(modelAccess.model) });
    this.#warmUp = warmUp;
    if (scope === "process") void warmUp.done.then(() => client.disposeFolder()).catch(() => undefined);
  }

  /** Observes MCP servers, which only a trusted repository may configure. */
  #connectMcpServers({ client, exited }: OpenCodeServer, start: SpanContext, configured: readonly string[]): void {
    this.#mcpServers = new McpServers({
      ...{ client, exited, start, configured },
      tracer: this.#options.tracer,
      onFailed: () => this.#options.onWarning?.("mcp_server_failed"),
      onProblem: (problem) => this.#options.onProblem?.(problem),
      nowMs: createMillisClock(),
    });
    const connected = this.#mcpServers.connect();
    void connected.then(() => this.#tell((listener) => listener.onMcpConnected?.()));
  }

  mcpWait(fromMs: number, untilMs: number): McpWait | undefined {
    return this.#mcpServers?.waitWithin(fromMs, untilMs);
  }

  #openStream({ client }: OpenCodeServer): EventStream {
    const stream = new EventStream({
      client,
      ...withoutUndefined({ secrets: this.#options.secrets }),
      onEvent: (event, readMs) => {
        if (event.type === "mcp.tools.changed") void this.#mcpServers?.changed();
        else this.#tell((listener) => listener.onEvent(event, readMs));
      },
      onReconnected: () => {
        void this.#mcpServers?.changed();
        this.#tell((listener) => listener.onReconnected());
      },
    });
    this.#stopping.signal.addEventListener("abort", () => stream.close());
    return stream;
  }

  /** @throws OpenCodeStartError, or the error of the stream's last try */
  async #connect(server: OpenCodeServer, stream: EventStream, timeoutMs: number): Promise<void> {
    let isConnected = false;
    const died = server.exited.then(() => {
      if (!isConnected) throw new OpenCodeStartError("died");
    });
    await Promise.race([stream.connect(Number.POSITIVE_INFINITY, timeoutMs), died]);
    isConnected = true;
    if (this.#stopping.signal.aborted) throw new OpenCodeStartError("stopped");
  }

  /** Why the process ended, if a limit of the sandbox was hit just now. @param wasKilled whether the system killed it, if that is known */
  #limitHit(wasKilled?: boolean): LimitError | undefined {
    return this.#options.limitHit?.(wasKilled);
  }

  /** Reports the end of a process once. The first reason counts, since the process of a killed OpenCode also exits. */
  #died(stream: EventStream, errorType: DeathType): void {
    if (this.#dead.has(stream)) return;
    this.#dead.add(stream);
    stream.close();
    this.#running = undefined;
    this.#warmUp?.fail(errorType);
    if (!this.#stopping.signal.aborted) this.#tell((listener) => listener.onDeath(errorType));
  }

  #tell(what: (listener: AgentListener) => void): void {
    // A copy, since a listener may unsubscribe during the call.
    for (const listener of [...this.#listeners]) what(listener);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
