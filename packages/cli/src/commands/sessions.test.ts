import { expect, test } from "vitest";
import { familyLines } from "./sessions.ts";

test("a family is drawn as a tree with its costs and their sum", () => {
  const at = { status: "running", agent: "idle", createdAt: "2026-01-01T00:00:00.000Z" } as const;
  const spent = (turns: number, cost_usd: number) => ({ turns, cost_usd, tokens_input: 100, tokens_output: 10 });
  const sessions = [
    { ...at, ...spent(2, 0.5), id: "ses_a", depth: 0, queueLength: 0, title: "First" },
    { ...at, ...spent(1, 0.25), id: "ses_b", depth: 1, queueLength: 2, parentSessionId: "ses_a" },
  ];
  expect(familyLines({ sessions, total: spent(3, 0.75) })).toEqual([
    "ses_a  running (idle)            2026-01-01T00:00:00.000Z  $0.5000 in 2 turns (100 tokens in, 10 out)  First",
    "└─ ses_b  running (idle, 2 queued)  2026-01-01T00:00:00.000Z  $0.2500 in 1 turns (100 tokens in, 10 out)",
    "all together: $0.7500 in 3 turns (100 tokens in, 10 out)",
  ]);
});
