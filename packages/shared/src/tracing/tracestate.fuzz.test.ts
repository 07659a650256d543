import fc from "fast-check";
import { expect, test } from "vitest";
import { fuzz } from "../../test/fuzz-runs.ts";
import { entries, tracestates } from "../../test/w3c-arbitraries.ts";
import { isMember, judgeTracestate, passOn } from "../../test/w3c-oracle.ts";
import { getTracestate, parseTracestate, setTracestate } from "./tracestate.ts";

fuzz("R29 a tracestate, whole or mutated, is passed on as the grammar and the limits say", tracestates, (header) => {
  const state = parseTracestate(header);
  expect(state).toBe(passOn(judgeTracestate(header) ?? []));
  expect(parseTracestate(state)).toBe(state);
});

fuzz(
  "R29 a member that is set stands left of all others, and what it displaces is rightmost",
  fc.tuple(tracestates, entries),
  ([header, [key, value]]) => {
    const state = parseTracestate(header);
    const others = judgeTracestate(state) ?? [];
    const member = `${key}=${value}`;
    const next = setTracestate(state, key, value);
    if (!isMember(member)) {
      expect(next).toBe(state);
      return;
    }
    const all = [member, ...others.filter((other) => other.slice(0, other.indexOf("=")) !== key)];
    expect(next).toBe(passOn(all.slice(0, 32)));
    expect(getTracestate(next, key)).toBe(next.split(",").includes(member) ? value : undefined);
    expect(setTracestate(next, key, undefined).split(",")).not.toContain(member);
  },
);

test("the inputs hold enough of every case", () => {
  const judged = fc.sample(tracestates, 2000).map((header) => judgeTracestate(header));
  const count = (wanted: (members: string[]) => boolean) =>
    judged.filter((members) => members !== undefined && wanted(members)).length;
  expect(count((members) => members.length > 0)).toBeGreaterThan(300);
  expect(count((members) => members.join(",").length > 512)).toBeGreaterThan(20);
  expect(count((members) => passOn(members).split(",").length < members.length)).toBeGreaterThan(50);
  expect(judged.filter((members) => members === undefined).length).toBeGreaterThan(300);
});
