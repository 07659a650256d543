/** Makes frames fit the link. Pure. */

import type { MessagePart } from "@valet/shared/protocol/message-part";
import { type FromRunner, type FromRunnerOf, MAX_LINK_FRAME_BYTES } from "@valet/shared/protocol/runner-link";
import { cutEnd, cutStart } from "@valet/shared/text";

/** How much of each text is kept, in UTF-16 code units: the first that fits is taken. */
const CAPS = [64 * 1024, 16 * 1024, 4096, 1024, 256, 64];

/**
 * The frame as JSON text of at most `maxBytes` bytes. Parts are cut where they are too long for that: what tools took and
 * gave and what the model thought first, then the answer; at last the oldest parts are left out. Of what a workflow's steps
 * gave, the ends are kept.
 * @returns `undefined` when nothing in it can be cut
 */
export function encodeToFit(frame: FromRunner, maxBytes = MAX_LINK_FRAME_BYTES): string | undefined {
  const whole = JSON.stringify(frame);
  if (Buffer.byteLength(whole) <= maxBytes) return whole;
  if (frame.type === "workflow-ended") return encodeSteps(frame, maxBytes);
  const parts = frame.type === "turn-ended" ? frame.parts : frame.type === "part" ? [frame.part] : undefined;
  if (parts === undefined) return undefined;
  const encode = (kept: MessagePart[]) => {
    const text = JSON.stringify(frame.type === "part" ? { ...frame, part: kept[0] } : { ...frame, parts: kept });
    return Buffer.byteLength(text) <= maxBytes ? text : undefined;
  };
  for (const cap of CAPS) {
    const text = encode(parts.map((part) => (part.type === "text" ? part : cutPart(part, cap))));
    if (text !== undefined) return text;
  }
  const least = CAPS.at(-1)!;
  for (const cap of CAPS) {
    const text = encode(parts.map((part) => cutPart(part, part.type === "text" ? cap : least)));
    if (text !== undefined) return text;
  }
  for (let kept = parts.length >> 1; kept > 0; kept >>= 1) {
    const text = encode(parts.slice(-kept).map((part) => cutPart(part, least)));
    if (text !== undefined) return text;
  }
  return undefined;
}

function encodeSteps(frame: FromRunnerOf<"workflow-ended">, maxBytes: number): string | undefined {
  for (const cap of CAPS) {
    const steps = frame.steps.map(({ output, ...step }) =>
      output === undefined ? step : { ...step, output: cutStart(output, cap) },
    );
    const text = JSON.stringify({ ...frame, steps });
    if (Buffer.byteLength(text) <= maxBytes) return text;
  }
  return undefined;
}

function cutPart(part: MessagePart, cap: number): MessagePart {
  if (part.type !== "tool") return { ...part, text: cutEnd(part.text, cap) };
  const { input, output, ...rest } = part;
  return {
    ...rest,
    ...(input !== undefined && { input: cutEnd(input, cap) }),
    ...(output !== undefined && { output: cutEnd(output, cap) }),
  };
}
