/** The runner's start as spans and as stages that the SessionAgent is told of, each once it is reached and again on a new link. */

import { endWith, type SpanOf } from "@valet/shared/outcome";
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import { type EndedBy, ERRORS } from "@valet/shared/spans";
import { isValidContext, type SpanContext } from "@valet/shared/tracing";
import type { Settings } from "./settings.ts";
import type { RunnerTracer } from "./spans/tracing.ts";

type Stage = FromRunnerOf<"stage">;

/** Why a start did not come to its end. */
export type BootstrapError = Exclude<EndedBy<"bootstrap">, "runner_lost" | "sandbox_gone">;

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
    { parent, sandboxId, url }: Settings,
    restartCount: number,
    send: (frame: Stage) => unknown,
  ) {
    this.#send = send;
    const { hostname, port } = new URL(url);
    const isRestart = restartCount > 0;
    this.#isRestart = isRestart;
    this.#span = tracer.startSpan("valet.runner.bootstrap", {
      // The start that a restarted runner finds in its environment may have ended long ago.
      parent: isRestart ? undefined : parent,
      links:
        isRestart && parent !== undefined ? [{ context: parent, attributes: { "valet.link.type": "follows" } }] : [],
      attributes: { "valet.sandbox.id": sandboxId, "valet.runner.restart_count": restartCount },
    });
    this.#connect = tracer.startSpan("valet.runner.connect", {
      parent: this.#span,
      attributes: { "server.address": hostname, ...(port !== "" && { "server.port": Number(port) }) },
    });
  }

  /** There is a link: the first ends a stage, every further one is told the last. */
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

  /** @returns what starting the agent is part of */
  startAgent(): SpanContext {
    this.#report({ type: "stage", stage: "opencode_starting" });
    return this.#span.context;
  }

  /**
   * @param context that came with the repository
   * @returns what setting it up is part of: the bootstrap, where both belong to the same trace, since that is the nearer one,
   * and after a restart, since the session's own start has ended
   */
  setUpRepository(context: SpanContext | undefined): SpanContext {
    this.#report({ type: "stage", stage: "git_setup" });
    const own = this.#span.context;
    if (this.#isRestart || context === undefined || !isValidContext(context)) return own;
    return context.traceId === own.traceId ? own : context;
  }

  /** The first end counts. Without an error the runner is ready. */
  end(errorType?: BootstrapError): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    if (!this.#isConnected) endWith(this.#connect, outcomeOf(errorType), connectErrorOf(errorType));
    endWith(this.#span, outcomeOf(errorType), errorType);
    this.#report({
      type: "stage",
      stage: errorType === undefined ? "ready" : "failed",
      ...(errorType !== undefined && { errorType }),
    });
  }

  #report(stage: Stage): void {
    this.#stage = stage;
    this.#send(stage);
  }
}

function outcomeOf(errorType: BootstrapError | undefined) {
  return errorType === undefined ? "ok" : ERRORS[errorType].outcomes[0];
}

/** Only what happens before there is a link ends the connecting. */
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
