/**
 * What this sandbox's runners have promised: attempts accepted, and how they ended. It is written before the SessionAgent is
 * told, so that a runner that takes the place of one that died knows what to answer for, and no attempt runs twice.
 */
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, statSync, writeFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { FromRunner, type FromRunnerOf } from "@valet/shared/protocol/runner-link";
import { z } from "zod";

export type TurnEnded = FromRunnerOf<"turn-ended">;

/** An attempt that is being worked on, or was when the runner before this one died. */
export interface RunningAttempt {
  readonly attemptId: string;
  /** Its `valet.turn`, open, as `serialiseSpan` writes it; none if the runner died before there was one. */
  readonly span: string | undefined;
}

const Line = z.discriminatedUnion("is", [
  z.object({ is: z.literal("accepted"), attemptId: z.string(), generation: z.number() }),
  z.object({ is: z.literal("begun"), attemptId: z.string(), span: z.string() }),
  z.object({ is: z.literal("ended"), frame: z.string() }),
  z.object({ is: z.literal("settled"), attemptId: z.string() }),
]);
type Line = z.infer<typeof Line>;

type Attempt =
  | { readonly is: "running"; readonly span: string | undefined }
  | { readonly is: "ended"; readonly frame: TurnEnded }
  | { readonly is: "settled" };

/** Settled attempts that are remembered, so that a dispatch that comes again finds itself done. */
const MAX_SETTLED = 1000;
/** What the file may grow to before it is written anew. */
const MAX_GROWTH_BYTES = 1024 * 1024;

export class Journal {
  readonly #path: string;
  readonly #generation: number;
  readonly #attempts = new Map<string, Attempt>();
  /** Epoch ms: when an earlier runner of this generation last wrote; `undefined` when there was none. */
  readonly lastWriteMs: number | undefined;
  #file: number;
  #grownBytes = 0;

  /**
   * Reads what earlier runners wrote. Attempts of another generation are forgotten: their session has given them up.
   * @throws when the file can be neither read nor made
   */
  constructor(path: string, generation: number) {
    this.#path = path;
    this.#generation = generation;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#read();
    this.lastWriteMs = this.#attempts.size > 0 ? statSync(path).mtimeMs : undefined;
    this.#file = this.#rewrite();
  }

  /** What is known of an attempt; `undefined` when it never came here. */
  stateOf(attemptId: string): Attempt["is"] | undefined {
    return this.#attempts.get(attemptId)?.is;
  }

  /** Promises the work. @throws what the file system says; then it is not promised */
  accept(attemptId: string): void {
    this.#write({ is: "accepted", attemptId, generation: this.#generation });
    this.#attempts.set(attemptId, { is: "running", span: undefined });
  }

  /** The work has begun under this span. @throws what the file system says */
  begin(attemptId: string, span: string): void {
    this.#attempts.set(attemptId, { is: "running", span });
    this.#write({ is: "begun", attemptId, span });
  }

  /** The work is done, and its result kept until it is acknowledged. @throws what the file system says; it is kept in memory */
  end(frame: TurnEnded): void {
    this.#attempts.set(frame.attemptId, { is: "ended", frame });
    this.#write({ is: "ended", frame: JSON.stringify(frame) });
  }

  /** Nothing more is owed for this attempt; also one that was refused after all. @throws what the file system says */
  settle(attemptId: string): void {
    if (this.stateOf(attemptId) === undefined) return;
    // Set anew, so that the order is that of settling.
    this.#attempts.delete(attemptId);
    this.#attempts.set(attemptId, { is: "settled" });
    const settled = [...this.#attempts].filter(([, { is }]) => is === "settled");
    for (const [id] of settled.slice(0, -MAX_SETTLED)) this.#attempts.delete(id);
    this.#write({ is: "settled", attemptId });
    if (this.#grownBytes > MAX_GROWTH_BYTES) {
      const old = this.#file;
      this.#file = this.#rewrite();
      closeSync(old);
    }
  }

  running(): RunningAttempt[] {
    return [...this.#attempts].flatMap(([attemptId, attempt]) =>
      attempt.is === "running" ? [{ attemptId, span: attempt.span }] : [],
    );
  }

  /** Results that have not been acknowledged, in order. */
  unacknowledged(): TurnEnded[] {
    return [...this.#attempts.values()].flatMap((attempt) => (attempt.is === "ended" ? [attempt.frame] : []));
  }

  close(): void {
    closeSync(this.#file);
  }

  #read(): void {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw error;
    }
    for (const line of text.split("\n")) {
      const read = readLine(line);
      if (read !== undefined) this.#replay(read);
    }
  }

  #replay(line: Line): void {
    switch (line.is) {
      case "accepted":
        if (line.generation === this.#generation)
          this.#attempts.set(line.attemptId, { is: "running", span: undefined });
        break;
      case "begun":
        if (this.#attempts.has(line.attemptId)) this.#attempts.set(line.attemptId, { is: "running", span: line.span });
        break;
      case "ended": {
        const frame = readFrame(line.frame);
        if (frame !== undefined && this.#attempts.has(frame.attemptId)) {
          this.#attempts.set(frame.attemptId, { is: "ended", frame });
        }
        break;
      }
      case "settled":
        if (this.#attempts.has(line.attemptId)) this.#attempts.set(line.attemptId, { is: "settled" });
    }
  }

  /** Writes what counts into a new file that takes the old one's place at once. Returns the new one, open at its end. */
  #rewrite(): number {
    const next = `${this.#path}.new`;
    const lines = [...this.#attempts].flatMap(([attemptId, attempt]) => linesOf(attemptId, attempt, this.#generation));
    writeFileSync(next, lines.map((line) => `${JSON.stringify(line)}\n`).join(""), { mode: 0o600 });
    const file = openSync(next, "a");
    renameSync(next, this.#path);
    this.#grownBytes = 0;
    return file;
  }

  #write(line: Line): void {
    // A line begins with a line end too: one that was cut short by a full disk must not take the next with it.
    const bytes = Buffer.from(`\n${JSON.stringify(line)}\n`);
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#file, bytes, done);
    this.#grownBytes += bytes.length;
  }
}

function linesOf(attemptId: string, attempt: Attempt, generation: number): Line[] {
  const accepted: Line = { is: "accepted", attemptId, generation };
  switch (attempt.is) {
    case "running":
      return attempt.span === undefined ? [accepted] : [accepted, { is: "begun", attemptId, span: attempt.span }];
    case "ended":
      return [accepted, { is: "ended", frame: JSON.stringify(attempt.frame) }];
    case "settled":
      return [accepted, { is: "settled", attemptId }];
  }
}

/** A line that was cut short by the death of its writer is as if it had not been written. */
function readLine(text: string): Line | undefined {
  try {
    return Line.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

function readFrame(text: string): TurnEnded | undefined {
  try {
    const { data } = FromRunner.safeParse(JSON.parse(text));
    return data?.type === "turn-ended" ? data : undefined;
  } catch {
    return undefined;
  }
}
