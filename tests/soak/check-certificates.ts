/** Compares the certificates of a session's traces with the spans that a backend has received. */
import type { ApiClient } from "../../packages/cli/src/api-client.ts";
import type { TraceReceiver } from "../otlp-receiver.ts";

/** Returns how the certificates differ from what the receiver has: nothing if each names its spans, and no others. */
export async function disagreements(
  api: Pick<ApiClient, "certifyTrace">,
  sessionId: string,
  traceIds: readonly string[],
  receiver: Pick<TraceReceiver, "spansById" | "refusedIds">,
): Promise<string[]> {
  const received = Map.groupBy(receiver.spansById().values(), ({ traceId }) => traceId);
  const refused = receiver.refusedIds();
  const found: string[] = [];
  for (const traceId of traceIds) {
    const { spanIds, rejected, rejectedWithOthers, doubtful } = await api.certifyTrace(sessionId, traceId, true);
    const acknowledged = new Set(spanIds?.acknowledged);
    const there = new Set((received.get(traceId) ?? []).map(({ spanId }) => spanId));
    const says = (what: string, ids: readonly string[]) => {
      if (ids.length > 0) found.push(`trace ${traceId}: ${what}: ${ids.join(" ")}`);
    };
    // Of some requests the certificate says that the backend may not have all that it has acknowledged. It says how many, and the backend which.
    const absent = [...acknowledged].filter((id) => !there.has(id));
    const unexplained = absent.length > rejected + rejectedWithOthers + doubtful;
    says(
      "acknowledged, and not there",
      absent.filter((id) => unexplained || !refused.has(id)),
    );
    says(
      "there, and not acknowledged",
      [...there].filter((id) => !acknowledged.has(id)),
    );
  }
  return found;
}
