/** Finds the parts of a message's time in the sentence about it, so that each has the hue of its bar. Pure. */
import { doing } from "@valet/shared/answers/why/words";
import { breakdownText } from "@valet/shared/duration-text";
import type { Schemas } from "../../api/client.ts";
import type { Kind } from "../../ui/kind.tsx";
import { kindOf } from "./part-kind.ts";

interface Tinted {
  readonly text: string;
  /** Absent for text between the parts. */
  readonly kind?: Kind;
  /** Where it begins, in UTF-16 code units. */
  readonly at: number;
}

/** Returns the sentence in pieces: those that name a part, with its kind, and those between. */
export function tinted(sentence: string, parts: readonly Schemas["WhyPart"][]): Tinted[] {
  const named = parts
    .flatMap((part) => {
      const { name, detail, ms } = part;
      const time = breakdownText(ms);
      const texts = [`${time} ${doing(part)}`, `\`${detail ?? ""}\` took ${time}`];
      if (name.startsWith("model.")) texts.push(`the model took ${time}`);
      return texts.map((text) => ({ text, kind: kindOf(name) }));
    })
    .map((piece) => ({ ...piece, at: sentence.indexOf(piece.text) }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at);
  const pieces: Tinted[] = [];
  let end = 0;
  for (const piece of named) {
    if (piece.at < end) continue;
    if (piece.at > end) pieces.push({ text: sentence.slice(end, piece.at), at: end });
    pieces.push(piece);
    end = piece.at + piece.text.length;
  }
  if (end < sentence.length) pieces.push({ text: sentence.slice(end), at: end });
  return pieces;
}
