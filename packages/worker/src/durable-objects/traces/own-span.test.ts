import { describe, expect, test } from "vitest";
import { isOwnSpan } from "./own-span.ts";

const SESSION = "ses_0123456789";
const limits = { attributes: 4, attributeValueLength: 6 };

describe("a span belongs to the session", () => {
  test("when it says so, once or more", () => {
    expect(isOwnSpan([SESSION], 1, SESSION)).toBe(true);
    expect(isOwnSpan([SESSION, SESSION], 2, SESSION)).toBe(true);
    expect(isOwnSpan([SESSION], 1, SESSION, limits)).toBe(true);
  });

  test("when the deployment's limits cut its id, or left no room for it", () => {
    expect(isOwnSpan(["ses_01"], 1, SESSION, limits)).toBe(true);
    expect(isOwnSpan([], 4, SESSION, limits)).toBe(true);
    expect(isOwnSpan([""], 1, SESSION, { attributes: 0, attributeValueLength: 0 })).toBe(true);
    expect(isOwnSpan([], 0, SESSION, { attributes: 0, attributeValueLength: 0 })).toBe(true);
  });

  test.each([
    ["names another", ["ses_9"], undefined],
    ["names two sessions", [SESSION, "ses_9"], undefined],
    ["names none", [], undefined],
    ["names none, with room for it", [], limits],
    ["is cut in another place than the limit's", ["ses_0"], limits],
    ["is cut without a limit", ["ses_01"], undefined],
    ["names it with a value that is not text", [7], undefined],
  ])("not when it %s", (_what, values, given) => {
    expect(isOwnSpan(values, 3, SESSION, given)).toBe(false);
  });
});
