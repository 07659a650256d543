import { expect, test } from "vitest";
import type { EndFact, Fact } from "../agent/facts.ts";
import type { MeasuredWork } from "../usage/sandbox-usage.ts";
import { ToolUsage } from "./tool-usage.ts";

/** The limits that explained the end of a call. */
const explained: string[] = [];
const USED = { cpuMs: 700, memoryPeakBytes: 5 };

function endOf(
  work: MeasuredWork,
  end: Partial<EndFact>,
  name: "execute_tool bash" | "chat m" = "execute_tool bash",
): EndFact {
  const begin: Fact = { type: "begin", spanId: "s", parentId: "p", name, startMs: 1000, attributes: {} };
  const last: EndFact = {
    type: "end",
    spanId: "s",
    endMs: 3000,
    outcome: "ok",
    errorType: undefined,
    attributes: { "process.exit.code": 0 },
    content: { "gen_ai.tool.call.result": "output" },
    ...end,
  };
  explained.length = 0;
  const usage = { begin: () => ({ end: () => work }), explained: (limit: string) => void explained.push(limit) };
  const facts = new ToolUsage(usage).complete([begin, last]);
  return facts[1] as EndFact;
}

const OOM: MeasuredWork = { usage: USED, limits: ["sandbox_out_of_memory"] };

test("a call of more than a second has figures, a shorter one and anything else has none", () => {
  const work = { usage: USED, limits: [] };
  expect(endOf(work, {}).attributes).toEqual({
    "process.exit.code": 0,
    "valet.usage.cpu_ms": 700,
    "valet.usage.memory_peak_bytes": 5,
    "valet.usage.disk_written_bytes": undefined,
  });
  expect(endOf(work, { endMs: 1900 }).attributes).toEqual({ "process.exit.code": 0 });
  expect(endOf(work, {}, "chat m").attributes).toEqual({ "process.exit.code": 0 });
});

test("a call that failed at a limit names the limit, which explains no other end, and has no result", () => {
  for (const failed of [
    { outcome: "error", errorType: "tool_failed", failure: "ENOMEM: not enough memory, read" },
    { outcome: "ok", attributes: { "process.exit.code": 137 } },
    {
      outcome: "ok",
      attributes: { "process.exit.code": 2 },
      content: { "gen_ai.tool.call.result": "Killed\nError 137" },
    },
  ] as const) {
    expect(endOf(OOM, failed)).toMatchObject({ outcome: "error", errorType: "sandbox_out_of_memory", content: {} });
    expect(explained).toEqual(["sandbox_out_of_memory"]);
  }
});

test("a call that failed by itself while another one was at a limit stays what it is", () => {
  const own = { outcome: "ok", attributes: { "process.exit.code": 1 } } as const;
  expect(endOf(OOM, own)).toMatchObject({ outcome: "ok", errorType: undefined });
  expect(explained).toEqual([]);
  const failed = { outcome: "error", errorType: "tool_failed", failure: "File not found" } as const;
  expect(endOf(OOM, failed).errorType).toBe("tool_failed");
});

test("a command whose file became too large was ended by the limit on the disk", () => {
  const told = endOf({ usage: {}, limits: [] }, { attributes: { "process.exit.code": 153 } });
  expect(told).toMatchObject({ outcome: "error", errorType: "sandbox_disk_full" });
});

test("a call that succeeded although a limit was hit stays a success, and what ended a call from outside stays its cause", () => {
  expect(endOf(OOM, {})).toMatchObject({ outcome: "ok", errorType: undefined });
  expect(endOf(OOM, { outcome: "aborted", errorType: "user_abort" }).errorType).toBe("user_abort");
  expect(endOf(OOM, { outcome: "error", errorType: "permission_denied" }).errorType).toBe("permission_denied");
});

test("without a meter nothing changes", () => {
  const facts: readonly Fact[] = [];
  expect(new ToolUsage(undefined).complete(facts)).toBe(facts);
});
