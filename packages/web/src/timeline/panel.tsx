/** What is known of the selected item. */
import type { ReactNode } from "react";
import { formatExactTime } from "../format/figures.ts";
import { Count, Duration, Money, Tokens } from "../ui/figure.tsx";
import { Icon } from "../ui/icons.tsx";
import { KIND_LOOKS } from "../ui/kind.tsx";
import { OutsideText } from "../ui/outside-text.tsx";
import type { Item, Lane } from "./items.ts";
import type { Turn } from "./turns.ts";

export interface PanelProps {
  readonly lane: Lane;
  readonly item: Item;
  readonly turn: Turn | undefined;
  readonly nowMs: number;
  readonly links: ReactNode;
}

export function Panel({ lane, item, turn, nowMs, links }: PanelProps) {
  const look = KIND_LOOKS[item.kind];
  const isNamed = !item.isShell && lane.kind !== "lifecycle";
  const endMs = item.endMs;
  return (
    <section className="tl-panel" aria-label="Selected">
      <div className="min-w-0">
        <h2 className="flex items-center gap-2">
          {isNamed && look.icon !== undefined && <Icon name={look.icon} className={look.text} />}
          <OutsideText text={item.name} className="cut" max={300} />
          {isNamed && <span className="m small font-normal">{look.word}</span>}
          {item.state !== "ok" && <span className="t-failed small font-normal">{item.state}</span>}
        </h2>
        <p className="m2 mt-1">
          {endMs === undefined ? "Open for " : "Took "}
          <Duration ms={Math.max(0, (endMs ?? nowMs) - item.startMs)} hasTenths />
          {endMs === undefined ? "; it has not ended." : "."}
        </p>
        <div className="acts0 mt-2">{links}</div>
      </div>
      <dl className="tl-facts">
        <Fact name="began">{formatExactTime(new Date(item.startMs))}</Fact>
        <Fact name="ended">{endMs === undefined ? "not yet" : formatExactTime(new Date(endMs))}</Fact>
        {turn !== undefined && <TurnFacts turn={turn} />}
      </dl>
    </section>
  );
}

function TurnFacts({ turn }: { readonly turn: Turn }) {
  const { number, channel, attempt, record, messageId } = turn;
  return (
    <>
      <Fact name="turn">
        {number} · <OutsideText text={`# ${channel}`} max={60} /> · attempt {attempt}
      </Fact>
      {record !== undefined && (
        <>
          <Fact name="cost of this turn">
            <Money usd={record.cost_usd} isPartial={(record.calls_without_cost ?? 0) > 0} />
          </Fact>
          <Fact name="tokens of this turn">
            <Tokens count={record.tokens_input} /> in · <Tokens count={record.tokens_output} /> out ·{" "}
            <Tokens count={record.tokens_cache_read} /> cached
          </Fact>
          <Fact name="calls of this turn">
            <Count count={record.model_calls} /> model · <Count count={record.tool_calls} /> tool
          </Fact>
        </>
      )}
      {messageId !== undefined && (
        <Fact name="message">
          <span className="mono">{messageId}</span>
        </Fact>
      )}
    </>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}
