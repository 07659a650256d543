/** What the session's sandbox needs of other rooms, what it tells them, and what its own files have in common. */
import type { Failure } from "@valet/shared/protocol/failure";
import type { SpanContext } from "@valet/shared/tracing";
import type { SandboxBroker } from "../../broker/client.ts";
import type { Intervals } from "../../config.ts";
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
  /** Whether a job waits. */
  readonly hasWork: boolean;
  /** When the newest job ended, epoch ms; `undefined` where there is none, or it has not ended. */
  readonly lastEndMs: number | undefined;
}

/** The runners of a generation whose link has ended. */
export interface EndedRunners {
  readonly instances: readonly string[];
  /** The one that had the link last, and when it was last heard, epoch ms, where that is known. */
  readonly instanceId?: string | undefined;
  readonly lastSeenMs?: number | undefined;
}

/** The link to the sandbox's runner. */
export interface RunnerConnection {
  /** A new generation begins: its runner is expected, no other is. */
  expect(): void;
  /** No runner is expected any more. */
  end(): EndedRunners;
  /** The runner is wanted after all: a grace period that ended while it was not has ended now. */
  want(): void;
  /** The runner has reported idle. */
  ready(): void;
}

/** What happened to the sandbox that has consequences in other rooms. */
export type SandboxEvent =
  /** `isFresh`: the sandbox starts with nothing, rather than from a snapshot. */
  | { readonly type: "generation-began"; readonly isFresh: boolean }
  /** Its runners are not coming back. `keptFiles`: the next generation has the files of this one. */
  | { readonly type: "generation-ended"; readonly keptFiles: boolean; readonly runners: EndedRunners }
  | { readonly type: "hibernating" }
  /** The runner is to stop. */
  | { readonly type: "stop-runner"; readonly reason: "hibernate" | "terminate" }
  | { readonly type: "hibernated" }
  /** There will be no sandbox unless somebody asks again. `errorType` is why the first start failed. */
  | { readonly type: "gave-up"; readonly errorType: StartError; readonly failure: Failure }
  | { readonly type: "terminating"; readonly cause: SpanContext | undefined }
  | { readonly type: "terminated" }
  /** It is the session's turn to start the sandbox that it waits for. */
  | { readonly type: "turn-granted" }
  /** The session has another place in the line for a sandbox. */
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
  readonly orphans: Pick<Orphans, "addSandbox" | "addSnapshot" | "addUnheard" | "resume">;
  readonly startTimes: StartTimes;
  readonly intervals: Intervals;
  readonly now: () => number;
  /** What the sandbox's entrypoint finds in its environment. */
  readonly sandboxEnv: (sessionId: string, generation: number) => Record<string, string>;
  readonly record: (event: SandboxEvent) => void;
  /** Whether a start waits until it is told that it is its turn. */
  readonly mustWait: boolean;
  /** Keeps the object alive for a promise that never rejects. */
  readonly background: (work: Promise<void>) => void;
  readonly report: (error: unknown) => void;
}

/** What start and end have in common. */
export interface SandboxParts extends SandboxOptions {
  /** Watches over the call that the operation under way is about to make. @param limitMs of a call that takes another time than most */
  readonly watch: (limitMs?: number) => void;
  /**
   * Ends the generation: its runners are not coming back, and its sandbox, if there is one, is an orphan.
   * @param parent the operation that the sandbox is left over from
   * @param keptFiles whether the next generation has the files of this one
   */
  readonly endGeneration: (parent: SpanContext, keptFiles?: boolean) => void;
}
