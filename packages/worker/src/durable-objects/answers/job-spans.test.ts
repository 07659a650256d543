import type { WhySpan } from "@valet/shared/answers/why/spans";
import { expect, test } from "vitest";
import { TURN } from "../../../test/turn-record.ts";
import type { AttemptRow, JobRow } from "../queue/job-store.ts";
import { JobSpans } from "./job-spans.ts";

const ROW = { id: "msg", status: "done", attemptId: "c", unaccepted: 0 } as JobRow;

/** What is recorded of a job that had three attempts, if spans name so many of them besides the last. */
function recorded(named: readonly string[], accepted: readonly string[], row: Partial<JobRow> = {}) {
  const attemptOf = (id: string) => ({
    id,
    jobIds: ["msg"],
    state: "ended",
    acceptedMs: accepted.includes(id) ? 1 : null,
  });
  const spans = new JobSpans({
    jobs: { attempt: (id: string) => attemptOf(id) as unknown as AttemptRow, doneBefore: () => undefined },
    records: {
      ofAttempts: (ids) => accepted.filter((id) => ids.includes(id)).map((id) => ({ ...TURN, attempt_id: id })),
    },
    spansOf: () => [],
    endContext: () => undefined,
  });
  const dispatches = named.map((id) => ({
    name: "valet.prompt.dispatch",
    attributes: { "valet.dispatch.attempt_id": id },
  }));
  const { turns, lacksTurns } = spans.recordsOf({ ...ROW, attempts: 3, ...row }, dispatches as unknown as WhySpan[]);
  return [turns.map(({ attempt_id }) => attempt_id), lacksTurns];
}

test("turns are missing where no span names an earlier attempt, unless the runner did not accept it", () => {
  expect(recorded(["a", "b"], ["a", "b", "c"])).toEqual([["a", "b", "c"], false]);
  expect(recorded(["b"], ["a", "b", "c"])).toEqual([["b", "c"], true]);
  expect(recorded([], ["c"], { attempts: 1 })).toEqual([["c"], false]);
  expect(recorded([], ["c"], { unaccepted: 2 })).toEqual([["c"], false]);
  expect(recorded(["a"], ["b", "c"], { unaccepted: 1 })).toEqual([["c"], true]);
});
