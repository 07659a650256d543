/** Passes each frame of the runner to its handler. Pure. */
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import type { RunnerFrame } from "./link-event.ts";

/** A frame about one attempt. */
export type AttemptFrame = Exclude<
  Extract<RunnerFrame, { readonly attemptId: string }>,
  FromRunnerOf<"turn-changes" | "child-session-request">
>;

/** The handlers of the frames. */
export interface FrameRoutes {
  readonly attempt: (frame: AttemptFrame) => void;
  readonly stage: (frame: FromRunnerOf<"stage">) => void;
  readonly warnings: (frame: FromRunnerOf<"warnings">) => void;
  readonly stopped: () => void;
  readonly background: (frame: FromRunnerOf<"background">) => void;
  readonly changes: (frame: FromRunnerOf<"turn-changes">) => void;
  readonly childSession: (frame: FromRunnerOf<"child-session-request">) => void;
}

export function routeFrame(frame: RunnerFrame, routes: FrameRoutes): void {
  switch (frame.type) {
    case "stage":
      return routes.stage(frame);
    case "warnings":
      return routes.warnings(frame);
    case "stopped":
      return routes.stopped();
    case "background":
      return routes.background(frame);
    case "turn-changes":
      return routes.changes(frame);
    case "child-session-request":
      return routes.childSession(frame);
    default:
      return routes.attempt(frame);
  }
}
