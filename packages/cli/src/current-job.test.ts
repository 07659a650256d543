import { expect, test } from "vitest";
import { readCurrentJob } from "./current-job.ts";

test("a session without any job says so", async () => {
  const nothing = {
    now: async () => ({ running: [], queue: [] }) as never,
    newestMessages: async () => [],
    newestWorkflows: async () => [],
  };
  await expect(readCurrentJob(nothing, "ses_1")).rejects.toThrow("Session ses_1 has no messages and no workflows yet.");
});
