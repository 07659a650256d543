/** Attempts over the rooms of a unit test, and the frames of a runner. */
import type { FromRunnerOf } from "@valet/shared/protocol/runner-link";
import type { TurnSummary } from "@valet/shared/protocol/turn";
import { INTERVALS } from "../src/config.ts";
import { Attempts } from "../src/durable-objects/dispatch/attempts.ts";
import { Watchdogs } from "../src/durable-objects/dispatch/watchdogs.ts";
import type { AttemptFrame } from "../src/durable-objects/link/frame-router.ts";
import type { AttemptRow } from "../src/durable-objects/queue/job-store.ts";
import type { Rooms } from "./rooms.ts";

/** How long ago the last frame of the previous runner arrived. */
export const UNHEARD_MS = 7000;

export const SUMMARY: TurnSummary = {
  turnMs: 10,
  modelMs: 5,
  toolMs: 0,
  permissionWaitMs: 0,
  modelCalls: 1,
  toolCalls: 0,
  toolErrors: 0,
  retries: 0,
  tokens: { input: 1, output: 1, cacheRead: null, cacheWrite: null, reasoning: null },
  costUsd: null,
};

/** @param store stores the output of attempts, which otherwise is only remembered */
export function follow(rooms: Rooms, store: (frame: AttemptFrame) => void = () => {}) {
  /** What the room `conversation` received, in order. */
  const taken: (readonly [attemptId: string, frame: AttemptFrame["type"]])[] = [];
  /** The announced spans, in order. */
  const announced: (readonly [instanceId: string, name: string])[] = [];
  const output = { isNew: true };
  /** Whether the span frames that ends carry can be stored. */
  const spans = { areStored: true };
  const watchdogs = new Watchdogs({ ...rooms, intervals: INTERVALS, isWaitingForPerson: () => false });
  rooms.timers.handle(watchdogs.timerHandlers);
  const attempts = new Attempts({
    ...rooms,
    intervals: INTERVALS,
    watchdogs,
    output: {
      add: ({ id }: AttemptRow, frame: AttemptFrame) => {
        taken.push([id, frame.type]);
        store(frame);
        return output.isNew;
      },
      finish: ({ id }: AttemptRow, { type }: AttemptFrame) => void taken.push([id, type]),
    },
    signs: { lastMs: () => rooms.nowMs - UNHEARD_MS },
    traces: { announce: (instanceId, { name }) => void announced.push([instanceId, name]) },
    runnerSpans: {
      take: ({ instanceId, seq }) => (spans.areStored ? { instanceId, seq } : undefined),
    },
  });
  const receive = (frame: AttemptFrame) => rooms.run(() => attempts.onFrame(frame));
  const hello = (known: readonly string[], isBack = false) =>
    rooms.run(() => attempts.onHello(helloFrame(known), isBack));
  return { attempts, taken, announced, output, spans, receive, hello };
}

function helloFrame(attempts: readonly string[]): FromRunnerOf<"hello"> {
  return {
    type: "hello",
    protocol: 1,
    instanceId: "run_2",
    generation: 1,
    clockMs: 0,
    ready: true,
    version: "1",
    attempts: [...attempts],
  };
}

export const turnEnded = (
  attemptId: string,
  more: Partial<FromRunnerOf<"turn-ended">> = {},
): FromRunnerOf<"turn-ended"> => ({
  type: "turn-ended",
  attemptId,
  outcome: "ok",
  parts: [],
  summary: SUMMARY,
  ...more,
});
export const workflowEnded = (
  attemptId: string,
  more: Partial<FromRunnerOf<"workflow-ended">> = {},
): FromRunnerOf<"workflow-ended"> => ({
  type: "workflow-ended",
  attemptId,
  outcome: "ok",
  steps: [],
  summary: SUMMARY,
  ...more,
});
