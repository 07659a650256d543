import fc from "fast-check";
import { expect, test } from "vitest";
import { innerLimit, LIMITS, NESTED, startShares, stuckLimits } from "./limits.ts";

test.each(NESTED.map(([inside, around]) => [inside.join(" + "), around, inside] as const))(
  "%s end clearly before %s does",
  (_name, around, inside) => {
    const sum = inside.reduce((ms, name) => ms + LIMITS[name], 0);
    expect(sum).toBeLessThanOrEqual(Math.ceil(0.86 * LIMITS[around]));
  },
);

test("every timeout has a relation to another", () => {
  const compared = new Set(NESTED.flatMap(([inside, around]) => [...inside, around]));
  expect(Object.keys(LIMITS).filter((name) => !compared.has(name as keyof typeof LIMITS))).toEqual([]);
});

test("the parts of a start end before its deadline, for any time left, and the agent's after that of git", () => {
  fc.assert(
    fc.property(fc.integer({ min: 100, max: 3_600_000 }), (leftMs) => {
      const { gitMs, agentMs } = startShares(leftMs);
      expect(agentMs).toBeLessThan(leftMs);
      expect(gitMs).toBeGreaterThan(0);
      expect(agentMs - gitMs).toBeGreaterThan(leftMs / 10);
      expect(innerLimit(leftMs)).toBeLessThan(leftMs);
    }),
  );
});

/** From values that are of no use to a day. */
const stuckTurnMs = fc.integer({ min: 1_000, max: 86_400_000 });

test("the runner's watchdog of a silent turn expires clearly before the object's, however the last sign fell", () => {
  fc.assert(
    fc.property(stuckTurnMs, (ms) => {
      const { signMs, runnerMs, objectMs, slackMs, abortMs } = stuckLimits(ms);
      // An event may follow a sign by almost `signMs`, and be the last one.
      expect(signMs + runnerMs + abortMs).toBeLessThanOrEqual(0.9 * (objectMs - slackMs));
    }),
  );
});

test("an agent that hangs is found before its turn counts as stuck, however short that limit is", () => {
  fc.assert(
    fc.property(stuckTurnMs, (ms) => {
      const { runnerMs, silenceMs, healthMs, hungMs, abortMs } = stuckLimits(ms);
      expect(silenceMs + hungMs + healthMs).toBeLessThanOrEqual(0.8 * runnerMs);
      expect(3 * healthMs).toBeLessThanOrEqual(0.86 * hungMs);
      expect(Math.min(silenceMs, healthMs, hungMs, abortMs)).toBeGreaterThan(0);
    }),
  );
  const { agentSilenceMs, agentHealthMs, agentHungMs, agentAbortMs } = LIMITS;
  const usual = { silenceMs: agentSilenceMs, healthMs: agentHealthMs, hungMs: agentHungMs, abortMs: agentAbortMs };
  for (const ms of [45_000, 600_000]) expect(stuckLimits(ms)).toMatchObject(usual);
});
