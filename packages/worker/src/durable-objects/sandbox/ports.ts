/** What the room `sandbox` needs of other rooms, the events that it records for them, and what its own files share. */

import type { Failure } from "@valet/shared/protocol/failure";
import type { ErrorType } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import type { SandboxBroker } from "../../broker/client.ts";
import type { Intervals } from "../../config.ts";
import type { Asker } from "../core/asker.ts";
import type { SessionState, StartError } from "../core/session-state.ts";
import type { Timers } from "../core/timers.ts";
import type { Transactions } from "../core/transactions.ts";
import type { BrokerCalls } from "./broker-calls.ts";
import type { Operations } from "./operations.ts";
import type { Orphans } from "./orphans.ts";
import type { StartTimes } from "./start-times.ts";

/** The session's work, as far as its sandbox depends on it. */
export interface SessionWork {
  /** Whether an attempt is in flight. */
  readonly isBusy: boolean;
  /** Whether a job is queued. */
  readonly hasWork: boolean;
  /** When the newest job ended, epoch ms; `undefined` if there is none, or it has not ended. */
  readonly lastEndMs: number | undefined;
}

/** The runners of a generation whose link has ended. */
export interface EndedRunners {
  readonly instances: readonly string[];
  /** The runner that had the link last, and when its last frame arrived, epoch ms; absent if unknown. */
  readonly instanceId?: string | undefined;
  readonly lastSeenMs?: number | undefined;
}

/** The link to the sandbox's runner. */
export interface RunnerConnection {
  /** Begins a new generation: only its runner may connect. */
  expect(): void;
  /** Ends the generation's link: no runner may connect any more. */
  end(): EndedRunners;
  /** Needs the runner again: a grace period that ended while nobody needed it takes effect now. */
  want(): void;
  /** Records that the runner has reported that it is ready. */
  ready(): void;
}

/** An event of the sandbox that has consequences in other rooms. */
export type SandboxEvent =
  /** `isFresh`: the sandbox starts empty, not from a snapshot. */
  | { readonly type: "generation-began"; readonly isFresh: boolean }
  /** The generation's runners will not connect again, though its sandbox exists. `cause`: what ended them, if that is known. */
  | { readonly type: "runners-ended"; readonly runners: EndedRunners; readonly cause?: ErrorType | undefined }
  /** Its runners will not connect again, and its sandbox, if there is one, is left. `keptFiles`: the next generation has the files of this one. */
  | {
      readonly type: "generation-ended";
      readonly keptFiles: boolean;
      readonly runners: EndedRunners;
      readonly cause?: ErrorType | undefined;
    }
  | { readonly type: "hibernating" }
  /** The runner must stop. */
  | { readonly type: "stop-runner"; readonly reason: "hibernate" | "terminate" }
  | { readonly type: "hibernated" }
  /** No further start is tried unless somebody asks for one. `errorType` is the cause of the failed starts. */
  | { readonly type: "gave-up"; readonly errorType: StartError; readonly failure: Failure }
  | { readonly type: "terminating"; readonly asker: Asker }
  | { readonly type: "terminated" }
  /** The capacity object granted a slot to the start that waits for one. */
  | { readonly type: "turn-granted" }
  /** The session's place in the line for a sandbox has changed. */
  | { readonly type: "place-changed"; readonly place: number };

export interface SandboxOptions {
  readonly state: SessionState;
  readonly operations: Operations;
  readonly transactions: Transactions;
  readonly timers: Timers;
  readonly link: RunnerConnection;
  readonly work: SessionWork;
  readonly broker: Pick<SandboxBroker, "create" | "get" | "snapshot" | "terminate">;
  readonly calls: BrokerCalls;
  readonly orphans: Pick<Orphans, "addSandbox" | "addSnapshot" | "addUnconfirmed" | "resume">;
  readonly startTimes: StartTimes;
  readonly intervals: Intervals;
  readonly now: () => number;
  /** Returns the environment of the sandbox's entrypoint. */
  readonly sandboxEnv: (sessionId: string, generation: number) => Record<string, string>;
  readonly record: (event: SandboxEvent) => void;
  /** Whether a start waits until the capacity object grants it a slot. */
  readonly mustWait: boolean;
  /** Keeps the object alive for a promise that never rejects. */
  readonly background: (work: Promise<void>) => void;
  readonly report: (error: unknown) => void;
}

/** What `SandboxStart`, `SandboxEnd` and `SandboxCheck` share. */
export interface SandboxParts extends SandboxOptions {
  /** Sets the timer of the current operation's next call. @param limitMs the call's timeout, if it differs from the usual one */
  readonly watch: (limitMs?: number) => void;
  /**
   * Ends the generation: its runners may not connect again, and its sandbox, if there is one, becomes an orphan.
   * @param parent the span of the operation that leaves the sandbox behind
   * @param keptFiles whether the next generation has the files of this one
   * @param cause what ended its runners, if that is known
   */
  readonly endGeneration: (parent: SpanContext, keptFiles?: boolean, cause?: ErrorType) => void;
}
