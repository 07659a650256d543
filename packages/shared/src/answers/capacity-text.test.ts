import { expect, test } from "vitest";
import type { CapacityHolders } from "../protocol/capacity.ts";
import { holdersText, reachedText, roomAdvice } from "./capacity-text.ts";

const held = (own: number, otherCount: number, limit: CapacityHolders["limit"] = "awake"): CapacityHolders => ({
  limit,
  sessions: Array.from({ length: own }, (_, nth) => ({ sessionId: `ses_${nth}`, title: "A title" })),
  ownCount: own,
  otherCount,
});

test.each([
  [1, 0, "ses_0"],
  [2, 3, "ses_0, ses_1 and 3 sessions of other owners"],
  [6, 1, "ses_0, ses_1, ses_2, ses_3, 2 more of your sessions and 1 session of other owners"],
  [0, 0, ""],
])("%i own sessions and %i of others are told as %j", (own, others, text) => {
  expect(holdersText(held(own, others))).toBe(text);
});

test("the advice fits the limit, and who can make room", () => {
  expect(roomAdvice(held(1, 2))).toEqual({
    nextStep:
      "Wait: a session that has nothing to do makes room by itself; or abort and hibernate one of yours that can wait, or raise `VALET_MAX_AWAKE`.",
    command: "valet status ses_0",
  });
  expect(roomAdvice(held(0, 2)).nextStep).toBe(
    "Wait: a session that has nothing to do makes room by itself; or raise `VALET_MAX_AWAKE`.",
  );
  expect(roomAdvice(held(2, 0, "starting"))).toEqual({
    nextStep: "Wait until one of these starts is over, or raise `VALET_MAX_STARTING`.",
    command: "valet status",
  });
  const full = held(0, 0, "broker");
  expect(`${reachedText(full)}. ${roomAdvice(full).nextStep}`).toBe(
    "The sandbox broker has no room for another sandbox. Wait: the start is tried again by itself; or raise the broker's own limit (`VALET_BROKER_MAX_SANDBOXES`, or its machine's memory).",
  );
});
