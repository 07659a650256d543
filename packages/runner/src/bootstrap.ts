/** Records the runner's start as spans, and reports each stage to the SessionAgent, the last one again on a new link. */
import { endWith, type SpanOf } from "@valet/shared/outcome";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import { type EndedBy, ERRORS } from "@valet/shared/spans";
import { isValidContext, type SpanContext } from "@valet/shared/tracing";
import type { Settings } from "./settings.ts";
import type { RunnerTracer } from "./spans/tracing.ts";

type Stage = FromRunnerOf<"stage">;

/** Why a start failed. */
export type BootstrapError = Exclude<EndedBy<"bootstrap">, "runner_lost">;

export class Bootstrap {
  readonly #send: (frame: Stage) => unknown;
  readonly #span: SpanOf<"valet.runner.bootstrap">;
  readonly #connect: SpanOf<"valet.runner.connect">;
  readonly #isRestart: boolean;
  #stage: Stage | undefined;
  #isConnected = false;
  #hasEnded = false;

  constructor(
    tracer: RunnerTracer,
    { parent, sandboxId, isolation, url }: Settings,
    restartCount: number,
    send: (frame: Stage) => unknown,
  ) {
    this.#send = send;
    const { hostname, port } = new URL(url);
    const isRestart = restartCount > 0;
    this.#isRestart = isRestart;
    this.#span = tracer.startSpan("valet.runner.bootstrap", {
      // A restarted runner finds the context of the sandbox's start in its environment, but that span may have ended long ago.
      parent: isRestart ? undefined : parent,
      links:
        isRestart && parent !== undefined ? [{ context: parent, attributes: { "valet.link.type": "follows" } }] : [],
      attributes: {
        "valet.sandbox.id": sandboxId,
        "valet.sandbox.isolation": isolation,
        "valet.runner.restart_count": restartCount,
      },
    });
    this.#connect = tracer.startSpan("valet.runner.connect", {
      parent: this.#span,
      attributes: { "server.address": hostname, "server.port": port === "" ? undefined : Number(port) },
    });
  }

  /** Handles a new link. The first one ends a stage; on every further one the last stage is reported again. */
  connected(attemptCount: number): void {
    if (this.#isConnected) {
      if (this.#stage !== undefined) this.#send(this.#stage);
      return;
    }
    this.#isConnected = true;
    this.#connect.setAttribute("valet.connect.attempt_count", attemptCount);
    endWith(this.#connect, "ok");
    this.#report({ type: "stage", stage: "connected" });
  }

  /** @param clockOffsetMs the runner's clock minus the SessionAgent's */
  measured(clockOffsetMs: number | undefined): void {
    this.#span.setAttribute("valet.clock.offset_ms", clockOffsetMs);
  }

  /** @returns the parent of the spans of the agent's start */
  startAgent(): SpanContext {
    this.#report({ type: "stage", stage: "opencode_starting" });
    return this.#span.context;
  }

  /**
   * @param context arrived with the repository's configuration
   * @returns the parent of the setup's spans: the bootstrap if both belong to the same trace, since it is the nearer ancestor,
   * and after a restart, since the sandbox's start has ended
   */
  setUpRepository(context: SpanContext | undefined): SpanContext {
    this.#report({ type: "stage", stage: "git_setup" });
    const own = this.#span.context;
    if (this.#isRestart || context === undefined || !isValidContext(context)) return own;
    return context.traceId === own.traceId ? own : context;
  }

  /** Ends the bootstrap; later calls have no effect. Without an error the runner is ready. */
  end(errorType?: BootstrapError): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    if (!this.#isConnected) endWith(this.#connect, outcomeOf(errorType), connectErrorOf(errorType));
    endWith(this.#span, outcomeOf(errorType), errorType);
    this.#report(
      errorType === undefined ? { type: "stage", stage: "ready" } : { type: "stage", stage: "failed", errorType },
    );
  }

  #report(stage: Stage): void {
    this.#stage = stage;
    this.#send(stage);
  }
}

function outcomeOf(errorType: BootstrapError | undefined) {
  return errorType === undefined ? "ok" : ERRORS[errorType].outcomes[0];
}

/** Returns the error type for `valet.runner.connect` if the start failed before there was a link. */
function connectErrorOf(errorType: BootstrapError | undefined) {
  switch (errorType) {
    case "stale_generation":
    case "token_refused":
    case "protocol_unsupported":
    case "runner_replaced":
      return errorType;
    default:
      return "runner_shutdown";
  }
}
