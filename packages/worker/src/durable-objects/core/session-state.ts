/** The session's record: everything about the session except jobs, in one row. */
import type { AskedKind } from "@valet/shared/protocol/ask-before";
import type { Failure } from "@valet/shared/protocol/failure";
import type { LinkProtocols } from "@valet/shared/protocol/link-protocol";
import { canonicalRepoUrl } from "@valet/shared/protocol/repo-url";
import type { SessionStatus as State } from "@valet/shared/protocol/session-view";
import type { RunnerWarning } from "@valet/shared/protocol/warnings";
import type {
  DeleteReason,
  EndedBy,
  ErrorType,
  FailureType,
  QueueMode,
  SandboxDriver,
  SandboxStage,
  SessionOrigin,
} from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import type { StoredCredentials } from "./git-credentials.ts";
import { remember } from "./remember.ts";
import { type SessionEvent, transition } from "./session-transitions.ts";

/** The settings with which a session is created. */
export interface SessionSettings {
  readonly title?: string;
  /** The URL without user, password and token, which are in {@link SessionRecord.credentials}. */
  readonly repoUrl?: string;
  readonly branch?: string;
  readonly ref?: string;
  /** Whether all of the repository's configuration of the agent is used. */
  readonly trustRepositoryConfig?: boolean;
  /** Whether programs of commands send their traces; the deployment decides if it is absent. */
  readonly agentOtlp?: boolean;
  /** What the agent asks a person for before it does it. */
  readonly askBefore?: readonly AskedKind[];
  readonly model?: string;
  readonly models: readonly string[];
  readonly queueMode: QueueMode;
  /** After this long without work it hibernates, ms. */
  readonly idleTimeoutMs: number;
  readonly parentSessionId?: string;
  /** For whom the session was created; absent in sessions of earlier versions, whose user is their owner. */
  readonly userId?: string;
  /** The session's depth in its family: 1 for the child of a session without a parent. Absent without a parent. */
  readonly depth?: number;
}

export interface SandboxRef {
  readonly id: string;
  readonly driver: SandboxDriver;
}

export interface SnapshotRef {
  readonly id: string;
  /** The span of the hibernate that took it. */
  readonly madeBy: SpanContext;
  /** How many files it lacks; absent if none, or if that is unknown. */
  readonly leftOut?: number;
}

/**
 * The link to the runner: `connecting` until the first hello of a generation, `grace` from a disconnect until a hello or the end of
 * the grace period, `gone` if no runner is expected.
 */
export interface LinkRecord {
  readonly state: "gone" | "connecting" | "connected" | "grace";
  /** The id of the current connection; frames of any other are stale. */
  readonly connectionId?: string;
  readonly instanceId?: string;
  /** Every instance of this generation, whose open spans are sealed when the generation ends. */
  readonly instances: readonly string[];
  /** Whether the runner has reported `ready` in this generation. */
  readonly ready: boolean;
  /** The runner's version in its last hello; absent if an earlier version of the object received that. */
  readonly runnerVersion?: string;
  /** Whether this generation's runner has its secrets: model keys and the repository's credentials are sent once. */
  readonly hasSecrets?: boolean;
  /** The runner's clock minus the object's, in ms, measured at the last hello. */
  readonly clockOffsetMs?: number;
}

/** The current lifecycle operation; there is at most one. */
export interface Operation {
  readonly id: string;
  readonly kind: "spawn" | "restore" | "hibernate" | "terminate";
  /** The context of its open span. */
  readonly context: SpanContext;
  /**
   * What the operation waits for: `waiting` for a slot, `calling`, `snapshotting` and `deleting` for the broker, `booting` for the
   * runner to be ready, `stopping` for the runner to stop.
   */
  readonly step: "waiting" | "calling" | "booting" | "snapshotting" | "stopping" | "deleting";
  readonly startedMs: number;
  readonly stage?: SandboxStage;
  /** Whether this start replaces a sandbox that was lost, and has its slot. */
  readonly keepsSlot?: boolean;
  /** How often the broker refused this start because it was full. */
  readonly refusals?: number;
  /** The context of the open span of the wait for a slot; absent until the session's place in the line is known. */
  readonly waitContext?: SpanContext;
  /** Whether its deadline passed while the host was down, and was postponed for the broker's answer. That happens once. */
  readonly isPutOff?: boolean;
  /** Set if the session must wake after this hibernate: the span of the request, or `null` if there is none. */
  readonly wakeAfter?: SpanContext | null;
  /** The user who asked for that. */
  readonly wakeFor?: string;
}

/** Why a session could not hibernate and is still awake. The hibernate is retried until it works, or the session ends. */
export interface SleepProblem {
  readonly errorType: FailureType;
  /** The broker's explanation, if it sent one. */
  readonly detail?: string;
  /** How often the hibernate has failed in a row. */
  readonly failures: number;
  /** When it failed first, and when it is retried, epoch ms. */
  readonly sinceMs: number;
  readonly retryMs: number;
}

/** The session's attempts to replace a lost sandbox. */
export interface RecoveryRecord {
  /** The number of attempts since a sandbox was last ready for a while. */
  readonly attempts: number;
  /** When a runner was last ready; 0 if never. Epoch ms. */
  readonly readyMs: number;
  /** The starts that failed in a row; absent if the last one succeeded. */
  readonly failures?: StartFailures | undefined;
}

/** The error types of a failed start. */
export type StartError = Extract<EndedBy<"start">, FailureType> | "_OTHER";

/** Further details of a failed start. */
export interface StartDetails {
  /** The last line of its runner's log, if the broker sent it. */
  readonly logLine?: string | undefined;
  /** The protocol versions, if the runner speaks another one. */
  readonly protocols?: LinkProtocols | undefined;
}

/**
 * A series of failed starts. The first one is the cause of the whole series, whatever the later ones fail with; but the absence of the
 * broker is over when a later start fails for another reason, which is the cause then.
 */
export interface StartFailures extends StartDetails {
  readonly errorType: StartError;
  /** The stage that the start which failed with it had reached. */
  readonly stage: SandboxStage | undefined;
  /** Whether the broker was away; absent if it was not. */
  readonly isBrokerAway?: boolean;
  readonly count: number;
}

/** The deletion of the session, from the request on. It ends with the record itself. */
export interface DeletionRecord {
  readonly reason: DeleteReason;
  /** The user who asked for it; `null` if the retention period has passed. */
  readonly by: string | null;
  readonly sinceMs: number;
  /** Its span, which ends when everything of the session has ended. */
  readonly context: SpanContext;
  /** The number of the last child whose deletion has begun; absent once that of all has, or if none is deleted. */
  readonly childrenAfter?: number;
  /** When everything had ended; absent before. Epoch ms. */
  readonly endedMs?: number;
  /** How many calls were not acknowledged then. */
  readonly unfinishedCalls?: number;
}

/** A job that has failed. */
export interface FailedJob {
  readonly id: string;
  readonly kind: "message" | "workflow";
  readonly errorType: ErrorType;
  readonly failure: Failure | null;
  /** When it ended, epoch ms. */
  readonly atMs: number;
}

export interface SessionRecord extends SessionSettings {
  readonly id: string;
  readonly ownerId: string;
  readonly state: State;
  /** When the state was entered, epoch ms; absent if an earlier version of the object did that. */
  readonly stateMs?: number;
  /** Why the state is `error`. */
  readonly errorType?: ErrorType;
  /** Further details of that error. */
  readonly failure?: Failure;
  /** The number of the current sandbox, from 1; 0 before the first. */
  readonly generation: number;
  readonly sandbox?: SandboxRef;
  readonly snapshot?: SnapshotRef;
  readonly sleepProblem?: SleepProblem;
  /** The warnings of this generation's runners. */
  readonly warnings?: readonly RunnerWarning[];
  /** SHA-256, in hex, of the token of this generation's runner. */
  readonly tokenHash?: string;
  /** Those of the generations before, the newest first: their runners are told that they are stale, and nobody else is. */
  readonly formerTokenHashes?: readonly string[];
  readonly link: LinkRecord;
  readonly operation?: Operation;
  /** The span of the spawn or restore that began this generation. */
  readonly startContext?: SpanContext;
  /** The span of the terminate that ends the session. */
  readonly endContext?: SpanContext;
  /** The user who terminated the session; absent if no person did. */
  readonly endedBy?: string;
  /** When the session was terminated, epoch ms; absent if an earlier version of the object terminated it. */
  readonly terminatedMs?: number;
  readonly deletion?: DeletionRecord;
  readonly recovery: RecoveryRecord;
  /** The job that failed, if the last job that ended did. */
  readonly lastFailure?: FailedJob;
  /** When a person last answered the agent, epoch ms. */
  readonly answeredMs?: number;
  /** A digest of the request that created the session, if the caller chose its id. */
  readonly digest?: string;
  /** The credentials of the repository; sealed, and never shown. */
  readonly credentials?: StoredCredentials;
  readonly createdMs: number;
  readonly updatedMs: number;
}

/**
 * A change of the record. Fields that are `undefined` are removed. `idleTimeoutMs` cannot be changed: the timer `idle` is set with
 * it when idleness begins, and `Scheduler.idleSinceMs` counts back from that. A change has to set that timer again.
 */
export type SessionPatch = {
  readonly [K in Exclude<keyof SessionRecord, "idleTimeoutMs">]?: SessionRecord[K] | undefined;
};

export const NO_LINK: LinkRecord = { state: "gone", instances: [], ready: false };

/** Returns for whom and on what a session works. */
export function originOfSession(record: SessionRecord): SessionOrigin & { readonly userId: string } {
  const { userId, ownerId, repoUrl, branch, ref, parentSessionId } = record;
  return {
    userId: userId ?? ownerId,
    repository: repoUrl === undefined ? undefined : repositoryOf(repoUrl),
    branch: branch ?? ref,
    parentSessionId,
  };
}

const repositoryOf = remember(canonicalRepoUrl);

/** Returns whether the runner accepts work now. */
export function isRunnerReady({ state, ready }: LinkRecord): boolean {
  return state === "connected" && ready;
}

/** How many tokens of earlier generations are remembered. A runner that is older than that ends without knowing why. */
const MAX_FORMER_TOKENS = 4;

/** Remembers the token that a change removes. */
function formerTokens({ tokenHash, formerTokenHashes = [] }: SessionRecord, patch: SessionPatch): SessionPatch {
  if (tokenHash === undefined || !("tokenHash" in patch) || patch.tokenHash === tokenHash) return {};
  return { formerTokenHashes: [tokenHash, ...formerTokenHashes].slice(0, MAX_FORMER_TOKENS) };
}

export interface SessionStateOptions {
  readonly sql: SqlStorage;
  readonly now: () => number;
  /** Called with every change, in its transaction. */
  readonly onChange: () => void;
  readonly isInTransaction: () => boolean;
}

/** The record of the session in memory. A transaction may change it many times; it is stored once, before the commit. */
export class SessionState {
  readonly #sql: SqlStorage;
  readonly #now: () => number;
  readonly #onChange: () => void;
  readonly #isInTransaction: () => boolean;
  #cached: SessionRecord | undefined;
  #isStored = true;

  constructor({ sql, now, onChange, isInTransaction }: SessionStateOptions) {
    this.#sql = sql;
    this.#now = now;
    this.#onChange = onChange;
    this.#isInTransaction = isInTransaction;
    this.reload();
  }

  /** Stores the record if it has changed. Called once before each commit, after everything else. */
  store(): void {
    if (this.#isStored) return;
    this.#sql.exec("INSERT OR REPLACE INTO session VALUES (1, ?)", JSON.stringify(this.#cached));
    this.#isStored = true;
  }

  /** Reads the stored record, after a transaction that was rolled back. */
  reload(): void {
    this.#isStored = true;
    const [row] = this.#sql.exec("SELECT record FROM session").toArray();
    this.#cached = row === undefined ? undefined : (JSON.parse(row.record as string) as SessionRecord);
  }

  /** The record; `undefined` before the session is created. */
  get maybe(): SessionRecord | undefined {
    return this.#cached;
  }

  /** The record. @throws Error before the session is created: callers must have checked that */
  get record(): SessionRecord {
    if (this.#cached === undefined) throw new Error("the session has not been created");
    return this.#cached;
  }

  create(record: Omit<SessionRecord, "createdMs" | "updatedMs">): void {
    const nowMs = this.#now();
    this.#write({ ...record, createdMs: nowMs, updatedMs: nowMs });
  }

  update(patch: SessionPatch): SessionRecord {
    const { record } = this;
    const next = { ...record, ...patch, ...formerTokens(record, patch), updatedMs: this.#now() } as SessionRecord;
    this.#write(next);
    return next;
  }

  updateLink(patch: { readonly [K in keyof LinkRecord]?: LinkRecord[K] | undefined }): void {
    this.update({ link: { ...this.record.link, ...patch } as LinkRecord });
  }

  updateOperation(patch: { readonly [K in keyof Operation]?: Operation[K] | undefined }): void {
    const { operation } = this.record;
    if (operation !== undefined) this.update({ operation: { ...operation, ...patch } as Operation });
  }

  /** Returns whether an event is legal in the current state. */
  allows(event: SessionEvent): boolean {
    return transition(this.record.state, event) !== undefined;
  }

  /**
   * Makes a transition, with further changes.
   * @throws Error if it is not legal: callers check {@link allows} before they start a span
   */
  enter(event: SessionEvent, patch: SessionPatch = {}): SessionRecord {
    const { state } = this.record;
    const next = transition(state, event);
    if (next === undefined) throw new Error(`no ${event} from ${state}`);
    return this.update({ ...patch, state: next, stateMs: this.#now() });
  }

  #write(record: SessionRecord): void {
    if (!this.#isInTransaction()) throw new Error("the session's record was changed outside a transaction");
    this.#cached = record;
    this.#isStored = false;
    this.#onChange();
  }
}
