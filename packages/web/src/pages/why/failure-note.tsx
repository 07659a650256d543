/** Why a message did not end well: the first cause, what shows it, and what to do. */
import type { Schemas } from "../../api/client.ts";
import { Time } from "../../ui/age.tsx";
import { OutsideText, Sentence } from "../../ui/outside-text.tsx";
import { SpanLink } from "./span-link.tsx";

interface FailureNoteProps {
  readonly failure: NonNullable<Schemas["WhyView"]["failure"]>;
  readonly sessionId: string;
}

export function FailureNote({ failure, sessionId }: FailureNoteProps) {
  const { cause, sentence, evidence, said, remedy, type } = failure;
  return (
    <section aria-label="First cause of the failure">
      <h2>First cause of the failure</h2>
      <ol className="why-chain">
        {cause !== null && (
          <li className="first">
            <b>
              <Sentence text={cause.sentence} max={600} />
            </b>
            <span className="small">
              <code>{cause.type}</code>
            </span>
          </li>
        )}
        {evidence.map((each) => (
          <li key={`${each.traceId}/${each.spanId}/${each.at}/${each.note}`}>
            <Sentence text={each.note} max={600} />
            <span className="small">
              <Time at={each.at} /> ·{" "}
              <SpanLink span={each}>
                <OutsideText text={each.name} className="mono" max={100} />
              </SpanLink>
              {each.sessionId !== sessionId && (
                <>
                  {" "}
                  of <span className="mono">{each.sessionId}</span>
                </>
              )}
            </span>
          </li>
        ))}
        <li className={cause === null ? "first" : ""}>
          <Sentence text={sentence} max={600} />
          <span className="small">
            <code>{type}</code>
          </span>
        </li>
      </ol>
      {said !== null && (
        <p className="m2">
          The provider said: <OutsideText text={said} max={1000} />
        </p>
      )}
      {remedy !== null && (
        <p className="m2">
          To do: <Sentence text={remedy} max={600} />
        </p>
      )}
    </section>
  );
}
