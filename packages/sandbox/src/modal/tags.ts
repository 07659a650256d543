/** What Modal keeps for us with each sandbox: all that a broker must know of one that another broker made. */
import { createHash } from "node:crypto";
import { BrokerId, Generation, type Sandbox, SessionId } from "@valet/shared/protocol/sandbox-broker";
import { z } from "zod";
import type { CreateOptions, DriverSandbox } from "../driver.ts";

const Tags = z.object({
  "valet-session": SessionId,
  "valet-generation": z.string().regex(/^\d+$/).transform(Number).pipe(Generation),
  "valet-fingerprint": z.string().min(1),
  /** Milliseconds since the epoch. */
  "valet-created": z
    .string()
    .regex(/^\d{1,15}$/)
    .transform(Number),
  "valet-snapshot": BrokerId.optional(),
});

/** The tag by which a session's sandboxes are found. */
export function sessionTag(sessionId: string): Record<string, string> {
  return { "valet-session": sessionId };
}

/**
 * @param createdAt milliseconds since the epoch
 * @param attempt stands for one call that makes a sandbox: another's has another
 */
export function tagsOf(options: CreateOptions, createdAt: number, attempt: string): Record<string, string> {
  const { sessionId, generation, fingerprint, snapshotId } = options;
  return {
    ...sessionTag(sessionId),
    "valet-generation": String(generation),
    "valet-fingerprint": fingerprint,
    "valet-created": String(createdAt),
    "valet-attempt": attempt,
    ...(snapshotId !== undefined && { "valet-snapshot": snapshotId }),
  };
}

export function isSameAttempt(a: Record<string, string>, b: Record<string, string>): boolean {
  return a["valet-attempt"] !== undefined && a["valet-attempt"] === b["valet-attempt"];
}

/** A name that Modal gives to one running sandbox at a time: it keeps two brokers from making the same one. */
export function nameOf({ sessionId, generation }: Pick<CreateOptions, "sessionId" | "generation">): string {
  return `valet-${createHash("sha256").update(sessionId).digest("hex").slice(0, 32)}-${generation}`;
}

/** The sandbox that was tagged so; `undefined` when it is none of ours. */
export function readTags(id: string, tags: Record<string, string>, state: Sandbox["state"]): DriverSandbox | undefined {
  const { data } = Tags.safeParse(tags);
  if (data === undefined) return undefined;
  const snapshotId = data["valet-snapshot"];
  return {
    fingerprint: data["valet-fingerprint"],
    sandbox: {
      id,
      sessionId: data["valet-session"],
      generation: data["valet-generation"],
      state,
      driver: "modal",
      createdAt: new Date(data["valet-created"]).toISOString(),
      // Counted in the sandbox, whose runner is told.
      restartCount: 0,
      ...(snapshotId !== undefined && { snapshotId }),
    },
  };
}
