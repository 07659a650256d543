/**
 * Kinds of work. Solid: something works. Hatched: somebody waits. Hollow and dashed: nobody knows. It reads without colour.
 */
import type { IconName } from "./icons.tsx";

export const KINDS = ["model", "first-byte", "tool", "sandbox", "queue", "person", "retry", "lost", "other"] as const;
export type Kind = (typeof KINDS)[number];

interface Look {
  readonly word: string;
  /** The classes of its bars. */
  readonly bar: string;
  /** The class of its text. */
  readonly text: string;
  readonly icon: IconName | undefined;
}

export const KIND_LOOKS: Readonly<Record<Kind, Look>> = {
  model: { word: "model", bar: "k-model", text: "t-model", icon: "model" },
  "first-byte": { word: "first byte", bar: "k-model wait", text: "t-model", icon: "model" },
  tool: { word: "tool", bar: "k-tool", text: "t-tool", icon: "tool" },
  sandbox: { word: "sandbox", bar: "k-sandbox", text: "t-sandbox", icon: "sandbox" },
  queue: { word: "queue", bar: "k-queue", text: "t-queue", icon: "queue" },
  person: { word: "person", bar: "k-person", text: "t-person", icon: "person" },
  retry: { word: "retry", bar: "k-retry", text: "t-retry", icon: "retry" },
  lost: { word: "lost", bar: "lost", text: "t-failed", icon: "lost" },
  other: { word: "other", bar: "k-none", text: "m", icon: undefined },
};

/** A small bar of a kind. Its word has to stand beside it. */
function Swatch({ kind }: { readonly kind: Kind }) {
  return <i className={`bar ${KIND_LOOKS[kind].bar}`} aria-hidden="true" />;
}

/** Says what the colours and patterns mean. @param words other words, for bars that stand for something larger */
export function Legend({
  kinds,
  words = {},
}: {
  readonly kinds: readonly Kind[];
  readonly words?: Partial<Readonly<Record<Kind, string>>>;
}) {
  return (
    <ul className="legend" aria-label="What the colours mean">
      {kinds.map((kind) => (
        <li key={kind}>
          <span>
            <Swatch kind={kind} />
            {words[kind] ?? KIND_LOOKS[kind].word}
          </span>
        </li>
      ))}
    </ul>
  );
}
