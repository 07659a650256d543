/** Whatever becomes of its attempts, and of the frames about them: a workflow runs the command of a step at most once. */
import type { FromRunnerOf, ToRunner } from "@valet/shared/protocol/runner-link";
import fc from "fast-check";
import { expect, test } from "vitest";
import { follow } from "../../../test/attempts.ts";
import { inRooms, type Rooms } from "../../../test/rooms.ts";
import type { WorkflowBody } from "../queue/job-store.ts";

type Steps = WorkflowBody["steps"];
type StepFrame = FromRunnerOf<"workflow-step">;

const PROMPT = { name: "ask", prompt: "Do it." };
const COMMAND = { name: "run", run: "make" };

const anySteps: fc.Arbitrary<Steps> = fc.array(fc.constantFrom(PROMPT, COMMAND), { minLength: 1, maxLength: 4 });

/** What can happen; `nth` says to which attempt, the newest first. */
const anyEvent = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("work" as const), nth: fc.nat(1) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("deliver" as const), nth: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("cut" as const, "die" as const), nth: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("lose" as const, "late" as const), nth: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.constant({ do: "restart" as const, nth: 0 }) },
);

const events = (nth: number, ...all: readonly ("work" | "deliver" | "cut" | "lose")[]) =>
  all.map((each) => ({ do: each, nth }));

/** The prompt's end is lost, and the command begins; then the runner is lost, and the next one works. */
const LOST_END = [
  ...events(0, "work", "work", "cut", "work", "deliver", "deliver", "lose"),
  ...events(0, "work", "work", "work", "deliver", "deliver", "deliver", "deliver"),
];

/** A runner's work on one attempt, as `Workflow` does it: a command begins once its step is acknowledged. */
class Work {
  readonly attemptId: string;
  readonly #steps: Steps;
  readonly #begun: (index: number) => void;
  readonly #told: (StepFrame | FromRunnerOf<"attempt-accepted">)[];
  #index: number;
  #step: StepFrame | undefined;
  #isWaiting = false;
  isOver = false;

  constructor(attemptId: string, steps: Steps, firstStep: number, begun: (index: number) => void) {
    this.attemptId = attemptId;
    this.#steps = steps;
    this.#index = firstStep;
    this.#begun = begun;
    this.#told = [{ type: "attempt-accepted", attemptId }];
  }

  /** Ends the running step, or begins the next one. */
  work(): void {
    const step = this.#steps[this.#index];
    if (this.isOver || this.#isWaiting || step === undefined) return;
    if (this.#step === undefined) {
      this.#isWaiting = step === COMMAND;
      this.#tell({ index: this.#index, status: "running" }, this.#isWaiting);
    } else {
      this.#tell({ index: this.#index++, status: "done", outcome: "ok" }, false);
      this.#step = undefined;
    }
  }

  #tell(state: StepFrame["state"], waits: boolean): void {
    this.#step = { type: "workflow-step", attemptId: this.attemptId, state, ...(waits && { waits }) };
    this.#told.push(this.#step);
  }

  next() {
    return this.#told.shift();
  }

  /** The link breaks: what was on its way is lost. The next one begins with what is running. */
  cut(): void {
    this.#told.splice(0);
    this.#told.push({ type: "attempt-accepted", attemptId: this.attemptId });
    if (this.#step !== undefined) this.#told.push(this.#step);
  }

  receive(frame: ToRunner): void {
    if (!("attemptId" in frame) || frame.attemptId !== this.attemptId || this.isOver) return;
    if (frame.type === "abort") this.isOver = true;
    if (frame.type !== "workflow-step-ack" || !this.#isWaiting || frame.index !== this.#index) return;
    this.#isWaiting = false;
    this.#begun(frame.index);
  }
}

test("a command begins once, in whatever order attempts are lost, taken back and repeated, and their frames come", () =>
  inRooms((rooms) => {
    let runs = 0;
    fc.assert(
      fc.property(anySteps, fc.array(anyEvent, { maxLength: 40 }), (steps, events) => {
        const id = `w${++runs}`;
        rooms.workflow(id, { steps });
        const begun: number[] = [];
        const works: Work[] = [];
        const course = follow(rooms, (frame) => {
          if (frame.type === "workflow-step") rooms.workflows.record(id, frame.state);
        });
        for (const { do: event, nth } of events) {
          dispatch(rooms, id, steps, works, (index) => begun.push(index));
          const work = works.at(-1 - nth);
          if (work === undefined) continue;
          if (event === "work") work.work();
          else if (event === "cut") work.cut();
          else if (event === "die") work.isOver = true;
          else if (event === "restart") course.hello([]);
          else if (event === "lose") rooms.run(() => rooms.queue.lose(work.attemptId, false, rooms.nowMs));
          else if (event === "late") {
            const isLate = rooms.attempt(work.attemptId).state === "dispatched";
            if (isLate) rooms.run(() => rooms.queue.takeBack(work.attemptId, "not_accepted", 0, true));
          } else {
            const frame = work.isOver ? undefined : work.next();
            if (frame !== undefined) course.receive(frame);
            for (const sent of rooms.frames.splice(0)) for (const each of works) each.receive(sent);
          }
        }
        const commands = begun.filter((index) => steps[index] === COMMAND);
        expect(commands).toEqual([...new Set(commands)]);
        if (rooms.job(id).status !== "done") {
          for (const { attemptId } of works) rooms.run(() => rooms.queue.end(attemptId, "aborted", undefined));
          rooms.run(() => rooms.queue.endQueued(id, "aborted", "queue_cleared"));
        }
      }),
      { numRuns: 300, examples: [[[PROMPT, COMMAND], LOST_END]] },
    );
  }));

function dispatch(rooms: Rooms, id: string, steps: Steps, works: Work[], begun: (index: number) => void): void {
  if (rooms.job(id).status !== "queued") return;
  const { attempt, firstStep } = rooms.run(() => rooms.queue.dispatch([id], rooms.state.record.generation));
  works.push(new Work(attempt.id, steps, firstStep, begun));
}
