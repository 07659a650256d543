import type { MessagePart } from "@valet/shared/protocol/message-part";
import { applyPartDelta } from "@valet/shared/protocol/part-delta-codec";
import { expect, test } from "vitest";
import { PartStream } from "./part-stream.ts";

test("a long answer is sent with little overhead, and a lost frame is soon made up for", () => {
  let nowMs = 0;
  const stream = new PartStream(() => nowMs);
  let [text, bytes, whole] = ["", 0, 0];
  let followed: MessagePart | undefined;
  for (let i = 0; i < 500; i++) {
    nowMs += 100;
    text += "word ".repeat(20);
    const frame = stream.frame("att_1", { type: "text", id: "p1", text });
    bytes += JSON.stringify(frame).length;
    if (frame.type === "part") whole++;
    // Every seventh frame is lost.
    if (i % 7 === 0) continue;
    followed = frame.type === "part" ? frame.part : (applyPartDelta(followed, frame.delta) ?? followed);
  }
  // Sending the whole part each time would be 12.5 MB.
  expect(bytes).toBeLessThan(500_000);
  expect(whole).toBeGreaterThanOrEqual(10);
  nowMs += 5000;
  expect(stream.frame("att_1", { type: "text", id: "p1", text })).toMatchObject({ type: "part" });
  expect(followed?.type === "text" && text.startsWith(followed.text)).toBe(true);
});

test("parts of different attempts are distinguished, and old ones are forgotten", () => {
  const stream = new PartStream(() => 0);
  const part = (id: string, length: number): MessagePart => ({ type: "text", id, text: "x".repeat(length) });
  stream.frame("att_1", part("p1", 2000));
  expect(stream.frame("att_2", part("p1", 2100)).type).toBe("part");
  expect(stream.frame("att_1", part("p1", 2100)).type).toBe("part-delta");
  for (let i = 0; i < 200; i++) stream.frame("att_3", part(`q${i}`, 2000));
  expect(stream.frame("att_1", part("p1", 2200)).type).toBe("part");
});
