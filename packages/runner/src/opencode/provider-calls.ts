/** What the plugin has told of one run's requests to providers. */
import type { ProviderCall } from "@valet/shared/protocol/child-sessions";

/** A request. `httpStatus` is that of its response; `status` differs from it if an error in the stream implies another status. */
export type KnownProviderCall = ProviderCall & { readonly httpStatus: number };

export class ProviderCalls {
  /** By their ids, in the order of their answers. */
  readonly #calls = new Map<string, KnownProviderCall>();

  /** Takes note of a call, or of more of a known one. The plugin's first report of a call has the response's own status. */
  add(call: ProviderCall): void {
    const httpStatus = this.#calls.get(call.callId)?.httpStatus ?? call.status;
    this.#calls.set(call.callId, { ...call, httpStatus });
  }

  /** Returns the call that was answered last, if that was not before `ms` (since 1970). */
  lastSince(ms: number): KnownProviderCall | undefined {
    return [...this.#calls.values()].findLast(({ startedMs }) => startedMs >= ms);
  }
}
