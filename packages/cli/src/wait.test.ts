// What a command does that waits for work while Valet is away.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { UserError } from "./errors.ts";
import { waitFor } from "./wait.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["Date"] }));
afterEach(() => void vi.useRealTimers());

const away = () => new UserError("Valet does not answer.", { type: "no-answer" });

/** Returns what answers one after the other, the last one again and again. Each takes `tookMs`. */
function answers(tookMs: number, ...given: (string | UserError)[]) {
  return async () => {
    vi.setSystemTime(Date.now() + tookMs);
    const next = given.length > 1 ? given.shift() : given[0];
    if (next instanceof UserError) throw next;
    return next;
  };
}

const waited = (ask: () => Promise<string | undefined>, timeoutMs = 600_000) =>
  waitFor("it", ask, (answer) => answer === "done", timeoutMs);

test("Valet is away for a moment, as while its Worker is started again: the wait goes on", async () => {
  expect(await waited(answers(5000, "running", away(), away(), "done"))).toBe("done");
});

test("Valet stays away: the wait ends with that", async () => {
  await expect(waited(answers(16_000, "running", away()))).rejects.toThrow("Valet does not answer.");
});

test("Valet has never answered, or refuses: the wait ends at once", async () => {
  await expect(waited(answers(1, away(), "done"))).rejects.toThrow("Valet does not answer.");
  await expect(waited(answers(1, "running", new UserError("Refused."), "done"))).rejects.toThrow("Refused.");
});

test("the time that was given passes while Valet is away: the wait ends with that", async () => {
  await expect(waited(answers(6000, "running", away()), 10_000)).rejects.toThrow();
});
