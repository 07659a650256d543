/**
 * What this sandbox's runners have promised: attempts accepted, and how they ended. It is written before the SessionAgent is
 * told, so that a runner that takes the place of one that died knows what to answer for, and no attempt runs twice.
 */
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, statSync, writeFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { FromRunner, type FromRunnerOf } from "@valet/shared/protocol/runner-link";
import { z } from "zod";

/** How an attempt ended: what is owed until it is acknowledged. */
export type AttemptEnded = FromRunnerOf<"turn-ended"> | FromRunnerOf<"workflow-ended">;
export type StepFrame = FromRunnerOf<"workflow-step">;

/** An attempt that is being worked on, or was when the runner before this one died. */
export interface RunningAttempt {
  readonly attemptId: string;
  /** Its `valet.turn` or `valet.workflow.execute`, open, as `serialiseSpan` writes it; none if the runner died before it. */
  readonly span: string | undefined;
  /** Of a workflow: the last that was told of each step, in order. */
  readonly steps?: readonly StepFrame[];
}

const Line = z.discriminatedUnion("is", [
  z.object({
    is: z.literal("accepted"),
    attemptId: z.string(),
    generation: z.number(),
    isWorkflow: z.boolean().optional(),
  }),
  z.object({ is: z.literal("begun"), attemptId: z.string(), span: z.string() }),
  z.object({ is: z.literal("step"), frame: z.string() }),
  z.object({ is: z.literal("ended"), frame: z.string() }),
  z.object({ is: z.literal("settled"), attemptId: z.string() }),
]);
type Line = z.infer<typeof Line>;

/** The steps that were told of, by their index. */
type Steps = ReadonlyMap<number, StepFrame>;

type Attempt =
  | { readonly is: "running"; readonly span: string | undefined; readonly steps: Steps | undefined }
  | { readonly is: "ended"; readonly frame: AttemptEnded }
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
  accept(attemptId: string, isWorkflow = false): void {
    this.#write(acceptedLine(attemptId, this.#generation, isWorkflow));
    this.#attempts.set(attemptId, begun(isWorkflow));
  }

  /** The work has begun under this span. @throws what the file system says */
  begin(attemptId: string, span: string): void {
    this.#replay({ is: "begun", attemptId, span });
    this.#write({ is: "begun", attemptId, span });
  }

  /** A step of a workflow in work has begun or ended. @throws what the file system says; it is kept in memory */
  step(frame: StepFrame): void {
    const line: Line = { is: "step", frame: JSON.stringify(frame) };
    this.#replay(line);
    this.#write(line);
  }

  /** The work is done, and its result kept until it is acknowledged. @throws what the file system says; it is kept in memory */
  end(frame: AttemptEnded): void {
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
      attempt.is === "running" ? [runningAttempt(attemptId, attempt)] : [],
    );
  }

  /** Results that have not been acknowledged, in order. */
  unacknowledged(): AttemptEnded[] {
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
        if (line.generation === this.#generation) this.#attempts.set(line.attemptId, begun(line.isWorkflow === true));
        break;
      case "begun": {
        const attempt = this.#attempts.get(line.attemptId);
        if (attempt?.is === "running") this.#attempts.set(line.attemptId, { ...attempt, span: line.span });
        break;
      }
      case "step": {
        const frame = readFrame(line.frame);
        const attempt = frame?.type === "workflow-step" ? this.#attempts.get(frame.attemptId) : undefined;
        if (frame?.type !== "workflow-step" || attempt?.is !== "running") break;
        const steps = new Map(attempt.steps).set(frame.state.index, frame);
        this.#attempts.set(frame.attemptId, { ...attempt, steps });
        break;
      }
      case "ended": {
        const frame = readFrame(line.frame);
        const isEnd = frame?.type === "turn-ended" || frame?.type === "workflow-ended";
        if (isEnd && this.#attempts.has(frame.attemptId)) {
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

function begun(isWorkflow: boolean): Attempt {
  return { is: "running", span: undefined, steps: isWorkflow ? new Map() : undefined };
}

function runningAttempt(attemptId: string, { span, steps }: Attempt & { is: "running" }): RunningAttempt {
  return { attemptId, span, ...(steps !== undefined && { steps: [...steps.values()] }) };
}

function acceptedLine(attemptId: string, generation: number, isWorkflow: boolean): Line {
  return { is: "accepted", attemptId, generation, ...(isWorkflow && { isWorkflow }) };
}

function linesOf(attemptId: string, attempt: Attempt, generation: number): Line[] {
  const isWorkflow = attempt.is === "running" && attempt.steps !== undefined;
  const accepted = acceptedLine(attemptId, generation, isWorkflow);
  switch (attempt.is) {
    case "running": {
      const begun: Line[] = attempt.span === undefined ? [] : [{ is: "begun", attemptId, span: attempt.span }];
      const steps = [...(attempt.steps?.values() ?? [])];
      return [accepted, ...begun, ...steps.map((step): Line => ({ is: "step", frame: JSON.stringify(step) }))];
    }
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

function readFrame(text: string): FromRunner | undefined {
  try {
    return FromRunner.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
