/** What the runner says, told to whom it concerns: attempts to the dispatcher, the sandbox's life to the lifecycle, spans to the store. */
import type { LinkProtocols } from "@valet/shared/protocol/link-protocol";
import {
  type FromRunnerOf,
  type ModelAccess,
  OWN_PROVIDER,
  type TurnBounds,
  withProvider,
} from "@valet/shared/protocol/runner-link";
import { isRunnerWarning } from "@valet/shared/protocol/warnings";
import { contextHeaders } from "@valet/shared/tracing";
import type { Changes } from "../core/changes.ts";
import type { GitCredentials } from "../core/git-credentials.ts";
import type { SessionState } from "../core/session-state.ts";
import type { Transactions } from "../core/transactions.ts";
import type { SessionCredentials } from "../credentials/session-credentials.ts";
import type { Dispatcher } from "../dispatch/dispatcher.ts";
import type { ChildSessions } from "../family/child-sessions.ts";
import type { PromptQueue } from "../queue/job-queue.ts";
import type { SandboxLifecycle } from "../sandbox/sandbox-lifecycle.ts";
import { type ReceivedFrame, TraceFrames } from "../traces/trace-frames.ts";
import type { TraceStore } from "../traces/trace-store.ts";
import type { BackgroundCheck } from "./background-check.ts";
import type { RunnerFrame, RunnerLink, RunnerLinkEvents } from "./runner-link.ts";

export interface RunnerEventsOptions {
  readonly state: SessionState;
  readonly transactions: Transactions;
  readonly traces: Pick<TraceStore, "acceptFrames" | "touch">;
  readonly queue: Pick<PromptQueue, "noteProgress">;
  readonly changes: Changes;
  readonly link: () => RunnerLink;
  readonly dispatcher: () => Dispatcher;
  readonly lifecycle: () => SandboxLifecycle;
  readonly children: () => ChildSessions;
  readonly backgroundCheck: BackgroundCheck;
  readonly modelAccess: ModelAccess;
  readonly captureContent: boolean;
  readonly tracing: boolean;
  readonly stuckTurnMs: number;
  readonly credentials: Pick<SessionCredentials, "isEmpty" | "openForClone">;
  readonly background: (work: Promise<void>) => void;
  readonly turnBounds: TurnBounds;
  readonly report: (error: unknown) => void;
}

/** Stages that a runner only comes to with its configuration, which it keeps for its successors in this sandbox. */
const HAS_SECRETS: ReadonlySet<string> = new Set(["opencode_starting", "git_setup", "ready"]);

export class RunnerEvents implements RunnerLinkEvents {
  readonly #options: RunnerEventsOptions;
  readonly #frames = new TraceFrames((frames) => this.#keepSpans(frames));

  constructor(options: RunnerEventsOptions) {
    this.#options = options;
  }

  onHello(hello: FromRunnerOf<"hello">, isBack: boolean): void {
    const { dispatcher, lifecycle } = this.#options;
    this.#sendConfig();
    dispatcher().onHello(hello, isBack);
    lifecycle().onHello(isBack);
  }

  onFrame(frame: RunnerFrame): void {
    const { dispatcher } = this.#options;
    if (frame.type === "spans") this.#onSpans(frame);
    else if (frame.type === "stage") this.#onStage(frame);
    else if (frame.type === "warnings") this.#onWarnings(frame);
    else if (frame.type === "stopped") this.#onStopped();
    else if (frame.type === "background") this.#options.backgroundCheck.answered(frame);
    else if (frame.type === "child-session-request") this.#options.children().onRequest(frame);
    else dispatcher().onFrame(frame);
  }

  #onStage(frame: FromRunnerOf<"stage">): void {
    // After a failed start the link is closed, and what it brought would be lost.
    if (frame.stage === "failed") this.flushSpans();
    if (HAS_SECRETS.has(frame.stage)) this.#options.link().noteSecrets();
    this.#options.lifecycle().onStage(frame);
  }

  /** A runner that was restarted does not see again what the one before it has seen: nothing is taken back in a generation. */
  #onWarnings({ warnings }: FromRunnerOf<"warnings">): void {
    const { state } = this.#options;
    const { warnings: before = [] } = state.record;
    const all = [...new Set([...before, ...warnings.filter(isRunnerWarning)])];
    if (all.length > before.length) state.update({ warnings: all });
  }

  onDown(isClosed: boolean): void {
    const { state, traces, dispatcher, lifecycle } = this.#options;
    this.flushSpans();
    const { instanceId } = state.record.link;
    if (isClosed && instanceId !== undefined) traces.touch(instanceId);
    dispatcher().onLinkDown();
    lifecycle().onLinkDown();
  }

  #onStopped(): void {
    // The link is closed now, and what it brought would be lost.
    this.flushSpans();
    this.#options.lifecycle().onStopped();
  }

  onForeign(protocols: LinkProtocols): void {
    this.#options.lifecycle().onForeign(protocols);
  }

  onGone(): void {
    this.#options.lifecycle().onLinkGone();
  }

  /** Stores the spans that have come in and wait for others. */
  flushSpans(): void {
    this.#frames.flush();
  }

  /** With tracing off nothing is kept, though a runner may send what it recorded before it was told. */
  #onSpans(frame: FromRunnerOf<"spans">): void {
    if (this.#options.tracing) this.#frames.add(frame);
    else this.#acknowledge(frame.instanceId, frame.seq);
  }

  #keepSpans(frames: readonly ReceivedFrame[]): void {
    const { traces, queue, changes, transactions, report } = this.#options;
    try {
      transactions.run(() => {
        for (const [instanceId, seq] of traces.acceptFrames(frames)) this.#acknowledge(instanceId, seq);
        for (const { otlp, open = [], progress = [] } of frames) {
          for (const traceId of traceIdsIn(otlp, ...open)) changes.trace(traceId);
          for (const { attemptId, summary } of progress) queue.noteProgress(attemptId, summary);
        }
      });
    } catch (error) {
      // Not acknowledged, so they come again.
      report(error);
    }
  }

  #acknowledge(instanceId: string, seq: number): void {
    const { transactions, link } = this.#options;
    transactions.afterCommit(() => link().send({ type: "spans-ack", instanceId, seq }));
  }

  /** Secrets go to a generation's runner once: whoever comes later with its token is told that it has them. */
  #sendConfig(): void {
    const { state, transactions, link, lifecycle, modelAccess, captureContent, tracing, stuckTurnMs, turnBounds } =
      this.#options;
    const { id: sessionId, generation, link: linkRecord } = state.record;
    const { trustRepositoryConfig } = state.record;
    const { clockOffsetMs, hasSecrets = false } = linkRecord;
    const startMs = lifecycle().startLeftMs();
    const asked = [state.record.model, ...state.record.models].filter((model) => model !== undefined);
    const access = withModels(modelAccess, asked);
    const work = {
      modelAccess: hasSecrets ? withoutKeys(access) : access,
      captureContent,
      tracing,
      stuckTurnMs,
      turnBounds,
    };
    transactions.afterCommit(() => {
      link().send({
        ...{ type: "config", sessionId, generation, ...work },
        ...(trustRepositoryConfig === true && { trustRepositoryConfig }),
        ...(clockOffsetMs !== undefined && { clockOffsetMs }),
        ...(startMs !== undefined && { startMs }),
        ...(hasSecrets && { hasSecrets }),
      });
      this.#sendRepository(hasSecrets);
    });
  }

  #sendRepository(hasSecrets: boolean): void {
    const { state, link, credentials, background } = this.#options;
    const { generation, repoUrl, branch, ref, operation } = state.record;
    // A runner that comes to a session that has long been started sets up its repository on its own account.
    const isStarting = operation?.kind === "spawn" || operation?.kind === "restore";
    const send = (open: GitCredentials | undefined) => {
      const { url = repoUrl, username, password } = open ?? {};
      link().send({
        type: "repo-config",
        ...(url !== undefined && { repoUrl: url }),
        ...(branch !== undefined && { branch }),
        ...(ref !== undefined && { ref }),
        ...(username !== undefined && password !== undefined && { credentials: { username, password } }),
        ...(isStarting && contextHeaders(operation.context)),
      });
    };
    if (hasSecrets || credentials.isEmpty) {
      send(undefined);
      return;
    }
    background(
      credentials.openForClone().then((open) => {
        if (state.record.generation === generation) send(open);
      }),
    );
  }
}

function traceIdsIn(...texts: string[]): Set<string> {
  const ids = texts.flatMap((text) => Array.from(text.matchAll(/"traceId"\s*:\s*"([0-9a-f]{32})"/g), ([, id]) => id));
  return new Set(ids as string[]);
}

/** The agent refuses models of our own provider that it was not told of when it started. */
function withModels(access: ModelAccess, asked: readonly string[]): ModelAccess {
  const { openAiCompatible } = access;
  if (openAiCompatible === undefined) return access;
  const models = asked.map(withProvider).filter((model) => model.startsWith(`${OWN_PROVIDER}/`));
  return { ...access, openAiCompatible: { ...openAiCompatible, models } };
}

function withoutKeys({ openAiCompatible, ...access }: ModelAccess): ModelAccess {
  const { apiKey, ...endpoint } = openAiCompatible ?? {};
  return {
    ...access,
    providerKeys: {},
    ...(openAiCompatible !== undefined && { openAiCompatible: endpoint as typeof openAiCompatible }),
  };
}
