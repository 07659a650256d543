/** Which version of the link's protocol (runner-link.ts) a side speaks, and what is said where the two differ. */
import { z } from "zod";

/**
 * The version of what is said over the link; `hello` names it. It counts up when a side that knows only the version before would
 * do something wrong: a new type of frame or a new field that may be ignored needs no new version, a new value of a field that is
 * known needs one. A version that the SessionAgent does not speak is refused.
 */
export const LINK_PROTOCOL = 1;

/** The versions of the link's protocol that two sides speak who do not understand each other. */
export const LinkProtocols = z.object({ runner: z.number(), sessionAgent: z.number() });
export type LinkProtocols = z.infer<typeof LinkProtocols>;

/** Says which side is behind. */
export function explainProtocols({ runner, sessionAgent }: LinkProtocols): string {
  return `The runner speaks version ${runner} of the link's protocol, the Worker version ${sessionAgent}: the ${runner > sessionAgent ? "Worker" : "runner"} is older.`;
}

/**
 * Returns the version in a `hello` of another version, whose other fields may be whatever they are there; `undefined` for any
 * other text.
 */
export function foreignProtocol(text: string): number | undefined {
  try {
    const { type, protocol } = JSON.parse(text) as { type?: unknown; protocol?: unknown };
    const isForeign = type === "hello" && Number.isSafeInteger(protocol) && protocol !== LINK_PROTOCOL;
    return isForeign ? (protocol as number) : undefined;
  } catch {
    return undefined;
  }
}
