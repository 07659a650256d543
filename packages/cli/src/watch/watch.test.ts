import type { ClientEvent } from "@valet/shared/protocol/client-socket";
import type { TurnRecord } from "@valet/shared/protocol/session-view";
import fc from "fast-check";
import { expect, test } from "vitest";
import { NOW } from "../sample-now.ts";
import { wrap } from "../wrap.ts";
import { watchFrame } from "./watch-frame.ts";
import { WatchModel } from "./watch-model.ts";

const part = (id: string, text: string): ClientEvent => ({
  type: "part",
  messageId: "msg_1",
  part: { type: "text", id, text },
});
const added = (partId: string, from: number, text: string): ClientEvent => ({
  type: "part-delta",
  messageId: "msg_1",
  delta: { partId, field: "text", from, text },
});

test("text is appended line by line as it comes, each once, whatever is sent again", () => {
  const model = new WatchModel();
  const lines = [part("p1", "one\ntw"), part("p1", "one\ntwo\nthr"), part("p1", "one\ntwo\nthr"), part("p2", "next")];
  expect(lines.flatMap((event) => model.apply(event).lines)).toEqual(["| one", "| two", "| thr"]);
  expect(model.text).toBe("one\ntwo\nthr\nnext");
});

test("what changes is said once: the verdict, steps, the queue", () => {
  const model = new WatchModel();
  expect(model.setNow(NOW)).toEqual([
    "quiet: The model `m` has not begun its answer. More than 1 m is unusual.",
    "next: Watch whether it continues; if not, abort it and send the message again. valet watch ses_a",
    "model m",
    "tool bash",
    "queue: 3 jobs waiting",
  ]);
  expect(model.setNow({ ...NOW, at: "2026-01-01T00:01:50.000Z" })).toEqual([]);
  const working = { ...NOW.verdict, state: "working", rule: "work_running", why: "It works." } as const;
  expect(model.setNow({ ...NOW, verdict: working, queueLength: 0 })).toEqual([
    "working: It works.",
    "queue: 0 jobs waiting",
  ]);
});

test("the end of a turn is said once, though its record comes again with what it changed, and says no text twice", () => {
  const turn = (attempt_id: string): ClientEvent => ({
    type: "turn",
    turn: {
      attempt_id,
      outcome: "ok",
      error_type: null,
      turn_ms: 1200,
      cost_usd: 0.25,
      calls_without_cost: 0,
    } as TurnRecord,
  });
  const model = new WatchModel();
  const events = [
    part("p1", "one\n"),
    turn("att_1"),
    part("p2", "two\n"),
    turn("att_1"),
    part("p2", "two\n"),
    turn("att_2"),
  ];
  expect(events.flatMap((event) => model.apply(event).lines)).toEqual([
    "| one",
    "turn ended: ok  1.2 s  $0.2500",
    "| two",
    "turn ended: ok  1.2 s  $0.2500",
  ]);
  expect(model.apply(turn("att_2")).isChange).toBe(true);
});

test("an event that changes the session asks for the verdict again", () => {
  const model = new WatchModel();
  expect(model.apply({ type: "permission-closed", permissionId: "per_1" }).isChange).toBe(true);
  expect(model.apply(part("p1", "x")).isChange).toBe(false);
  expect(model.apply(added("p9", 0, "x")).lines).toEqual([]);
});

test("the picture fits into any terminal, and shows the end of the text", () => {
  const model = {
    now: NOW,
    text: Array.from({ length: 100 }, (_, line) => `line ${line} ${"word ".repeat(20)}`).join("\n"),
  };
  const nowMs = Date.parse(NOW.at);
  const lines = watchFrame(model, { columns: 60, rows: 24 }, nowMs, "The connection is lost; trying again.");
  expect(lines.length).toBe(23);
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(60);
  expect(lines).toContain("  tool bash  40 s  limit 2 m, no output yet");
  expect(lines).toContain("The connection is lost; trying again.");
  expect(lines.join(" ")).toContain("line 99");
  expect(watchFrame({ now: undefined, text: "" }, { columns: 60, rows: 24 }, nowMs, "")).toEqual(["Connecting…"]);
});

test("any line is wrapped to the width, and loses nothing but spaces and control characters", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 20, max: 100 }), (line, width) => {
      const pieces = wrap(line.replaceAll(/\p{C}/gu, ""), width);
      for (const piece of pieces) expect([...piece].length).toBeLessThanOrEqual(2 * width);
      const squeeze = (text: string) => text.replaceAll(/\s/g, "");
      expect(squeeze(pieces.join(""))).toBe(squeeze(line.replaceAll(/\p{C}/gu, "")));
    }),
  );
  expect(wrap("one two three", 20)).toEqual(["one two three"]);
  expect(wrap("aaaaaaaaaa bbbbbbbbbb cccccccccc", 21)).toEqual(["aaaaaaaaaa bbbbbbbbbb", "cccccccccc"]);
  expect(wrap("\u001b[31mred", 40)).toEqual(["␛[31mred"]);
});
