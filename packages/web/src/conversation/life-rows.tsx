/** A past life of a session as one line, and the hibernation that ended it. */
import { Age, Time } from "../ui/age.tsx";
import { Duration, Money } from "../ui/figure.tsx";
import { Icon } from "../ui/icons.tsx";
import { OutsideText } from "../ui/outside-text.tsx";
import type { LifeSummary } from "./lives.ts";
import type { Rest } from "./rests.ts";

interface LifeHeadProps extends LifeSummary {
  /** When its first message was accepted. */
  readonly at: string;
  /** The first words of its first message. */
  readonly title: string;
  /** Older messages of it may not be loaded yet. */
  readonly isPartial: boolean;
  readonly isOpen: boolean;
  readonly onToggle: () => void;
}

export function LifeHead(props: LifeHeadProps) {
  const { at, title, isPartial, isOpen, turns, ms, costUsd, isCostPartial, failed, lost } = props;
  return (
    <button type="button" className="fold" aria-expanded={isOpen} data-row onClick={props.onToggle}>
      <Icon name={isOpen ? "down" : "right"} className="m" />
      <span className="small fold-when">
        <Time at={at} />
      </span>
      <span className="cut">
        {turns} turns{isPartial && " or more"}
        <span className="m">
          {": "}
          <OutsideText text={title} max={200} />
        </span>
      </span>
      <span className="n small fold-figures">
        {failed > 0 && (
          <span className="fold-mark t-failed">
            <Icon name="failed" /> {failed} failed ·{" "}
          </span>
        )}
        {lost > 0 && (
          <span className="fold-mark t-failed">
            <Icon name="lost" /> {lost} lost ·{" "}
          </span>
        )}
        <Duration ms={ms} />
        {" · "}
        <Money usd={costUsd} isPartial={isCostPartial} />
      </span>
    </button>
  );
}

export function RestRow({ startMs, endMs, restoreMs }: Rest) {
  const since = new Date(startMs).toISOString();
  return (
    <p className="talk-rest">
      <Icon name="moon" />
      <span>
        hibernated {endMs === undefined ? <Age since={since} /> : <Duration ms={endMs - startMs} />}
        {restoreMs !== undefined && (
          <>
            , then restored in <Duration ms={restoreMs} hasTenths />
          </>
        )}
      </span>
    </p>
  );
}
