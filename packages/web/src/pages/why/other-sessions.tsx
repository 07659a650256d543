/** What other sessions of the family did for a message, or why that could not be read. */
import { Link } from "@tanstack/react-router";
import type { Schemas } from "../../api/client.ts";
import { Money } from "../../ui/figure.tsx";
import { OutsideText, Sentence } from "../../ui/outside-text.tsx";
import { FailureNote } from "./failure-note.tsx";
import { PartsTable } from "./parts-table.tsx";

type Other = Schemas["OtherSession"];

export function OtherSessions({ sessions }: { readonly sessions: readonly Other[] }) {
  if (sessions.length === 0) return null;
  return (
    <section className="why-others" aria-label="Other sessions">
      <h2>Other sessions</h2>
      {sessions.map((session) => (
        <Session key={session.sessionId} session={session} />
      ))}
    </section>
  );
}

function Session({ session: { sessionId, sentence, work } }: { readonly session: Other }) {
  return (
    <article className="card">
      <h3>
        <Link to="/sessions/$sessionId" params={{ sessionId }} className="lnk">
          <OutsideText text={sessionId} className="mono" />
        </Link>
      </h3>
      <p>
        <Sentence text={sentence} max={1_000} />
      </p>
      {work.map((each) => (
        <details key={each.messageId}>
          <summary>
            <Sentence text={each.sentence} max={600} />{" "}
            <span className="m">
              <Money usd={each.cost_usd} isPartial={!each.known} />
            </span>
          </summary>
          <p className="small">
            {each.kind === "message" ? (
              <Link
                to="/sessions/$sessionId/messages/$messageId/why"
                params={{ sessionId, messageId: each.messageId }}
                className="lnk"
              >
                Why of this message
              </Link>
            ) : (
              <>
                Workflow <OutsideText text={each.messageId} className="mono" />
              </>
            )}
          </p>
          <PartsTable
            label="Where its time went, largest first"
            time={each.time}
            sessionId={sessionId}
            isOpen={each.state !== "ended"}
          />
          {each.failure !== null && <FailureNote failure={each.failure} sessionId={sessionId} />}
        </details>
      ))}
    </article>
  );
}
