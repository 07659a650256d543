/** The soak's backend, which can refuse requests for a while. */
import { startOtlpReceiver, type TraceReceiver } from "../otlp-receiver.ts";

export interface Backend {
  readonly receiver: TraceReceiver;
  /** Answers 503 from now on, for this long. */
  refuseFor(ms: number): void;
}

export async function startBackend(): Promise<Backend> {
  let refuseUntilMs = 0;
  const receiver = await startOtlpReceiver(() => ({ status: Date.now() < refuseUntilMs ? 503 : 200 }));
  return {
    receiver,
    refuseFor: (ms) => {
      refuseUntilMs = Date.now() + ms;
    },
  };
}
