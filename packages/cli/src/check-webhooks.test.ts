import type { WebhookView } from "@valet/shared/protocol/webhooks";
import { describe, expect, test } from "vitest";
import { webhookFindings } from "./check-webhooks.ts";

const NOW = Date.parse("2026-11-29T03:00:00Z");
const WELL: WebhookView = {
  id: "wh_1",
  url: "https://hooks.test/SECRET?token=SECRET",
  events: ["session.attention"],
  enabled: true,
  disabledReason: null,
  createdAt: "2026-11-01T00:00:00.000Z",
  failing: null,
  givenUp: 0,
  previousSecretUntil: null,
};
const failing = (since: string) => ({ since, at: "2026-11-29T02:59:59.000Z", failures: 3, error: "HTTP 500" });

describe("what doctor says of endpoints of webhooks", () => {
  test("is nothing where there are none", () => {
    expect(webhookFindings([], NOW)).toEqual([]);
  });

  test("is one finding for all that work", () => {
    const [finding, ...others] = webhookFindings([WELL, { ...WELL, id: "wh_2", givenUp: 4 }], NOW);
    expect(finding).toMatchObject({ name: "webhooks", state: "ok", detail: "2 endpoints without a failure" });
    expect(others).toEqual([]);
  });

  test.each<[string, Partial<WebhookView>, "note" | "missing", RegExp]>([
    [
      "has failed for a minute",
      { failing: failing("2026-11-29T02:58:00.000Z") },
      "missing",
      /failing since .*02:58.*3 failures.*HTTP 500/,
    ],
    ["has just failed", { failing: failing("2026-11-29T02:59:30.000Z") }, "note", /HTTP 500/],
    [
      "is disabled",
      { enabled: false, disabledReason: "failing", failing: failing("2026-11-25T02:00:00.000Z") },
      "missing",
      /^wh_1 .*is disabled: it has failed for days.*HTTP 500.*valet webhooks enable wh_1.*valet webhooks remove wh_1/,
    ],
    [
      "is gone",
      { enabled: false, disabledReason: "gone" },
      "missing",
      /it answered 410.*valet webhooks enable wh_1.*valet webhooks remove wh_1/,
    ],
  ])("names an endpoint that %s, says what to do, and does not show its path", (_what, more, state, detail) => {
    const [finding, fine] = webhookFindings([{ ...WELL, ...more }, WELL], NOW);
    expect(finding).toMatchObject({
      name: "webhooks",
      state,
      source: "read from the API",
      detail: expect.stringMatching(detail),
    });
    expect(finding?.detail).toContain("hooks.test");
    expect(finding?.detail).not.toContain("SECRET");
    expect(fine).toMatchObject({ state: "ok", detail: "1 other endpoint without a failure" });
  });
});
