/**
 * Tests which silences end a turn, and which do not.
 */
import { expect, onTestFinished, test, vi } from "vitest";
import { dispatch, ending, holdClock, STUCK_MS, setUp, treeOf, untilCommandRuns } from "../test/recorded-turns.ts";

test("a turn without progress ends as stuck", async () => {
  holdClock();
  const { opencode, runner, started, ended } = setUp(
    { onPrompt: (prompt) => void prompt.play("simple", { until: ({ type }) => type === "message.part.delta" }) },
    { stuckTurnMs: STUCK_MS },
  );
  const { done } = runner.run(dispatch());
  await expect.poll(() => started.some(({ name }) => name.startsWith("chat "))).toBe(true);
  vi.advanceTimersByTime(STUCK_MS);
  expect(await ending(done)).toMatchObject({ outcome: "error", errorType: "stuck_turn" });
  expect(opencode.calls.some(({ path }) => path.endsWith("/abort"))).toBe(true);
  expect(ended).toHaveLength(started.length);
  expect(`\n${treeOf(started)}`).toBe(`
valet.turn error stuck_turn
  invoke_agent build error stuck_turn
    valet.agent.prepare ok
    chat scripted-1 error stuck_turn
  valet.turn.finalize ok`);
});

test("a silent command within its own time limit is not stuck, and progress is reported to the object", async () => {
  holdClock();
  let rest = () => {};
  const { runner, quiet, started } = setUp(
    {
      onPrompt: (prompt) => {
        rest = prompt.play("parallel-tools", { until: untilCommandRuns() });
      },
    },
    { stuckTurnMs: STUCK_MS },
  );
  const { attemptId, ...input } = dispatch();
  const { done } = runner.run({ attemptId, ...input });
  await expect.poll(() => started.some(({ name }) => name === "execute_tool bash")).toBe(true);
  const before = quiet.length;
  for (let silence = 1; silence <= 3; silence++) {
    vi.advanceTimersByTime(STUCK_MS);
    expect(quiet).toHaveLength(before + silence);
  }
  expect(new Set(quiet)).toEqual(new Set([attemptId]));
  rest();
  expect(await done).toMatchObject({ outcome: "ok" });
});

/** Moves the wall clock ahead, as when the machine sleeps: no timer goes on meanwhile. */
function sleepMachine(ms: number): void {
  const now = Date.now.bind(Date);
  const spied = vi.spyOn(Date, "now").mockImplementation(() => now() + ms);
  onTestFinished(() => spied.mockRestore());
}

test.each([true, false])(
  "a turn whose machine slept has its whole silence again; and progress after that: %s",
  async (goesOn) => {
    holdClock();
    let rest = () => {};
    const { runner, started, quiet } = setUp(
      {
        onPrompt: (prompt) => {
          rest = prompt.play("simple", { until: ({ type }) => type === "message.part.delta" });
        },
      },
      { stuckTurnMs: STUCK_MS },
    );
    const { done } = runner.run(dispatch());
    await expect.poll(() => started.some(({ name }) => name.startsWith("chat "))).toBe(true);
    const told = quiet.length;
    sleepMachine(3_600_000);
    // Its watchdog expires within this time.
    vi.advanceTimersByTime(STUCK_MS);
    // The object's watchdog begins anew, too.
    expect(quiet).toHaveLength(told + 1);
    if (goesOn) {
      rest();
      expect(await done).toMatchObject({ outcome: "ok" });
    } else {
      vi.advanceTimersByTime(STUCK_MS);
      expect(await ending(done)).toMatchObject({ errorType: "stuck_turn" });
    }
  },
);

test("a command whose machine slept has its whole limit again: its own timer did not go on", async () => {
  holdClock();
  let rest = () => {};
  const { opencode, runner, started } = setUp(
    {
      onPrompt: (prompt) => {
        rest = prompt.play("parallel-tools", { until: untilCommandRuns() });
      },
    },
    { stuckTurnMs: STUCK_MS },
  );
  const { done } = runner.run(dispatch());
  await expect.poll(() => started.some(({ name }) => name === "execute_tool bash")).toBe(true);
  sleepMachine(3_600_000);
  for (let silence = 1; silence <= 3; silence++) vi.advanceTimersByTime(STUCK_MS);
  expect(opencode.calls.some(({ path }) => path.endsWith("/abort"))).toBe(false);
  rest();
  expect(await done).toMatchObject({ outcome: "ok" });
});

test("a retry of a model call is progress, which is reported before the object's watchdog expires", async () => {
  holdClock();
  const { opencode, runner, quiet, started } = setUp(
    { onPrompt: (prompt) => void prompt.play("simple", { until: ({ type }) => type === "message.part.delta" }) },
    { stuckTurnMs: STUCK_MS, limits: { maxFailures: 100 } },
  );
  const { done } = runner.run(dispatch());
  await expect.poll(() => started.some(({ name }) => name.startsWith("chat "))).toBe(true);
  const before = quiet.length;
  for (let attempt = 1; attempt <= 10; attempt++) {
    vi.advanceTimersByTime(STUCK_MS / 4);
    const status = { type: "retry", attempt, message: "timeout", next: Date.now() + 50 };
    opencode.send({ type: "session.status", properties: { sessionID: opencode.prompts[0]?.sessionId, status } });
    await expect.poll(() => quiet.length).toBe(before + attempt);
  }
  vi.advanceTimersByTime(STUCK_MS);
  expect(await ending(done)).toMatchObject({ errorType: "stuck_turn" });
});
