/** The spans that explain a part, largest first. */
import type { Schemas } from "../../api/client.ts";
import { Duration } from "../../ui/figure.tsx";
import { SpanLink } from "./span-link.tsx";

interface SpanListProps {
  readonly spans: Schemas["WhyPart"]["spans"];
  /** How many there are; only the largest are named. */
  readonly count: number;
  readonly sessionId: string;
}

export function SpanList({ spans, count, sessionId }: SpanListProps) {
  return (
    <ul className="why-spans">
      {spans.map((span) => (
        <li key={`${span.traceId}/${span.spanId}`}>
          <SpanLink span={span}>
            span <span className="mono">{span.spanId}</span>
          </SpanLink>
          {span.sessionId !== sessionId && (
            <span className="m">
              {" "}
              of session <span className="mono">{span.sessionId}</span>
            </span>
          )}{" "}
          <span className="m">
            explains <Duration ms={span.ms} hasTenths />
          </span>
        </li>
      ))}
      {count > spans.length && <li className="m">and {count - spans.length} smaller ones</li>}
    </ul>
  );
}
