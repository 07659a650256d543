/** What is known of an attempt in this sandbox. */
import { FromRunner, type FromRunnerOf } from "@valet/shared/protocol/runner-link";

/** How an attempt ended: what is owed until it is acknowledged. */
export type AttemptEnded = FromRunnerOf<"turn-ended"> | FromRunnerOf<"workflow-ended">;
export type StepFrame = FromRunnerOf<"workflow-step">;

/** The steps that were told of, by their index. */
export type Steps = ReadonlyMap<number, StepFrame>;

export type Attempt =
  | {
      readonly is: "running";
      /** Its `valet.turn` or `valet.workflow.execute`, open, as `serialiseSpan` writes it; none until it has begun. */
      readonly span: string | undefined;
      /** Of a workflow. */
      readonly steps: Steps | undefined;
    }
  | { readonly is: "ended"; readonly frame: AttemptEnded }
  | { readonly is: "settled" };

/** Reads a frame that was stored; `undefined` where it is none that this version knows. */
export function readFrame(text: string): FromRunner | undefined {
  try {
    return FromRunner.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
