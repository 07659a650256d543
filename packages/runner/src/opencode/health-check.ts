/**
 * Distinguishes a busy OpenCode from one that hangs: its process exists but does not respond, because it is stopped, swapped
 * out or in an endless loop.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { LIMITS } from "@valet/shared/limits";
import type { OpenCodeClient } from "./client.ts";

export interface HealthCheckOptions {
  readonly client: Pick<OpenCodeClient, "health">;
  /** Resolves when the process has ended, which ends the check. */
  readonly exited: Promise<unknown>;
  /** The timeout of one request, in milliseconds, since a single connection may stall. */
  readonly tryMs?: number;
  /** The time without an answer after which OpenCode counts as hung, in milliseconds. */
  readonly hungMs?: number;
}

/** The delay after a request that failed immediately. */
const RETRY_MS = 100;

/**
 * Repeats health checks until OpenCode answers, its process ends, or the time limit is reached. An answer usually takes a
 * millisecond. Never rejects.
 * @returns whether OpenCode hangs
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
