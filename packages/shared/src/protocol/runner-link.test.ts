import { expect, test } from "vitest";
import { parseFromRunner } from "./runner-link.ts";

test.each([
  ["prompt-accepted", { type: "attempt-accepted", attemptId: "att_1", span: "{}" }],
  ["prompt-refused", { type: "attempt-refused", attemptId: "att_1", errorType: "not_accepted" }],
])("frames of an older runner are accepted: %s", (earlier, message) => {
  expect(parseFromRunner(JSON.stringify({ ...message, type: earlier }))).toEqual({ ok: true, message });
  expect(parseFromRunner(JSON.stringify(message))).toEqual({ ok: true, message });
});

test("the error about an invalid frame names the field", () => {
  for (const text of ["null", "3", '"prompt-accepted"', "[]", "{}"]) {
    expect(parseFromRunner(text)).toMatchObject({ ok: false });
  }
  expect(parseFromRunner('{"type":"prompt-accepted"}')).toEqual({ ok: false, error: "attemptId: invalid_type" });
  expect(parseFromRunner("no JSON")).toEqual({ ok: false, error: "not JSON" });
});
