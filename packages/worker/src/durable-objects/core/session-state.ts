/** What the object knows of its session, but for messages: one row, one typed record. */
import type { Failure } from "@valet/shared/protocol/failure";
import type { LinkProtocols } from "@valet/shared/protocol/link-protocol";
import type { SessionStatus as State } from "@valet/shared/protocol/session-view";
import type { RunnerWarning } from "@valet/shared/protocol/warnings";
import type { EndedBy, ErrorType, FailureType, QueueMode, SandboxStage } from "@valet/shared/spans";
import type { SpanContext } from "@valet/shared/tracing";
import type { StoredCredentials } from "./git-credentials.ts";
import { type SessionEvent, transition } from "./session-transitions.ts";

/** What a session is made with and keeps. */
export interface SessionSettings {
  readonly title?: string;
  /** Without user, password and token: those are in {@link SessionRecord.credentials}. */
  readonly repoUrl?: string;
  readonly branch?: string;
  readonly ref?: string;
  /** Whether all of the repository's configuration of the agent counts. */
  readonly trustRepositoryConfig?: boolean;
  readonly model?: string;
  readonly models: readonly string[];
  readonly queueMode: QueueMode;
  readonly idleTimeoutMs: number;
  readonly parentSessionId?: string;
  /** How far down its family it is: 1 for the child of a session that has no parent. Absent without a parent. */
  readonly depth?: number;
}

export interface SandboxRef {
  readonly id: string;
  readonly driver: "local" | "modal";
}

export interface SnapshotRef {
  readonly id: string;
  /** The hibernate that made it. */
  readonly madeBy: SpanContext;
  /** How many files it lacks; absent where none or where nobody can tell. */
  readonly leftOut?: number;
}

/**
 * The link to the runner: `connecting` until the first hello of a generation, `grace` from a disconnect to a hello or to the
 * end of the grace period, `gone` where no runner is expected.
 */
export interface LinkRecord {
  readonly state: "gone" | "connecting" | "connected" | "grace";
  /** Of the socket that counts; frames of any other are stale. */
  readonly connectionId?: string;
  readonly instanceId?: string;
  /** Every instance of this generation, whose open spans are sealed when the generation ends. */
  readonly instances: readonly string[];
  /** Whether the runner has reported idle in this generation. */
  readonly ready: boolean;
  /** What the runner said at its last hello that it is; absent where an earlier version of the object heard it. */
  readonly runnerVersion?: string;
  /** Whether this generation's runner has what only it may know: model keys and the repository's credentials are sent once. */
  readonly hasSecrets?: boolean;
  /** The runner's clock minus ours, measured at the last hello. */
  readonly clockOffsetMs?: number;
}

/** The lifecycle operation under way; there is at most one. */
export interface Operation {
  readonly id: string;
  readonly kind: "spawn" | "restore" | "hibernate" | "terminate";
  /** Of its span, which is open. */
  readonly context: SpanContext;
  /**
   * Where it stands. `waiting` waits for its turn to start a sandbox, `calling`, `snapshotting` and `deleting` for the broker,
   * `booting` for the runner to be ready, `stopping` for it to end.
   */
  readonly step: "waiting" | "calling" | "booting" | "snapshotting" | "stopping" | "deleting";
  readonly startedMs: number;
  readonly stage?: SandboxStage;
  /** Whether this start takes the place of a sandbox that was lost, and has its slot. */
  readonly keepsSlot?: boolean;
  /** How often the broker had no room for this start. */
  readonly refusals?: number;
  /** Of the span of the wait for a turn, while that is known to take its time. */
  readonly waitContext?: SpanContext;
  /** Whether its deadline passed while the host was away and was put off for the broker's answer: that is done once. */
  readonly isPutOff?: boolean;
  /** Somebody wants the session awake again once it sleeps; the span that asked. */
  readonly wakeAfter?: SpanContext | null;
}

/** Why a session that was to hibernate is still awake. It is tried again until it works, or the session ends. */
export interface SleepProblem {
  readonly errorType: FailureType;
  /** The broker's own sentence, where it gave one. */
  readonly detail?: string;
  /** How often it has failed in a row. */
  readonly failures: number;
  /** When it failed first; and before when it is not tried by itself. Epoch ms. */
  readonly sinceMs: number;
  readonly retryMs: number;
}

/** How often the session has tried to get its sandbox back. */
export interface RecoveryRecord {
  /** Attempts since it last held. */
  readonly attempts: number;
  /** When a runner was last ready; 0 if never. Epoch ms. */
  readonly readyMs: number;
  /** Starts that failed one after the other; absent as long as the last one came to its end. */
  readonly failures?: StartFailures | undefined;
}

/** What a start fails with. */
export type StartError = Extract<EndedBy<"start">, FailureType> | "_OTHER";

/** What else is known of a start that failed. */
export interface StartDetails {
  /** What its runner wrote last, where the broker told. */
  readonly logLine?: string | undefined;
  /** Of a runner that could not be understood. */
  readonly protocols?: LinkProtocols | undefined;
}

/** A row of starts that failed. The first one is the cause of all that follows, whatever the later ones fail with. */
export interface StartFailures extends StartDetails {
  readonly errorType: StartError;
  /** How far the first one had come. */
  readonly stage: SandboxStage | undefined;
  readonly count: number;
}

export interface SessionRecord extends SessionSettings {
  readonly id: string;
  readonly ownerId: string;
  readonly state: State;
  /** Why the state is `error`. */
  readonly errorType?: ErrorType;
  /** What else is known of that. */
  readonly failure?: Failure;
  /** Counts sandboxes, from 1; 0 before the first. */
  readonly generation: number;
  readonly sandbox?: SandboxRef;
  readonly snapshot?: SnapshotRef;
  readonly sleepProblem?: SleepProblem;
  /** What runners of this generation have warned of. */
  readonly warnings?: readonly RunnerWarning[];
  /** SHA-256, in hex, of the token of this generation's runner. */
  readonly tokenHash?: string;
  readonly link: LinkRecord;
  readonly operation?: Operation;
  /** The spawn or restore that began this generation. */
  readonly startContext?: SpanContext;
  /** The terminate that has ended the session, or is about to. */
  readonly endContext?: SpanContext;
  readonly recovery: RecoveryRecord;
  /** For cloning; sealed, and shown to nobody. */
  readonly credentials?: StoredCredentials;
  readonly createdMs: number;
  readonly updatedMs: number;
}

/** Fields of a patch that are `undefined` are removed. */
export type SessionPatch = { readonly [K in keyof SessionRecord]?: SessionRecord[K] | undefined };

export const NO_LINK: LinkRecord = { state: "gone", instances: [], ready: false };

/** Whether the runner can be given work now. */
export function isRunnerReady({ state, ready }: LinkRecord): boolean {
  return state === "connected" && ready;
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

  /** Stores the record if it has changed. To be called once before each commit, after everything else. */
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

  /** `undefined` as long as the session has not been created. */
  get maybe(): SessionRecord | undefined {
    return this.#cached;
  }

  /** @throws Error if the session has not been created: callers have checked */
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
    const next = { ...record, ...patch, updatedMs: this.#now() } as SessionRecord;
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

  /** Whether an event is legal now. */
  allows(event: SessionEvent): boolean {
    return transition(this.record.state, event) !== undefined;
  }

  /**
   * Makes a transition, and further changes with it.
   * @throws Error if it is not legal: callers ask {@link allows} first, before they leave any trace of it
   */
  enter(event: SessionEvent, patch: SessionPatch = {}): SessionRecord {
    const { state } = this.record;
    const next = transition(state, event);
    if (next === undefined) throw new Error(`no ${event} from ${state}`);
    return this.update({ ...patch, state: next });
  }

  #write(record: SessionRecord): void {
    if (!this.#isInTransaction()) throw new Error("the session's record was changed outside a transaction");
    this.#cached = record;
    this.#isStored = false;
    this.#onChange();
  }
}
