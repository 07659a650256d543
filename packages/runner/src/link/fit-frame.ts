/** Shortens frames to the link's limit. Pure. */
import type { MessagePart } from "@valet/shared/protocol/message-part";
import { type FromRunner, type FromRunnerOf, MAX_LINK_FRAME_BYTES } from "@valet/shared/protocol/runner-link";
import { cutEnd, cutStart } from "@valet/shared/text";
import { withoutUndefined } from "@valet/shared/without-undefined";

/** The maximum length of each text, in UTF-16 code units. The first one with which the frame fits is used. */
const CAPS = [64 * 1024, 16 * 1024, 4096, 1024, 256, 64];

/**
 * Returns the frame as JSON text of at most `maxBytes` bytes. It shortens parts as needed: first tool input, tool output and
 * reasoning, then the answer; finally it omits the oldest parts. The outputs of a workflow's steps keep their ends.
 * @returns `undefined` if the frame contains nothing that can be shortened
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
  const cut = (text: string | undefined) => (text === undefined ? undefined : cutEnd(text, cap));
  return { ...rest, ...withoutUndefined({ input: cut(input), output: cut(output) }) };
}
