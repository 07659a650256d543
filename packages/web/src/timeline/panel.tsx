/** What is known of the selected item. */

import { Link, useNavigate } from "@tanstack/react-router";
import { lacksCost } from "@valet/shared/protocol/cost";
import { memo, type ReactNode } from "react";
import { useActions } from "../app/actions.ts";
import { formatExactTime } from "../format/figures.ts";
import { Button, buttonClass } from "../ui/button.tsx";
import { Count, Duration, Money, Tokens } from "../ui/figure.tsx";
import { Icon } from "../ui/icons.tsx";
import { Kbd } from "../ui/kbd.tsx";
import { KIND_LOOKS } from "../ui/kind.tsx";
import { OutsideText } from "../ui/outside-text.tsx";
import type { Item, Lane } from "./items.ts";
import type { Turn } from "./turns.ts";

interface PanelProps {
  readonly lane: Lane;
  readonly item: Item;
  readonly turn: Turn | undefined;
  readonly nowMs: number;
  readonly sessionId: string;
  /** Brings it into view, as large as it can be. */
  readonly onZoom: () => void;
}

export const Panel = memo(function Panel(props: PanelProps) {
  const { lane, item, turn, nowMs, onZoom } = props;
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
        <div className="acts0 mt-2">
          <TraceLink {...props} />
          <Button onClick={onZoom}>Zoom to it</Button>
          {item.messageId !== undefined && lane.kind !== "child" && (
            <Link
              to="/sessions/$sessionId/messages/$messageId/why"
              params={{ sessionId: props.sessionId, messageId: item.messageId }}
              className={buttonClass("quiet")}
            >
              Why so long
            </Link>
          )}
        </div>
      </div>
      <dl className="tl-facts">
        <Fact name="began">{formatExactTime(new Date(item.startMs))}</Fact>
        <Fact name="ended">{endMs === undefined ? "not yet" : formatExactTime(new Date(endMs))}</Fact>
        {item.heardMs !== undefined && <Fact name="last heard from">{formatExactTime(new Date(item.heardMs))}</Fact>}
        {item.usage !== undefined && <CallFacts usage={item.usage} isCostPartial={item.isCostPartial} />}
        {turn !== undefined && <TurnFacts turn={turn} />}
      </dl>
    </section>
  );
});

/** The way to its trace, where its attributes are. What a child session did is in a trace of that session. */
function TraceLink({ lane, item, sessionId }: PanelProps) {
  const navigate = useNavigate();
  const { traceId, spanId } = item;
  const to = traceId !== undefined && {
    to: "/sessions/$sessionId/traces/$traceId" as const,
    params: { sessionId: lane.kind === "child" && lane.of !== undefined ? lane.of : sessionId, traceId },
    search: spanId === undefined ? {} : { span: spanId },
  };
  useActions([
    {
      label: "Open what is selected in its trace",
      group: "Timeline",
      keys: "t",
      applies: () => to !== false,
      run: () => to !== false && void navigate(to),
    },
  ]);
  if (to === false) return null;
  return (
    <Link {...to} className={buttonClass()}>
      Open in trace <Kbd keys="T" />
    </Link>
  );
}

interface CallFactsProps extends Pick<Item, "isCostPartial"> {
  readonly usage: NonNullable<Item["usage"]>;
}

function CallFacts({ usage: { input, cached, costUsd }, isCostPartial = false }: CallFactsProps) {
  return (
    <>
      <Fact name="tokens of this call">
        <Tokens count={input ?? null} /> in · <Tokens count={cached ?? null} /> cached
      </Fact>
      <Fact name="cost of this call">
        <Money usd={costUsd ?? null} isPartial={isCostPartial} />
      </Fact>
    </>
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
            <Money usd={record.cost_usd} isPartial={lacksCost(record)} />
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
