/** What the session can account for of a trace's spans, beside the trace. */
import { useQuery } from "@tanstack/react-query";
import { certificateQuery } from "../../api/traces.ts";
import { Icon } from "../../ui/icons.tsx";
import type { StateLook } from "../../ui/state.tsx";

const STATES = {
  complete: { word: "complete", icon: "ok", hue: "" },
  pending: { word: "not complete yet", icon: "queue", hue: "" },
  incomplete: { word: "incomplete", icon: "lost", hue: "t-failed" },
  undetermined: { word: "perhaps incomplete", icon: "lost", hue: "t-failed" },
  not_sampled: { word: "not sampled", icon: "minus", hue: "" },
} as const satisfies Readonly<Record<string, StateLook>>;

export function CertificateNote({ sessionId, traceId }: { readonly sessionId: string; readonly traceId: string }) {
  const { data } = useQuery(certificateQuery(sessionId, traceId));
  if (data === undefined) return null;
  const { word, icon, hue } = STATES[data.state];
  // A trace that is whole needs no more words; of any other the sentence says what is missing.
  const isWhole = data.state === "complete";
  return (
    <span className={hue} title={isWhole ? data.sentence : undefined}>
      <Icon name={icon} />
      {isWhole ? (
        <>
          {word}
          <span className="sr">: {data.sentence}</span>
        </>
      ) : (
        `${word}: ${data.sentence.replace(/\.$/, "")}`
      )}
    </span>
  );
}
