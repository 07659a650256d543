/** What the session can account for of a trace's spans, beside the trace. */
import { useQuery } from "@tanstack/react-query";
import { certificateQuery } from "../../api/traces.ts";

const STATES = {
  complete: "complete",
  pending: "not complete yet",
  incomplete: "incomplete",
  undetermined: "perhaps incomplete",
  not_sampled: "not sampled",
} as const;

export function CertificateNote({ sessionId, traceId }: { readonly sessionId: string; readonly traceId: string }) {
  const { data } = useQuery(certificateQuery(sessionId, traceId));
  if (data === undefined) return null;
  const isBad = data.state === "incomplete" || data.state === "undetermined";
  return (
    <span className={isBad ? "t-failed" : ""} title={data.sentence}>
      {STATES[data.state]}
    </span>
  );
}
