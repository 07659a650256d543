/**
 * Tells an OpenCode that is busy from one that hangs: its process exists, but answers nothing (it is stopped, swapped out, or
 * spins).
 */
import { setTimeout as sleep } from "node:timers/promises";
import { LIMITS } from "@valet/shared/limits";
import type { OpenCodeClient } from "./client.ts";

export interface HealthCheckOptions {
  readonly client: Pick<OpenCodeClient, "health">;
  /** Resolves when the process has ended: then it is not asked any more. */
  readonly exited: Promise<unknown>;
  /** How long one request may take, in milliseconds: a single connection may stall. */
  readonly tryMs?: number;
  /** After this long without an answer it counts as hung, in milliseconds. */
  readonly hungMs?: number;
}

/** Between two requests that were refused at once. */
const RETRY_MS = 100;

/**
 * Asks for OpenCode's health until it answers, its process ends, or it has answered nothing for too long. An answer usually takes
 * a millisecond. Never rejects.
 * @returns whether it hangs
 */
export async function isHung({ client, exited, ...limits }: HealthCheckOptions): Promise<boolean> {
  const { tryMs = LIMITS.agentHealthMs, hungMs = LIMITS.agentHungMs } = limits;
  let hasEnded = false;
  const ended = exited.then(() => {
    hasEnded = true;
  });
  const startMs = performance.now();
  for (;;) {
    const asked = client.health(tryMs).then(
      () => true,
      () => false,
    );
    const hasAnswered = await Promise.race([asked, ended]);
    if (hasAnswered === true || hasEnded) return false;
    if (performance.now() - startMs >= hungMs) return true;
    await Promise.race([sleep(RETRY_MS), ended]);
  }
}
