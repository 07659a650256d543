/** Measures the sandbox while work goes on, and says what each piece of work used and which limit it hit. */
import type { LimitError } from "@valet/shared/limit-errors";
import type { Usage } from "@valet/shared/protocol/turn";
import { isKilling } from "./blame.ts";
import { hitsBetween, largest, usageBetween } from "./figures.ts";
import type { Meter, Reading } from "./meter.ts";

/** A piece of work that is measured. Pieces that run at the same time share all figures, which are the sandbox's. */
export interface Measured {
  /** Ends the measurement. Idempotent. */
  end(): MeasuredWork;
}

export interface MeasuredWork {
  readonly usage: Usage;
  /** The limits that were hit meanwhile, by whichever work, in the order in which that was seen. */
  readonly limits: readonly LimitError[];
}

export interface SandboxUsageOptions {
  readonly meter: Pick<Meter, "read" | "keep">;
  /** The limit on processes and threads; `undefined` where nothing counts them. */
  readonly maxTasks: number | undefined;
  /** The limit on memory where the system does not hold it; `undefined` where it does. */
  readonly maxMemoryBytes?: number | undefined;
  /**
   * Looks at the disk, now and then while work goes on. Resolves to whether it is full: once, until it has grown further. Never rejects.
   * @param isDue whether to look even if the last look was just now
   */
  isDiskFull?(reading: Reading, isDue: boolean): Promise<boolean>;
  /** Called when work must be ended, since it is at a limit that ends nothing by itself. */
  onExhausted(limit: LimitError): void;
  /** The interval of readings, in ms. */
  readonly intervalMs?: number;
}

/** Shorter peaks are missed. */
const INTERVAL_MS = 250;
/** Of the processes that it may have: with more, a sandbox has none to spare for a command. */
const CROWDED_SHARE = 0.95;
/** How long a sandbox may be so crowded, in readings. */
const MAX_CROWDED = 12;
/** How soon after a limit was hit its process's end follows, in ms. */
const FOLLOWS_MS = 2_000;
/** The same, for a process that was killed: nothing else kills it, and a machine that is out of memory is slow to tell of it. */
const KILL_FOLLOWS_MS = 30_000;

interface Hit {
  readonly limit: LimitError;
  /** Whether the system, or the runner, killed processes for it. */
  readonly kills: boolean;
  /** When it was seen. */
  readonly atMs: number;
  /** Whether it may have been long before: nobody had looked for a while. */
  readonly isVague: boolean;
  /** How many processes were killed for it whose end it has not explained; with none left it is no longer kept for another. */
  left: number;
}

interface Window {
  readonly first: Reading;
  peakBytes: number | undefined;
  readonly limits: Set<LimitError>;
  result: MeasuredWork | undefined;
}

export class SandboxUsage {
  readonly #options: SandboxUsageOptions;
  readonly #windows = new Set<Window>();
  #last: Reading | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;
  /** The last hit of each limit that killed, and the last that only refused something, in the order of time. */
  readonly #hits = new Map<string, Hit>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #crowded = 0;
  #isLooking = false;
  /** Whether somebody has looked since the work began that goes on: the first look tells of what was before. */
  #knowsDiskBefore = false;

  constructor(options: SandboxUsageOptions) {
    this.#options = options;
    // What is hit from now on counts, also while the agent starts, when nobody looks.
    this.#read();
  }

  /** Must be called when the agent has started, before it hides from other processes of its user: what it writes is unknown otherwise. */
  agentStarted(): void {
    this.#options.meter.keep();
  }

  begin(): Measured {
    const reading = this.#read();
    const window: Window = { first: reading, peakBytes: reading.memoryBytes, limits: new Set(), result: undefined };
    // What was full before is not this work's doing, and it may be what tidies up.
    if (this.#windows.size === 0) this.#knowsDiskBefore = false;
    this.#windows.add(window);
    if (!this.#knowsDiskBefore) this.#lookAtDisk(reading);
    this.#timer ??= setInterval(() => this.#look(), this.#options.intervalMs ?? INTERVAL_MS);
    return { end: () => this.#end(window) };
  }

  /**
   * Returns the limit that ended the agent just now, if one did.
   * @param wasKilled whether the system killed its process; if omitted, nobody knows
   */
  recentLimit(wasKilled?: boolean): LimitError | undefined {
    this.#read();
    const nowMs = performance.now();
    const explains = ({ kills, isVague, left, atMs }: Hit) =>
      kills && wasKilled !== undefined
        ? wasKilled && nowMs - atMs <= (left === 0 ? FOLLOWS_MS : KILL_FOLLOWS_MS)
        : !isVague && nowMs - atMs <= FOLLOWS_MS;
    const found = [...this.#hits.values()].filter(explains);
    // A killed process was killed by what kills, whatever else it was refused.
    const killing = wasKilled ? found.findLast(({ kills }) => kills) : undefined;
    // Whatever was killed for it besides is gone with the agent.
    if (killing !== undefined) killing.left = 0;
    return (killing ?? found.at(-1))?.limit;
  }

  /** Must be called when a limit has explained the end of a program that the agent or a workflow ran: it is not kept for that one's kill. */
  explained(limit: LimitError): void {
    const hit = this.#hits.get(keyOf(limit, true));
    if (hit !== undefined) hit.left = Math.max(0, hit.left - 1);
  }

  #end(window: Window): MeasuredWork {
    if (window.result !== undefined) return window.result;
    const last = this.#read();
    this.#windows.delete(window);
    if (this.#windows.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      // Otherwise nobody could start anything the next time.
      if (this.#isCrowded(last)) this.#exhausted("sandbox_out_of_processes");
      this.#crowded = 0;
    }
    window.result = { usage: usageBetween(window.first, last, window.peakBytes), limits: [...window.limits] };
    return window.result;
  }

  /** Takes a reading, and tells all work that goes on. */
  #read(): Reading {
    const reading = this.#options.meter.read();
    const nowMs = performance.now();
    const hits = this.#last === undefined ? [] : hitsBetween(this.#last, reading);
    const isVague = nowMs - this.#lastMs > FOLLOWS_MS;
    const oomKills = (reading.oomKills ?? 0) - (this.#last?.oomKills ?? 0);
    this.#last = reading;
    this.#lastMs = nowMs;
    for (const limit of hits) this.#hit({ limit, kills: isKilling(limit), atMs: nowMs, isVague, left: oomKills });
    for (const window of this.#windows) window.peakBytes = largest(window.peakBytes, reading.memoryBytes);
    return reading;
  }

  #look(): void {
    const reading = this.#read();
    this.#crowded = this.#isCrowded(reading) ? this.#crowded + 1 : 0;
    if (this.#crowded > MAX_CROWDED) {
      this.#crowded = 0;
      this.#exhausted("sandbox_out_of_processes");
    }
    const { maxMemoryBytes = Number.POSITIVE_INFINITY } = this.#options;
    if ((reading.memoryBytes ?? 0) > maxMemoryBytes) this.#exhausted("sandbox_out_of_memory");
    this.#lookAtDisk(reading);
  }

  #lookAtDisk(reading: Reading): void {
    if (this.#options.isDiskFull === undefined || this.#isLooking) return;
    const isFirst = !this.#knowsDiskBefore;
    this.#isLooking = true;
    this.#knowsDiskBefore = true;
    void this.#options.isDiskFull(reading, isFirst).then((isFull) => {
      this.#isLooking = false;
      if (this.#windows.size === 0) return;
      // Other work has begun meanwhile, and this look tells neither what was before it nor what it did.
      if (!this.#knowsDiskBefore) this.#lookAtDisk(this.#read());
      else if (isFull && !isFirst) this.#exhausted("sandbox_disk_full");
    });
  }

  #exhausted(limit: LimitError): void {
    // The runner kills them all.
    this.#hit({ limit, kills: true, atMs: performance.now(), isVague: false, left: Number.POSITIVE_INFINITY });
    this.#options.onExhausted(limit);
  }

  #hit(hit: Hit): void {
    const key = keyOf(hit.limit, hit.kills);
    const before = this.#hits.get(key);
    if (before !== undefined && hit.atMs - before.atMs <= KILL_FOLLOWS_MS) hit.left += before.left;
    this.#hits.delete(key);
    this.#hits.set(key, hit);
    for (const { limits } of this.#windows) limits.add(hit.limit);
  }

  #isCrowded({ tasks }: Reading): boolean {
    const { maxTasks } = this.#options;
    return tasks !== undefined && maxTasks !== undefined && tasks >= CROWDED_SHARE * maxTasks;
  }
}

function keyOf(limit: LimitError, kills: boolean): string {
  return `${limit} ${kills}`;
}
