/**
 * Random courses of a session beside a model of it: messages, lifecycle requests, runners and sandboxes that fail in every way,
 * a broker that answers late or never, time passing, and the object dying in between. Whatever the course was: no message is
 * lost, no attempt is worked on twice, no state is illegal, and every operation has one span with an outcome.
 */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { describe, test } from "vitest";
import { runCourse } from "../../test/course/course.ts";
import { anyStep, type Step } from "../../test/course/steps.ts";

declare global {
  interface ImportMeta {
    /** Variables that begin with `VITE_`, which Vite hands on to every runtime. */
    readonly env: { readonly VITE_FUZZ_COURSES?: string };
  }
}

/** What one test takes: some fifteen seconds, and minutes on a machine that has much else to do. */
const COURSES_PER_TEST = 1000;
/** Courses in the ordinary suite, other ones in each run. `pnpm fuzz` sets another number. */
const ORDINARY_COURSES = 300;
const COURSES = Number(import.meta.env.VITE_FUZZ_COURSES ?? ORDINARY_COURSES);
const MAX_STEPS = 40;
/** After so many courses what they wrote is committed. */
const COMMIT_AFTER = 50;

const { STORAGE } = env as unknown as { STORAGE: DurableObjectNamespace };
const storage = STORAGE.get(STORAGE.idFromName("courses"));

for (let done = 0; done < COURSES; done += COURSES_PER_TEST) {
  const numRuns = Math.min(COURSES_PER_TEST, COURSES - done);
  const from = COURSES > COURSES_PER_TEST ? `, from course ${done + 1}` : "";
  test(
    `whatever happens, every message ends once and every operation has an outcome${from}`,
    { timeout: 600_000 },
    () =>
      runInDurableObject(storage, async (_object, state) => {
        let courses = 0;
        const steps = fc.array(anyStep, { maxLength: MAX_STEPS, size: "max" });
        const property = fc.asyncProperty(steps, fc.boolean(), async (steps, hasBackend) => {
          await runCourse(state, steps, hasBackend);
          if (++courses % COMMIT_AFTER === 0) await scheduler.wait(0);
        });
        await fc.assert(property, { numRuns, includeErrorInReport: true });
      }),
  );
}

const started: Step[] = [{ do: "answer", nth: 0, how: "ok" }, { do: "boot" }];
const message: Step = { do: "send", channel: "a", mode: "followup" };

/** Random courses seldom come this far. */
test("a permission is asked for again on a new link, answered twice, and closed with its turn", () => {
  const steps: Step[] = [
    ...started,
    message,
    { do: "take" },
    { do: "ask", nth: 0 },
    { do: "drop" },
    { do: "boot" },
    { do: "reply", nth: 0 },
    { do: "take" },
    { do: "ask", nth: 0 },
    { do: "finish", nth: 0, outcome: "ok" },
    { do: "reply", nth: 0 },
    { do: "take" },
    { do: "end-other", nth: 0 },
    { do: "alarm" },
  ];
  return runInDurableObject(storage, (_object, state) => runCourse(state, steps));
});

/** Courses that once went wrong. */
describe("cases that failed before", () => {
  test.each<[string, Step[], boolean?]>([
    [
      "a report of lost spans that the backend rejects is not reported in turn, so a deletion comes to its end",
      [
        { do: "answer", nth: 0, how: "full" },
        { do: "backend", mode: "partial" },
        { do: "delete" },
        { do: "pass", ms: 910_000 },
      ],
      true,
    ],
    [
      "a frame that cannot be read, of a runner that ends before it is acknowledged, is known to the object alone",
      [
        { do: "answer", nth: 0, how: "ok" },
        { do: "garble" },
        message,
        { do: "boot" },
        { do: "take" },
        { do: "finish", nth: 0, outcome: "ok" },
        { do: "boot" },
      ],
    ],
    [
      "an attempt that is stopped before the runner accepted it is no turn",
      [...started, { ...message, dies: 0 }, { ...message, mode: "steer" }, { do: "pass", ms: 130_000 }],
    ],
    [
      "an open turn of a hanging runner is sealed even if the sandbox ends regularly",
      [...started, message, { do: "take" }, { do: "hang" }, { do: "terminate" }],
    ],
    ["a sandbox that a dead object requested is ended even if the session ends first", [{ do: "terminate", dies: 0 }]],
    [
      "a sandbox whose creation was never confirmed is ended",
      [{ do: "answer", nth: 0, how: "reset" }, { do: "terminate" }],
    ],
    [
      "a steered turn is superseded, even if its runner dies before it reports that",
      [...started, message, { do: "take" }, { do: "restart", dies: 0 }, { ...message, mode: "steer", dies: 0 }],
    ],
    [
      "a grace period that ends during a hibernate takes effect when the hibernate fails",
      [
        { do: "answer", nth: 0, how: "ok" },
        { do: "boot", dies: 0 },
        { do: "vanish" },
        { do: "hibernate", dies: 0 },
        { do: "pass", ms: 310_000 },
        message,
      ],
    ],
    [
      "a batch is dispatched even if the clock is set back",
      [...started, { ...message, mode: "collect" }, { do: "set-back", ms: 6000 }, { do: "hibernate" }, { do: "take" }],
    ],
    [
      "a session that has ended waits for its retention period while a call of a dead object is still unanswered",
      [
        { do: "answer", nth: 0, how: "ok" },
        { do: "pass", ms: 50, dies: 0 },
        { do: "terminate" },
        { do: "answer", nth: 3, how: "ok" },
        { do: "pass", ms: 100_000 },
      ],
    ],
  ])("%s", (_what, steps, hasBackend) =>
    runInDurableObject(storage, (_object, state) => runCourse(state, steps, hasBackend)),
  );
});
