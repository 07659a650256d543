/**
 * The runner. It connects to the SessionAgent, receives its configuration, sets up the repository, starts the agent, and then
 * runs the dispatched jobs until it is asked to stop.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { LIMITS, startShares } from "@valet/shared/limits";
import { CONTENT_MAX_BYTES } from "@valet/shared/protocol/captured-content";
import { explainProtocols, LINK_PROTOCOL } from "@valet/shared/protocol/link-protocol";
import type { FromRunner, FromRunnerOf, ToRunnerOf } from "@valet/shared/protocol/runner-link";
import { extractFromHeaders, type SpanContext } from "@valet/shared/tracing";
import { startErrorType } from "./agent/errors.ts";
import { startReceiver, tryCommitHooks } from "./agent-extras.ts";
import { Bootstrap, type BootstrapError } from "./bootstrap.ts";
import { TurnChanges } from "./changes/turn-changes.ts";
import { secretsOf } from "./git/repo-url.ts";
import type { AbortReason } from "./jobs/agent-task.ts";
import { Attempts } from "./jobs/attempts.ts";
import { Alone } from "./link/alone.ts";
import { ChildRequests } from "./link/child-requests.ts";
import { Link, type LinkHandlers } from "./link/link.ts";
import { Warnings } from "./link/warnings.ts";
import { countBackgroundProcesses } from "./processes/background.ts";
import { setUpWorkspace } from "./repository-setup.ts";
import type { Agent, RunnerOptions } from "./runner-options.ts";
import { SandboxFiles } from "./sandbox-files.ts";
import { keepSecrets } from "./secrets/keep-secrets.ts";
import { type Kept, KeptSecrets } from "./secrets/kept-secrets.ts";
import { keysOf } from "./secrets/model-keys.ts";
import { SecretValues } from "./secrets/secret-values.ts";
import { RUNNER_VERSION } from "./spans/tracing.ts";
import { enclosure } from "./wall/enclosure.ts";
import { NO_WALL } from "./wall/wall.ts";

/** Why a runner ended: it was asked to stop, or the SessionAgent refused it, so a restart would not help. */
export type RunnerEnd = "stopped" | "refused";

/** The share of a stop that the jobs may take, and again the agent. */
const AGENT_SHARE = LIMITS.agentStopMs / LIMITS.runnerStopMs;
const MAX_HELLO_ATTEMPTS = 1000;
/** How often a runner that works looks whether its sandbox's files still exist, in ms. */
const FILES_CHECK_MS = 1_000;

/** The reasons with which a shutdown aborts jobs. */
const SHUTDOWN_REASONS: { readonly [reason: string]: AbortReason | undefined } = {
  hibernate: "session_hibernated",
  terminate: "session_terminated",
};

export class Runner {
  readonly #options: RunnerOptions;
  readonly #link: Link;
  readonly #alone: Alone | undefined;
  readonly #bootstrap: Bootstrap;
  readonly #attempts: Attempts;
  readonly #changes: TurnChanges;
  readonly #warnings: Warnings;
  readonly #childRequests: ChildRequests;
  readonly #secrets: KeptSecrets;
  readonly #secretValues: SecretValues;
  readonly #files: SandboxFiles;
  /** The secrets that an earlier runner of this sandbox kept; `undefined` if the SessionAgent sends them to this one. */
  #kept: Kept | undefined;
  readonly #stopping = new AbortController();
  readonly #ended = Promise.withResolvers<RunnerEnd>();
  #config: ToRunnerOf<"config"> | undefined;
  #settingUp: Promise<void> | undefined;
  #agent: Agent | undefined;
  #isReady = false;
  #filesCheck: ReturnType<typeof setInterval> | undefined;

  constructor(options: RunnerOptions) {
    const { settings, token, instanceId, journal, outbox, tracing, restartCount, link, onProblem } = options;
    this.#options = options;
    const { sessionId, generation, stateFolder: folder } = settings;
    this.#files = new SandboxFiles(settings);
    this.#secretValues = options.secrets ?? new SecretValues();
    this.#secretValues.add(token);
    this.#secrets = new KeptSecrets({ folder, token, sessionId, generation });
    const send = (frame: FromRunner) => this.#link.send(frame);
    this.#link = new Link({
      url: settings.url,
      token,
      generation: settings.generation,
      instanceId,
      handlers: this.#handlers(),
      hello: () => this.#hello(),
      isWorking: () => this.#attempts.isWorking,
      onUp: () => {
        this.#alone?.end();
        this.#resume();
      },
      onDown: () => {
        this.#alone?.begin();
        this.#suspend();
      },
      onRefused: (reason) => void this.#refused({ reason }),
      onProblem,
      ...link,
    });
    this.#alone =
      settings.maxAloneMs === undefined
        ? undefined
        : new Alone({
            limitMs: settings.maxAloneMs,
            isWorking: () => this.#attempts.advances,
            onAlone: () => {
              onProblem("no connection to the session for long, and no work: the runner ends, and its files stay");
              void this.stop("runner_shutdown");
            },
          });
    this.#bootstrap = new Bootstrap(tracing.base, settings, restartCount, (stage) => {
      // After a failure the SessionAgent accepts nothing more from this sandbox, so the failure's spans are sent first.
      if (stage.stage === "failed") outbox.flush();
      send(stage);
    });
    this.#childRequests = new ChildRequests(send);
    this.#warnings = new Warnings(send);
    this.#attempts = new Attempts({
      journal,
      outbox,
      tracing,
      send,
      onProblem,
      // Without its files an agent fails for misleading reasons, and its changes are lost.
      isVoid: () => this.#endIfGone(),
    });
    this.#changes = new TurnChanges({
      workspace: settings.workspace,
      stateFolder: folder,
      env: process.env,
      tracer: tracing.base,
      secrets: this.#secretValues,
      takeSpans: (maxBytes) => outbox.flushInto(this.#attempts.carriesSpans ? maxBytes : 0),
      send,
      onProblem,
      // In a container other users' files are out of reach anyway, and without a wall nothing is.
      enclose:
        settings.isolation === "bwrap" ? (own) => enclosure([settings.workspace, settings.home], own) : undefined,
    });
    outbox.onProgress(() => this.#attempts.progress());
  }

  /** Runs until it is asked to stop or is refused. Never rejects. */
  run(): Promise<RunnerEnd> {
    this.#attempts.endWhatDied(this.#options.restartCause);
    this.#alone?.begin();
    this.#link.start();
    this.#filesCheck = setInterval(() => {
      if (this.#attempts.isWorking) this.#endIfGone();
    }, FILES_CHECK_MS);
    return this.#ended.promise;
  }

  /**
   * Ends the running jobs, then the agent, sends the remaining spans and ends of attempts, and reports that it has stopped, all
   * within time limits. What could not be sent stays on disk.
   */
  async stop(reason: AbortReason): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const { outbox, stopMs = LIMITS.runnerStopMs } = this.#options;
    const startMs = performance.now();
    await this.#windUp(reason);
    // A git that hangs does not delay the stop.
    await this.#changes.stop();
    await this.#options.agentOtlp?.stop();
    this.#bootstrap.end("runner_shutdown");
    outbox.flush();
    const leftMs = Math.max(0, startMs + stopMs - performance.now());
    if (this.#link.isUp) await within(leftMs, Promise.all([outbox.whenEmpty(leftMs), this.#attempts.whenSettled()]));
    this.#link.send({ type: "stopped" });
    if (reason !== "runner_shutdown") this.#secrets.forget();
    this.#end("stopped");
  }

  /** Ends this runner after the SessionAgent has refused it. It cannot send anything any more. */
  async #refused({ reason, protocols }: Omit<ToRunnerOf<"refused">, "type">): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const detail = protocols === undefined ? "" : `. ${explainProtocols(protocols)}`;
    this.#options.onProblem(`the link was refused: ${reason}${detail}`);
    this.#link.close();
    await this.#windUp("runner_shutdown");
    this.#bootstrap.end(reason === "superseded" ? "runner_replaced" : reason);
    this.#end("refused");
  }

  /** Ends the running work, and leaves time for the rest of a stop. */
  async #windUp(reason: AbortReason): Promise<void> {
    const { stopMs = LIMITS.runnerStopMs } = this.#options;
    this.#stopping.abort();
    this.#attempts.close();
    await within(AGENT_SHARE * stopMs, this.#attempts.abortAll(reason));
    await within(AGENT_SHARE * stopMs, Promise.all([this.#agent?.stop(), this.#settingUp]));
  }

  #end(end: RunnerEnd): void {
    clearInterval(this.#filesCheck);
    this.#alone?.end();
    this.#link.close();
    this.#options.outbox.close();
    this.#options.journal.close();
    this.#ended.resolve(end);
  }

  #hello(): FromRunnerOf<"hello"> {
    const { settings, instanceId } = this.#options;
    return {
      type: "hello",
      protocol: LINK_PROTOCOL,
      instanceId,
      generation: settings.generation,
      clockMs: Date.now(),
      attempts: this.#attempts.ids.slice(-MAX_HELLO_ATTEMPTS),
      ready: this.#isReady,
      version: RUNNER_VERSION,
      asksBefore: true,
    };
  }

  /** Sends everything unacknowledged over a new link: spans before the ends of the attempts that they belong to. */
  #resume(): void {
    this.#options.outbox.connect((frame) => this.#link.send({ type: "spans", ...frame }));
    this.#bootstrap.connected(this.#link.attemptCount);
    this.#warnings.resend();
    this.#attempts.resendRunning();
    this.#childRequests.resend();
    this.#attempts.resendEnded();
  }

  /** Handles the loss of the link. The next one may be to another version of the SessionAgent. */
  #suspend(): void {
    this.#options.outbox.disconnect();
    this.#attempts.carriesSpans = false;
    this.#changes.isWanted = false;
  }

  #handlers(): LinkHandlers {
    const { outbox, onProblem } = this.#options;
    return {
      config: (config) => this.#configure(config),
      "repo-config": (repo) => this.#receiveRepository(repo),
      prompt: (work) => this.#receiveWork(work),
      "workflow-execute": (work) => this.#receiveWork(work),
      abort: ({ attemptId, reason }) => this.#attempts.abort(attemptId, reason),
      "permission-reply": (reply) => this.#attempts.reply(reply),
      "question-reply": (reply) => this.#attempts.reply(reply),
      "spans-ack": ({ instanceId, seq }) => outbox.acknowledge(instanceId, seq),
      "turn-ended-ack": ({ attemptId, spans }) => {
        if (spans !== undefined) outbox.acknowledge(spans.instanceId, spans.seq);
        this.#attempts.acknowledged(attemptId);
      },
      "turn-changes-ack": ({ attemptId, spans }) => {
        if (spans !== undefined) outbox.acknowledge(spans.instanceId, spans.seq);
        this.#changes.acknowledged(attemptId);
      },
      "workflow-step-ack": ({ attemptId, index }) => this.#attempts.starts.acknowledged(attemptId, index),
      "background-check": ({ requestId }) => this.#countBackground(requestId),
      "child-session-response": ({ requestId, answer }) => this.#childRequests.answered(requestId, answer),
      shutdown: ({ reason }) => void this.stop(SHUTDOWN_REASONS[reason] ?? "runner_shutdown"),
      error: ({ error }) => onProblem(`the SessionAgent could not read a frame: ${error}`),
      refused: (refusal) => void this.#refused(refusal),
    };
  }

  #receiveWork(work: ToRunnerOf<"prompt"> | ToRunnerOf<"workflow-execute">): void {
    if (!this.#endIfGone()) this.#attempts.receive(work);
  }

  /**
   * Ends this runner without another word if somebody has removed the sandbox's files: every job would fail with a misleading error. The
   * session learns from the broker that its sandbox is gone, counts the work as lost, and gets another sandbox.
   * @returns whether they are gone
   */
  #endIfGone(): boolean {
    if (!this.#files.areRemoved) return false;
    if (this.#stopping.signal.aborted) return true;
    this.#options.onProblem(
      "the sandbox's workspace and home were removed: the runner ends, and the running work is lost",
    );
    this.#link.close();
    void this.#windUp("runner_shutdown").then(() => this.#end("stopped"));
    return true;
  }

  #countBackground(requestId: string): void {
    const processes = countBackgroundProcesses(this.#options.settings.sandboxId);
    this.#link.send({ type: "background", requestId, processes });
  }

  /** Applies the first configuration. On a new connection only the features that the SessionAgent supports can differ. */
  #configure(config: ToRunnerOf<"config">): void {
    const { settings, outbox, onProblem } = this.#options;
    this.#attempts.carriesSpans = config.takesSpansInEnds === true;
    this.#attempts.starts.areAcknowledged = config.acknowledgesSteps === true;
    this.#changes.isWanted = config.takesChanges === true;
    this.#changes.resend();
    if (this.#config !== undefined) return;
    if (config.sessionId !== settings.sessionId || config.generation !== settings.generation) {
      onProblem("ignored a configuration for another runner");
      return;
    }
    this.#bootstrap.measured(config.clockOffsetMs);
    if (!config.tracing) outbox.disable();
    this.#kept = config.hasSecrets ? this.#secrets.read() : undefined;
    if (config.hasSecrets && this.#kept === undefined) {
      this.#bootstrap.end("secrets_lost");
      return;
    }
    this.#config = { ...config, modelAccess: { ...config.modelAccess, ...this.#kept?.modelAccess } };
  }

  #receiveRepository(repo: ToRunnerOf<"repo-config">): void {
    if (this.#settingUp !== undefined || this.#stopping.signal.aborted) return;
    if (this.#config === undefined) {
      this.#options.onProblem("ignored a repository that arrived before the configuration");
      return;
    }
    const { repoUrl, credentials } = this.#kept ?? repo;
    if (this.#kept === undefined) {
      const { onProblem } = this.#options;
      keepSecrets(this.#secrets, this.#config.modelAccess, repo, { signal: this.#stopping.signal, onProblem });
    }
    this.#secretValues.add(...keysOf(this.#config.modelAccess), ...secretsOf(repoUrl, credentials));
    this.#settingUp = this.#setUp(this.#config, { ...repo, repoUrl, credentials });
  }

  /** Never rejects. */
  async #setUp(config: ToRunnerOf<"config">, repo: ToRunnerOf<"repo-config">): Promise<void> {
    const { tracing, settings, outbox, onProblem, startAgent, stopMs = LIMITS.runnerStopMs } = this.#options;
    const { gitMs, agentMs } = startShares(config.startMs ?? LIMITS.startMs);
    const { traceparent, tracestate } = repo;
    const setupParent = this.#bootstrap.setUpRepository(extractFromHeaders({ traceparent, tracestate }));
    const { promise: workspaceReady, resolve } = Promise.withResolvers<BootstrapError | undefined>();
    const { agent, healthy } = startAgent({
      config,
      tracer: tracing.configure({ enabled: config.tracing, captureContent: config.captureContent }),
      parent: this.#bootstrap.startAgent(),
      workspace: settings.workspace,
      stateFolder: settings.agentFolder ?? settings.stateFolder,
      wall: this.#options.wall ?? NO_WALL,
      isolation: settings.isolation,
      usage: this.#options.usage,
      workspaceReady,
      onProblem,
      onWarning: (warning) => this.#warnings.add(warning),
      startTimeoutMs: agentMs,
      secrets: this.#secretValues,
      tell: (news) => this.#attempts.tell(news),
      beginCommand: (step, signal) => this.#attempts.beginCommand(step, signal),
      ask: (request, signal) => this.#childRequests.ask(request, signal),
      heard: (spanId, atMs, what) => outbox.heard(spanId, atMs, what),
      onWork: this.#changes,
      commitHooks: settings.commitTrailers === true ? tryCommitHooks(this.#options) : undefined,
      // The limit on all texts would cut the JSON anywhere. It counts UTF-16 code units, of which a text has no more than bytes.
      contentMaxBytes: Math.min(
        config.contentMaxBytes ?? CONTENT_MAX_BYTES,
        settings.spanLimits?.attributeValueLength ?? Number.POSITIVE_INFINITY,
      ),
      otlp: startReceiver(this.#options, config),
    });
    this.#agent = agent;
    const started = errorOf(healthy);
    // Only now, since the agent takes longer to start than most repositories to clone.
    resolve(this.#setUpRepository(repo, gitMs, setupParent));
    const gitError = await workspaceReady;
    // Without the repository the start has failed. It does not wait for the agent, and stopping the agent ends its spans.
    if (gitError !== undefined) await within(AGENT_SHARE * stopMs, agent.stop());
    // It has proved to be a git server, so that nobody names another server of the machine as a repository.
    else if (repo.repoUrl !== undefined) this.#options.wall?.expose(repo.repoUrl);
    const agentError = gitError === undefined ? await started : undefined;
    if (this.#stopping.signal.aborted) return;
    const hasFailed = gitError !== undefined || agentError !== undefined;
    if (hasFailed && this.#endIfGone()) return;
    if (agentError !== undefined) onProblem(`the agent did not start: ${agentError.name}`);
    const limit = agentError && this.#options.usage?.recentLimit();
    const errorType = gitError ?? limit ?? (agentError && startErrorType(agentError));
    if (errorType === undefined) {
      this.#attempts.open(agent.jobs);
      this.#isReady = true;
    }
    this.#bootstrap.end(errorType);
    outbox.flush();
  }

  /** @returns the error type if it failed */
  async #setUpRepository(
    repo: ToRunnerOf<"repo-config">,
    timeoutMs: number,
    parent: SpanContext,
  ): Promise<BootstrapError | undefined> {
    const result = await setUpWorkspace(this.#options, repo, {
      parent,
      timeoutMs,
      signal: this.#stopping.signal,
      onWarning: (warning) => this.#warnings.add(warning),
    });
    if (!result.ok) return result.errorType;
    void this.#changes.ready(repo.repoUrl !== undefined, result.fresh);
    return undefined;
  }
}

function errorOf(work: Promise<unknown>): Promise<Error | undefined> {
  return work.then(
    () => undefined,
    (error: Error) => error,
  );
}

/** Waits for `work`, but no longer than `ms`. Ignores its rejection. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const timeout = new AbortController();
  await Promise.race([work.catch(() => {}), sleep(ms, undefined, { signal: timeout.signal }).catch(() => {})]);
  timeout.abort();
}
