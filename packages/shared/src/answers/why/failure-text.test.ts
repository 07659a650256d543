import { describe, expect, test } from "vitest";
import { ERRORS } from "../../spans.ts";
import { remedyMeanwhile } from "./failure-text.ts";

describe("what to do while Valet itself tries again", () => {
  test.each([
    ["Try again.", null],
    ["Try again: the session starts a new sandbox.", null],
    ["Try again. If it recurs, the sandbox may be out of memory.", "If it recurs, the sandbox may be out of memory."],
    ["Read the broker's log, then try again.", "Read the broker's log."],
    ["Check the provider's key.", "Check the provider's key."],
    [null, null],
  ])("of %j is %j", (remedy, meanwhile) => {
    expect(remedyMeanwhile(remedy)).toBe(meanwhile);
  });

  test.each(Object.entries(ERRORS).flatMap(([name, { remedy }]) => (remedy === null ? [] : [[name, remedy] as const])))(
    "after `%s` never is to try again",
    (_name, remedy) => {
      expect(remedyMeanwhile(remedy) ?? "").not.toMatch(/(?:^|then )try again/i);
    },
  );
});
