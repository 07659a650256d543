import type { MessagePart } from "@valet/shared/protocol/message-part";
import {
  type FromRunner,
  FromRunner as FromRunnerSchema,
  MAX_LINK_FRAME_BYTES,
} from "@valet/shared/protocol/runner-link";
import { MAX_STEP_OUTPUT, MAX_WORKFLOW_STEPS, type WorkflowStepState } from "@valet/shared/protocol/workflow";
import fc from "fast-check";
import { expect, test } from "vitest";
import { DONE } from "../../test/agent.ts";
import { NO_SUMMARY } from "../agent/summary.ts";
import { encodeToFit } from "./fit-frame.ts";

const frameWith = (parts: MessagePart[]): FromRunner => ({
  type: "turn-ended",
  attemptId: "att_1",
  outcome: "ok",
  parts,
  summary: DONE.summary,
});
const text = (id: string, value: string): MessagePart => ({ type: "text", id, text: value });
const tool = (id: string, output: string): MessagePart => ({
  type: "tool",
  id,
  tool: "bash",
  status: "completed",
  input: "{}",
  output,
});

const partsOf = (encoded: string | undefined) => (JSON.parse(encoded ?? "null") as { parts: MessagePart[] }).parts;

test("a frame that fits stays unchanged", () => {
  const frame = frameWith([text("p1", "hello"), tool("p2", "x".repeat(1000))]);
  expect(encodeToFit(frame)).toBe(JSON.stringify(frame));
});

test("tool output is cut before the answer is", () => {
  const [answer, output] = partsOf(
    encodeToFit(frameWith([text("p1", "a".repeat(3000)), tool("p2", "x".repeat(9000))]), 6000),
  );
  expect(answer).toEqual(text("p1", "a".repeat(3000)));
  expect(output).toMatchObject({ output: expect.stringMatching(/^x{1000,}…$/) });
});

test("the newest parts are kept if not even shortened parts fit", () => {
  const parts = partsOf(
    encodeToFit(frameWith(Array.from({ length: 500 }, (_, i) => text(`p${i}`, "a".repeat(100)))), 8000),
  );
  expect(parts.length).toBeGreaterThan(10);
  expect(parts.at(-1)).toMatchObject({ id: "p499" });
});

test("a frame without parts cannot be cut", () => {
  expect(encodeToFit({ type: "spans", instanceId: "a", seq: 1, otlp: "x".repeat(2000) }, 1000)).toBeUndefined();
});

test("with any parts, the frame fits and is well-formed", () => {
  const part = fc.oneof(
    fc.tuple(fc.string({ unit: "binary", maxLength: 1500 })).map(([value]) => text("p", value)),
    fc.tuple(fc.string({ unit: "binary", maxLength: 1500 })).map(([value]) => tool("p", value)),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 15 }), (parts) => {
      const encoded = encodeToFit(frameWith(parts), 5000) as string;
      expect(Buffer.byteLength(encoded)).toBeLessThanOrEqual(5000);
      expect(FromRunnerSchema.safeParse(JSON.parse(encoded)).success).toBe(true);
      expect(encoded.isWellFormed()).toBe(true);
    }),
    { numRuns: 50 },
  );
});

test("the outputs of a workflow's steps keep their ends", () => {
  const output = (index: number) => `begin ${"\u0000".repeat(MAX_STEP_OUTPUT - 20)} end ${index}`;
  const steps = Array.from({ length: MAX_WORKFLOW_STEPS }, (_, index) => ({
    index,
    status: "done",
    outcome: "ok",
    output: output(index),
  })) as WorkflowStepState[];
  const frame: FromRunner = { type: "workflow-ended", attemptId: "a", outcome: "ok", steps, summary: NO_SUMMARY };
  const encoded = encodeToFit(frame) ?? "";
  expect(Buffer.byteLength(encoded)).toBeLessThanOrEqual(MAX_LINK_FRAME_BYTES);
  const read = FromRunnerSchema.parse(JSON.parse(encoded)) as typeof frame;
  expect(read.steps.map(({ index }) => index)).toEqual(steps.map(({ index }) => index));
  for (const step of read.steps) expect(step.output).toMatch(new RegExp(`^….* end ${step.index}$`, "s"));
});
