/** The records of attempts in this sandbox. */
import { FromRunner, type FromRunnerOf } from "@valet/shared/protocol/runner-link";

/** How an attempt ended. The runner resends it until the SessionAgent acknowledges it. */
export type AttemptEnded = FromRunnerOf<"turn-ended"> | FromRunnerOf<"workflow-ended">;
export type StepFrame = FromRunnerOf<"workflow-step">;

/** The last frame of each step that the runner reported, by the step's index. */
export type Steps = ReadonlyMap<number, StepFrame>;

export type Attempt =
  | {
      readonly is: "running";
      /** Its open `valet.turn` or `valet.workflow.execute` as `serialiseSpan` writes it; `undefined` until the span begins. */
      readonly span: string | undefined;
      /** Only of a workflow. */
      readonly steps: Steps | undefined;
    }
  | { readonly is: "ended"; readonly frame: AttemptEnded }
  | { readonly is: "settled" };

/** Reads a stored frame; `undefined` if this version does not know it. */
export function readFrame(text: string): FromRunner | undefined {
  try {
    return FromRunner.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
