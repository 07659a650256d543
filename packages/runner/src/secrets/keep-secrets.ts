/** Keeps the secrets for a restart of the runner, also on a disk that has no space at first. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ModelAccess } from "@valet/shared/protocol/model-access";
import type { ToRunnerOf } from "@valet/shared/protocol/runner-link";
import { exceptionType } from "@valet/shared/tracing";
import type { KeptSecrets } from "./kept-secrets.ts";

/** The first and the longest delay before the runner tries again to keep the keys. */
const [KEEP_AGAIN_MS, MAX_KEEP_AGAIN_MS] = [1_000, 60_000];

export interface Keeping {
  /** Aborts the retries. */
  readonly signal: AbortSignal;
  /** Receives the first failure; never quotes content. */
  onProblem(problem: string): void;
}

/** Keeps the secrets before any stage from which the SessionAgent concludes that they have arrived. Never throws. */
export function keepSecrets(
  secrets: Pick<KeptSecrets, "keep">,
  modelAccess: ModelAccess,
  repo: ToRunnerOf<"repo-config">,
  { signal, onProblem }: Keeping,
): void {
  const keep = () => secrets.keep(modelAccess, repo);
  try {
    keep();
  } catch (error) {
    // Until it succeeds, a restart of this runner would need a new sandbox.
    onProblem(`could not keep the keys for a restart and will retry: ${exceptionType(error)}`);
    void retry(keep, signal);
  }
}

/** Retries until it succeeds, since a full disk may get space again. */
async function retry(keep: () => void, signal: AbortSignal): Promise<void> {
  for (let delayMs = KEEP_AGAIN_MS; !signal.aborted; delayMs = Math.min(2 * delayMs, MAX_KEEP_AGAIN_MS)) {
    await sleep(delayMs, undefined, { signal, ref: false }).catch(() => {});
    if (signal.aborted) return;
    try {
      keep();
      return;
    } catch {
      // The first failure was reported.
    }
  }
}
