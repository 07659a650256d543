/** What the plugin has told of one run's requests to providers. */
import type { ProviderCall } from "@valet/shared/protocol/child-sessions";

export class ProviderCalls {
  /** By their ids, in the order of their answers. */
  readonly #calls = new Map<string, ProviderCall>();

  /** Takes note of a call, or of more of a known one. */
  add(call: ProviderCall): void {
    this.#calls.set(call.callId, call);
  }

  /** Returns the call that was answered last, if that was not before `ms` (since 1970). */
  lastSince(ms: number): ProviderCall | undefined {
    return [...this.#calls.values()].findLast(({ startedMs }) => startedMs >= ms);
  }
}
