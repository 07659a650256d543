/** What OpenCode is started with: see `opencode.ts`. */
import type { LimitError } from "@valet/shared/limit-errors";
import type { RunnerWarning } from "@valet/shared/protocol/warnings";
import type { ValetSpans } from "@valet/shared/spans";
import type { Tracer } from "@valet/shared/tracing";
import type { HealthCheckOptions } from "./health-check.ts";
import type { ServerOptions } from "./server.ts";

export interface OpenCodeOptions
  extends Omit<ServerOptions, "signal" | "configFolder" | "runsRepositoryCode" | "refusalsFile"> {
  readonly tracer: Tracer<ValetSpans>;
  /** The runner's state folder; a temporary one by default. */
  readonly stateFolder?: string;
  /** Whether all of the repository's configuration applies; by default only its text. */
  readonly trustsRepository?: boolean;
  /** Receives problems, for example with the repository's configuration; never quotes content. */
  readonly onProblem?: (problem: string) => void;
  /** Receives what a person should know although the agent works. */
  readonly onWarning?: (warning: RunnerWarning) => void;
  /**
   * Settles once the repository is set up. The process starts before, but the workspace's configuration is read afterwards.
   */
  readonly workspaceReady?: Promise<unknown>;
  /** Returns the limit of the sandbox that ended OpenCode just now, if one did. */
  readonly limitHit?: ((wasKilled?: boolean) => LimitError | undefined) | undefined;
  /** Called when OpenCode's process answers, before it loads Valet's plugin, which hides it from other processes of its user. */
  readonly onProcess?: (() => void) | undefined;
  /** The timeouts of a health check. */
  readonly health?: Pick<HealthCheckOptions, "tryMs" | "hungMs">;
}
