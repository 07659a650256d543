import { WARM_UP_MARK } from "@valet/shared/protocol/child-sessions";
import { isValidSpanId } from "@valet/shared/tracing";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { deriveSpanId } from "../agent/span-ids.ts";
import { newMessageId, newWarmUpMessageId } from "./ids.ts";

test("span ids are valid, deterministic, and depend on the boundaries of their parts", () => {
  fc.assert(
    fc.property(fc.array(fc.string()), (parts) => {
      expect(isValidSpanId(deriveSpanId(...parts))).toBe(true);
      expect(deriveSpanId(...parts)).toBe(deriveSpanId(...parts));
    }),
  );
  expect(deriveSpanId("ab", "c")).not.toBe(deriveSpanId("a", "bc"));
});

test("message ids ascend, even within a millisecond and when the clock steps back", () => {
  const now = Date.now();
  const ids = [now, now, now + 1, now - 500, now - 500].map(newMessageId);
  expect(ids.toSorted()).toEqual(ids);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids[0]).toMatch(/^msg_[0-9a-f]{26}$/);
});

test("the message id of a warm-up ends in its mark, and is otherwise like those before and after it", () => {
  const ids = [newMessageId(), newWarmUpMessageId(), newWarmUpMessageId(), newMessageId()];
  expect(ids.toSorted()).toEqual(ids);
  expect(ids.map((id) => id.endsWith(WARM_UP_MARK))).toEqual([false, true, true, false]);
  expect(new Set(ids.map(({ length }) => length)).size).toBe(1);
});
