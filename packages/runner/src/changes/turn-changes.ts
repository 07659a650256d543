/**
 * Finds out what each attempt changed in the workspace: after its end, off the path of its answer, and in a limited time. An attempt
 * starts from the last known state, and ends with a new one, from which the next starts. Attempts that overlap, or that ended without
 * a new state, may be in the same changes; then these name them.
 */
import { setImmediate as nextTick } from "node:timers/promises";
import { endWith, type SpanOf } from "@valet/shared/outcome";
import { CHANGES_LIMITS, type ChangesUnknown } from "@valet/shared/protocol/changes";
import type { PromptDispatch, WorkflowDispatch } from "@valet/shared/protocol/dispatch";
import { type FromRunnerOf, MAX_LINK_FRAME_BYTES } from "@valet/shared/protocol/runner-link";
import type { SpanFrame } from "@valet/shared/protocol/span-frame";
import { exceptionType, extractFromHeaders } from "@valet/shared/tracing";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { compareSnapshots, type MeasuredChanges } from "../git/diff-snapshots.ts";
import { ChangesError, type Snapshot, Snapshots, snapshotOfCommit } from "../git/snapshot.ts";
import type { SecretValues } from "../secrets/secret-values.ts";
import type { RunnerTracer } from "../spans/tracing.ts";
import { ChangeState, MAX_UNSENT } from "./change-state.ts";

type ChangesFrame = FromRunnerOf<"turn-changes">;
type Dispatch = PromptDispatch | WorkflowDispatch;

export interface TurnChangesOptions {
  readonly workspace: string;
  readonly stateFolder: string;
  /** The environment, from which git receives only the variables that it needs. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly tracer: RunnerTracer;
  readonly secrets: Pick<SecretValues, "redact">;
  /** Returns the last spans, if they fit into this many bytes; otherwise they are sent by themselves. */
  takeSpans(maxBytes: number): SpanFrame | undefined;
  /** Sends a frame if there is a link. */
  send(frame: ChangesFrame): unknown;
  /** Receives problems after which work continues; never quotes content. */
  onProblem(problem: string): void;
  readonly takeMs?: number;
  /** Returns what stands before git on its command line, so that it sees only the agent's files and this folder of the runner's. */
  readonly enclose?: ((folder: string) => readonly string[]) | undefined;
}

/** A workspace that is a clean checkout. */
export interface FreshCheckout {
  /** Its commit; absent if the repository has none. */
  readonly revision?: string | undefined;
}

/** A state from which attempts start. Times are counts of what happened in this process. */
interface Baseline {
  /** When it began to be taken: what ran later may be missing from it. */
  readonly at: number;
  /** `undefined` if it is not known. Never rejects. */
  readonly snapshot: Promise<Snapshot | undefined>;
}

interface Job {
  readonly attemptId: string;
  readonly from: number;
  to: number | undefined;
  /** Absent for attempts of an earlier runner. */
  readonly baseline: Baseline | undefined;
  /** Whether it called no tool, and a look after its end found nothing: others need not name it. */
  isWithoutChanges?: boolean;
}

const MAX_JOBS = 1000;
const MAX_SHARED = 100;

export class TurnChanges {
  readonly #options: TurnChangesOptions;
  readonly #state: ChangeState | undefined;
  readonly #snapshots: Snapshots;
  readonly #stopping = new AbortController();
  readonly #taking = new Set<Promise<void>>();
  readonly #unsent = new Map<string, ChangesFrame>();
  /** States that a running comparison reads. */
  readonly #reading = new Map<Baseline, number>();
  #jobs: Job[] = [];
  #now = 0;
  #latest: Baseline = { at: 0, snapshot: Promise.resolve(undefined) };
  /** Whether the session has a repository, or has had one. */
  #hasRepository = false;
  /** Whether the SessionAgent of the current link takes the frame. */
  isWanted = false;

  constructor(options: TurnChangesOptions) {
    this.#options = options;
    this.#state = this.#try(() => new ChangeState(options.stateFolder));
    const folder = this.#state?.folder ?? options.stateFolder;
    const { workspace, env, enclose } = options;
    this.#snapshots = new Snapshots({ workspace, folder, env, enclosure: enclose?.(folder) });
    for (const frame of this.#try(() => this.#state?.readUnsent()) ?? []) this.#unsent.set(frame.attemptId, frame);
  }

  /**
   * Finds out the state before the first attempt, once the repository is set up. Earlier runners may have kept it.
   * @param fresh the commit, if it was just cloned, so that its state is known
   * @returns a promise that resolves once the state is known, or why it is not; nobody needs to wait for it
   */
  ready(hasRepository: boolean, fresh: FreshCheckout | undefined): Promise<unknown> {
    this.#hasRepository = hasRepository;
    const kept = this.#try(() => this.#state?.read());
    for (const attemptId of kept?.since ?? []) this.#jobs.push({ attemptId, from: 0, to: 1, baseline: undefined });
    this.#now = 2;
    const first = kept === undefined ? this.#first(fresh) : Promise.resolve(kept.latest);
    this.#latest = { at: kept === undefined ? this.#now : 0, snapshot: first };
    return first.then(() => this.#store());
  }

  /** Records that the work of an attempt begins. */
  began({ attemptId }: Dispatch): void {
    this.#jobs.push({ attemptId, from: ++this.#now, to: undefined, baseline: this.#latest });
    void this.#store();
  }

  /**
   * Finds out what an attempt changed, and reports it. Never rejects, and takes no longer than the limit. The next attempt need not
   * wait for it: then the two are named as overlapping, unless this one changed nothing.
   * @param usedTools whether it ran commands or tools; otherwise it is believed that it changed nothing if nothing is found
   */
  async ended(dispatch: Dispatch, usedTools: boolean): Promise<void> {
    const job = this.#jobs.find(({ attemptId, to }) => attemptId === dispatch.attemptId && to === undefined);
    if (job === undefined) return;
    job.to = ++this.#now;
    this.#hasRepository ||= this.#snapshots.isRepository;
    const taking = this.isWanted && this.#hasRepository ? this.#take(job, dispatch, usedTools) : Promise.resolve();
    this.#taking.add(taking);
    await taking;
    this.#taking.delete(taking);
    this.#forget();
  }

  /** Settles an attempt whose changes the SessionAgent has stored. */
  acknowledged(attemptId: string): void {
    this.#unsent.delete(attemptId);
    this.#try(() => this.#state?.forgetUnsent(attemptId));
  }

  /** Sends what is not acknowledged again, on a new link. */
  resend(): void {
    if (this.isWanted) for (const frame of this.#unsent.values()) this.#options.send(frame);
  }

  /** Ends what is running, and reports those changes as unknown. */
  async stop(): Promise<void> {
    this.#stopping.abort(new ChangesError("runner_stopped"));
    await Promise.all(this.#taking);
  }

  async #first(fresh: FreshCheckout | undefined): Promise<Snapshot | undefined> {
    if (fresh !== undefined) return snapshotOfCommit(fresh.revision);
    if (!this.#snapshots.isRepository) return undefined;
    const signal = this.#signal();
    return within(signal, this.#snapshots.take(signal)).catch(() => undefined);
  }

  async #take(job: Job, dispatch: Dispatch, usedTools: boolean): Promise<void> {
    const { tracer, secrets } = this.#options;
    const startMs = performance.now();
    // The end of the attempt is sent first.
    await nextTick();
    const span = tracer.startSpan("valet.turn.changes", { parent: undefined, ...spanOptions(dispatch) });
    const signal = this.#signal();
    let measured: MeasuredChanges | undefined;
    let unknown: ChangesUnknown | undefined;
    const read: Baseline[] = job.baseline === undefined ? [] : [job.baseline];
    this.#count(read, 1);
    try {
      measured = await within(
        signal,
        (async () => {
          const at = ++this.#now;
          const before = await job.baseline?.snapshot;
          const after = await this.#snapshots.take(signal, before);
          const next: Baseline = { at, snapshot: Promise.resolve(after) };
          read.push(next);
          this.#count([next], 1);
          if (at > this.#latest.at) this.#latest = next;
          if (before === undefined) throw new ChangesError("no_baseline");
          return await compareSnapshots(this.#snapshots, before, after, (text) => secrets.redact(text), signal);
        })(),
      );
    } catch (error) {
      unknown = error instanceof ChangesError ? error.reason : "git_failed";
      if (!(error instanceof ChangesError)) this.#options.onProblem(`a turn's changes: ${exceptionType(error)}`);
    }
    job.isWithoutChanges = !usedTools && measured !== undefined && isEmpty(measured);
    this.#count(read, -1);
    void this.#dropUnused(read);
    this.#report(job, span, measured, unknown, performance.now() - startMs);
  }

  #report(
    job: Job,
    span: SpanOf<"valet.turn.changes">,
    measured: MeasuredChanges | undefined,
    unknown: ChangesUnknown | undefined,
    tookMs: number,
  ): void {
    const { takeSpans, send } = this.#options;
    const sharedWith = job.isWithoutChanges ? [] : this.#sharedWith(job);
    const facts = measured?.facts;
    span.setAttributes({
      "valet.changes.commit_count": facts?.commits ?? undefined,
      "valet.changes.file_count": facts?.files_changed,
      "valet.changes.line_added_count": facts?.lines_added,
      "valet.changes.line_removed_count": facts?.lines_removed,
      "valet.changes.shared_count": sharedWith.length > 0 ? sharedWith.length : undefined,
      "valet.changes.unknown": unknown,
      "valet.changes.branch": facts?.head_branch ?? undefined,
      "vcs.ref.head.revision": facts?.head_revision ?? undefined,
    });
    if (unknown === undefined) endWith(span, "ok");
    else endWith(span, "skipped", "changes_unknown");
    const frame: ChangesFrame = {
      type: "turn-changes",
      attemptId: job.attemptId,
      sharedWith,
      tookMs,
      ...withoutUndefined({ facts, unknown, patch: measured?.patch?.toString("base64") }),
    };
    this.#keepUnsent(frame);
    const spans = takeSpans(MAX_LINK_FRAME_BYTES - Buffer.byteLength(JSON.stringify(frame)));
    send(spans === undefined ? frame : { ...frame, spans });
  }

  #keepUnsent(frame: ChangesFrame): void {
    this.#unsent.set(frame.attemptId, frame);
    this.#try(() => this.#state?.keepUnsent(frame));
    const [oldest] = this.#unsent.keys();
    if (this.#unsent.size > MAX_UNSENT && oldest !== undefined) this.acknowledged(oldest);
  }

  /** Returns the other attempts that ran between the state before this one and now, and may have changed something. */
  #sharedWith({ attemptId, baseline }: Job): string[] {
    const from = baseline?.at ?? 0;
    const mayShare = ({ to, isWithoutChanges }: Job) => (to === undefined || to > from) && isWithoutChanges !== true;
    const others = this.#jobs.filter((job) => job.attemptId !== attemptId && mayShare(job));
    return others.slice(-MAX_SHARED).map((job) => job.attemptId);
  }

  #count(baselines: readonly Baseline[], by: 1 | -1): void {
    for (const baseline of baselines) {
      const readers = (this.#reading.get(baseline) ?? 0) + by;
      if (readers > 0) this.#reading.set(baseline, readers);
      else this.#reading.delete(baseline);
    }
  }

  /** Forgets the attempts that no state lacks any more, and the states from which none started. */
  #forget(): void {
    const running = this.#jobs.filter(({ to }) => to === undefined);
    const from = Math.min(this.#latest.at, ...running.map(({ baseline }) => baseline?.at ?? 0));
    const isNeeded = ({ to }: Job) => to === undefined || to > from;
    const gone = this.#jobs.filter((job) => !isNeeded(job)).flatMap(({ baseline }) => baseline ?? []);
    this.#jobs = this.#jobs.filter(isNeeded).slice(-MAX_JOBS);
    void this.#dropUnused([...new Set(gone)]);
    void this.#store();
  }

  async #dropUnused(baselines: readonly Baseline[]): Promise<void> {
    for (const baseline of baselines) {
      const { objects } = (await baseline.snapshot) ?? {};
      const isStart = baseline === this.#latest || this.#jobs.some((job) => job.baseline === baseline);
      const isUsed = isStart || this.#reading.has(baseline);
      if (!isUsed) await this.#snapshots.drop(objects);
    }
  }

  async #store(): Promise<void> {
    const { at, snapshot } = this.#latest;
    const latest = await snapshot;
    if (latest === undefined || at !== this.#latest.at) return;
    const since = this.#jobs.filter(({ to }) => to === undefined || to > at).map(({ attemptId }) => attemptId);
    this.#try(() => this.#state?.write({ latest, since: since.slice(-MAX_JOBS) }));
  }

  #signal(): AbortSignal {
    const timeout = new AbortController();
    const { takeMs = CHANGES_LIMITS.takeMs } = this.#options;
    setTimeout(() => timeout.abort(new ChangesError("timeout")), takeMs).unref();
    return AbortSignal.any([timeout.signal, this.#stopping.signal]);
  }

  /** Reports errors of the file system instead of throwing: a full disk must not end the work. */
  #try<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      this.#options.onProblem(`the state of changes cannot be kept: ${(error as NodeJS.ErrnoException).code}`);
      return undefined;
    }
  }
}

const isEmpty = ({ facts }: MeasuredChanges) => facts.commits === 0 && facts.files_changed === 0;

function spanOptions(dispatch: Dispatch) {
  const { attemptId, channel, traceparent, tracestate } = dispatch;
  const context = extractFromHeaders({ traceparent, tracestate });
  return {
    links: context === undefined ? [] : [{ context, attributes: { "valet.link.type": "follows" } } as const],
    attributes: {
      "valet.dispatch.attempt_id": attemptId,
      "valet.channel.id": channel,
      ...("messageId" in dispatch
        ? { "valet.message.id": dispatch.messageId }
        : { "valet.workflow.execution.id": dispatch.executionId }),
    },
  };
}

/** Waits for `work`, but no longer than the signal allows, whatever hangs. @throws the signal's reason */
async function within<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  work.catch(() => {});
  aborted.catch(() => {});
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
