/**
 * The tags that Modal, and the labels that a container engine, stores with each sandbox: all that a broker must know about a
 * sandbox that another broker made.
 */
import { createHash } from "node:crypto";
import { BrokerId, Generation, type Sandbox, SessionId } from "@valet/shared/protocol/sandbox-broker";
import { withoutUndefined } from "@valet/shared/without-undefined";
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

/** The tag that every sandbox has, with no value. */
export const ANY_SESSION: Readonly<Record<string, string>> = { "valet-session": "" };

/** Returns the tag by which a session's sandboxes are found. */
export function sessionTag(sessionId: string): Record<string, string> {
  return { "valet-session": sessionId };
}

/**
 * Returns the tags of a sandbox.
 * @param createdAt milliseconds since the epoch
 * @param attempt identifies one call that creates a sandbox
 */
export function tagsOf(options: CreateOptions, createdAt: number, attempt: string): Record<string, string> {
  const { sessionId, generation, fingerprint, snapshotId } = options;
  return {
    ...sessionTag(sessionId),
    "valet-generation": String(generation),
    "valet-fingerprint": fingerprint,
    "valet-created": String(createdAt),
    "valet-attempt": attempt,
    ...withoutUndefined({ "valet-snapshot": snapshotId }),
  };
}

export function isSameAttempt(a: Record<string, string>, b: Record<string, string>): boolean {
  return a["valet-attempt"] !== undefined && a["valet-attempt"] === b["valet-attempt"];
}

/**
 * Returns the sandbox's name. Modal gives a name to one running sandbox at a time, and an engine to one container, so two brokers
 * cannot create the same sandbox.
 */
export function nameOf({ sessionId, generation }: Pick<CreateOptions, "sessionId" | "generation">): string {
  return `valet-${createHash("sha256").update(sessionId).digest("hex").slice(0, 32)}-${generation}`;
}

/** Returns the sandbox that these tags describe; `undefined` when it is not one of Valet's. */
export function readTags(
  tags: Record<string, string>,
  { id, driver, ...rest }: Pick<Sandbox, "id" | "driver" | "isolation" | "state" | "stopReason" | "lastLogLine">,
): DriverSandbox | undefined {
  const { data } = Tags.safeParse(tags);
  if (data === undefined) return undefined;
  const snapshotId = data["valet-snapshot"];
  return {
    fingerprint: data["valet-fingerprint"],
    sandbox: {
      id,
      sessionId: data["valet-session"],
      generation: data["valet-generation"],
      ...rest,
      driver,
      createdAt: new Date(data["valet-created"]).toISOString(),
      // Counted inside the sandbox, and passed to the runner only.
      restartCount: 0,
      ...withoutUndefined({ snapshotId }),
    },
  };
}
