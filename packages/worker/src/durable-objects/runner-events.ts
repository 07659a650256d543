/** What the runner says, told to whom it concerns: attempts to the dispatcher, the sandbox's life to the lifecycle, spans to the store. */
import type { FromRunnerOf, ModelAccess } from "@valet/shared/protocol/runner-link";
import { contextHeaders } from "@valet/shared/tracing";
import type { Changes } from "./changes.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { RunnerFrame, RunnerLink, RunnerLinkEvents } from "./runner-link.ts";
import type { SandboxLifecycle } from "./sandbox-lifecycle.ts";
import type { SessionState } from "./session-state.ts";
import type { TraceStore } from "./trace-store.ts";
import type { Transactions } from "./transactions.ts";

export interface RunnerEventsOptions {
  readonly state: SessionState;
  readonly transactions: Transactions;
  readonly traces: Pick<TraceStore, "acceptFrame" | "touch">;
  readonly changes: Changes;
  readonly link: () => RunnerLink;
  readonly dispatcher: () => Dispatcher;
  readonly lifecycle: () => SandboxLifecycle;
  readonly modelAccess: ModelAccess;
  readonly captureContent: boolean;
  readonly tracing: boolean;
  readonly stuckTurnMs: number;
}

export class RunnerEvents implements RunnerLinkEvents {
  readonly #options: RunnerEventsOptions;

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
    const { dispatcher, lifecycle } = this.#options;
    switch (frame.type) {
      case "spans":
        return this.#onSpans(frame);
      case "stage":
      case "stopped":
        return lifecycle().onFrame(frame);
      default:
        return dispatcher().onFrame(frame);
    }
  }

  onDown(isClosed: boolean): void {
    const { state, traces, dispatcher, lifecycle } = this.#options;
    const { instanceId } = state.record.link;
    if (isClosed && instanceId !== undefined) traces.touch(instanceId);
    dispatcher().onLinkDown();
    lifecycle().onLinkDown();
  }

  onGone(): void {
    this.#options.lifecycle().onLinkGone();
  }

  #onSpans({ instanceId, seq, otlp }: FromRunnerOf<"spans">): void {
    const { traces, changes, transactions, link } = this.#options;
    const ackSeq = traces.acceptFrame(instanceId, seq, otlp);
    for (const [, traceId] of otlp.matchAll(/"traceId"\s*:\s*"([0-9a-f]{32})"/g)) changes.trace(traceId as string);
    transactions.afterCommit(() => link().send({ type: "spans-ack", instanceId, seq: ackSeq }));
  }

  #sendConfig(): void {
    const { state, transactions, link, modelAccess, captureContent, tracing, stuckTurnMs } = this.#options;
    const { id: sessionId, generation, repoUrl, branch, ref, credentials, startContext, link: linkRecord } = state.record;
    const { clockOffsetMs } = linkRecord;
    const asked = [state.record.model, ...state.record.models].filter((model) => model !== undefined);
    const work = { modelAccess: withModels(modelAccess, asked), captureContent, tracing, stuckTurnMs };
    transactions.afterCommit(() => {
      link().send({
        ...{ type: "config", sessionId, generation, ...work },
        ...(clockOffsetMs !== undefined && { clockOffsetMs }),
      });
      link().send({
        type: "repo-config",
        ...(repoUrl !== undefined && { repoUrl }),
        ...(branch !== undefined && { branch }),
        ...(ref !== undefined && { ref }),
        ...(credentials !== undefined && { credentials }),
        ...(startContext !== undefined && contextHeaders(startContext)),
      });
    });
  }
}

/** The agent refuses models of our own provider that it was not told of when it started. */
function withModels(access: ModelAccess, asked: readonly string[]): ModelAccess {
  const { openAiCompatible } = access;
  if (openAiCompatible === undefined) return access;
  const models = asked.filter((model) => model.startsWith("valet/"));
  return { ...access, openAiCompatible: { ...openAiCompatible, models } };
}
