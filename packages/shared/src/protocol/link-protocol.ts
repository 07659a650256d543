/** The version of the link's protocol (runner-link.ts), and the explanation if two sides differ. */
import { z } from "zod";

/**
 * The version of the link's protocol; `hello` names it. Increase it if a side with the version before would do something wrong. A
 * new type of frame, or a new field that may be ignored, needs no new version; a new value of a known field does. The
 * SessionAgent refuses a version that it does not support.
 */
export const LINK_PROTOCOL = 1;

/** The different versions of the link's protocol that the two sides speak. */
export const LinkProtocols = z.object({ runner: z.number(), sessionAgent: z.number() });
export type LinkProtocols = z.infer<typeof LinkProtocols>;

/** Returns a sentence that names both versions and the older side. A runner of the same version may lack what its session needs. */
export function explainProtocols({ runner, sessionAgent }: LinkProtocols): string {
  if (runner === sessionAgent) return "The runner is too old to ask a person before it acts, as this session requires.";
  return `The runner speaks version ${runner} of the link's protocol, the Worker version ${sessionAgent}: the ${runner > sessionAgent ? "Worker" : "runner"} is older.`;
}

/** Returns the version in a `hello` of another version, whatever its other fields are; `undefined` for any other text. */
export function foreignProtocol(text: string): number | undefined {
  try {
    const { type, protocol } = JSON.parse(text) as { type?: unknown; protocol?: unknown };
    const isForeign = type === "hello" && Number.isSafeInteger(protocol) && protocol !== LINK_PROTOCOL;
    return isForeign ? (protocol as number) : undefined;
  } catch {
    return undefined;
  }
}
