import { expect, test } from "vitest";
import { MAX_FAILURES, MAX_FAILURES_IN_ALL, SignInFailures } from "./sign-in-failures.ts";

const NOW = 1_800_000_000_000;

test("an address waits until the end of the period in which too many of its attempts failed, others do not", () => {
  const failures = new SignInFailures();
  for (let at = 0; at < MAX_FAILURES; at++) {
    expect(failures.waitS("a", NOW + at)).toBeUndefined();
    failures.add("a", NOW + at);
  }
  expect(failures.waitS("a", NOW + 100)).toBe(60);
  expect(failures.waitS("a", NOW + 59_500)).toBe(1);
  expect(failures.waitS("b", NOW + 100)).toBeUndefined();
  expect(failures.waitS("a", NOW + 60_000)).toBeUndefined();
  failures.add("a", NOW + 60_000);
  expect(failures.waitS("a", NOW + 60_001)).toBeUndefined();
});

test("who claims a new address with each attempt is bounded, too, and what is remembered is", () => {
  const failures = new SignInFailures();
  for (let at = 0; at < MAX_FAILURES_IN_ALL; at++) failures.add(`claimed ${at}`, NOW);
  expect(failures.waitS("one more", NOW + 1)).toBe(60);
  expect(failures.waitS("one more", NOW + 60_000)).toBeUndefined();
  for (let at = 0; at < 5_000; at++) failures.add(`other ${at}`, NOW + 120_000);
  expect(JSON.stringify(failures.waitS("other 4999", NOW + 120_001))).toBe("60");
});
