/** All that is known of one span. */
import { useId, useState } from "react";
import { formatAge } from "../format/duration.ts";
import { formatExactTime } from "../format/figures.ts";
import { withKeys } from "../format/with-keys.ts";
import { Button } from "../ui/button.tsx";
import { copyText } from "../ui/copy-text.ts";
import { Duration } from "../ui/figure.tsx";
import { Icon } from "../ui/icons.tsx";
import { KIND_LOOKS } from "../ui/kind.tsx";
import { CopyButton } from "../ui/notes.tsx";
import { OutsideText } from "../ui/outside-text.tsx";
import { Scrollable } from "../ui/scrollable.tsx";
import { Tabs } from "../ui/tabs.tsx";
import { ageMs, awaitsFirstByte, explainError, heardOf, lastSeenUs, oddityText, reasonOf } from "./details.ts";
import type { Item } from "./item.ts";
import { hasFailed } from "./model.ts";
import type { OtlpAttribute, OtlpSpan } from "./otlp.ts";
import { type Tie, tieText } from "./rows.ts";
import type { Backlinks } from "./use-backlinks.ts";

interface SpanPanelProps {
  readonly item: Item;
  readonly otlp: OtlpSpan | undefined;
  /** Whether its attributes could not be read. */
  readonly hasFailed: boolean;
  readonly nowMs: number;
  /** Its links, and those to it. */
  readonly ties: readonly Tie[];
  /** How far the links to it are known. */
  readonly backlinks: Backlinks["state"];
  readonly onTie: (tie: Tie) => void;
}

type TabName = "attributes" | "events" | "links" | "otlp";
/** Longer values show their beginning, until they are copied. */
const MAX_VALUE = 4_000;
const MAX_RAW = 200_000;

export function SpanPanel(props: SpanPanelProps) {
  const { item, otlp, nowMs, ties } = props;
  const [tab, setTab] = useState<TabName>("attributes");
  const heading = useId();
  const { span } = item;
  const look = KIND_LOOKS[item.kind];
  const state = span.isSealed ? "lost" : hasFailed(span) ? "failed" : undefined;
  const icon = state ?? look.icon;
  const reason = reasonOf(otlp);
  const error = explainError(reason);
  const attributes = Array.from(otlp?.attributes ?? [], ([key, value]) => ({ key, value })).sort((a, b) =>
    a.key < b.key ? -1 : 1,
  );
  const unknown = (
    <p className="m2 wf-none">
      {props.hasFailed
        ? "The span could not be read. It is tried again when it is selected."
        : "The span is being read."}
    </p>
  );
  return (
    <aside className="wf-side" aria-labelledby={heading}>
      <div>
        <h2 id={heading} className="flex items-center gap-2">
          {icon !== undefined && <Icon name={icon} className={state === undefined ? look.text : "t-failed"} />}
          <OutsideText text={span.name === "" ? "(no name)" : span.name} className="wf-wrap" max={500} />
        </h2>
        <p className="wf-big">
          <Headline item={item} otlp={otlp} nowMs={nowMs} />
        </p>
        {reason !== undefined && (
          <p className="m2 wf-wrap">
            <OutsideText text={reason} className="mono" max={200} />
            {error !== undefined && `: ${error.meaning}${error.remedy === undefined ? "" : ` ${error.remedy}`}`}
          </p>
        )}
        {otlp?.statusMessage !== undefined && (
          <p className="m2 wf-wrap">
            <OutsideText text={otlp.statusMessage} max={1_000} />
          </p>
        )}
        {item.oddities.length > 0 && (
          <ul className="wf-odd">
            {item.oddities.map((oddity) => (
              <li key={oddity.type}>{oddityText(oddity)}</li>
            ))}
          </ul>
        )}
        <Facts item={item} otlp={otlp} nowMs={nowMs} />
      </div>
      <Tabs<TabName>
        label="Of this span"
        value={tab}
        onChange={setTab}
        tabs={[
          {
            value: "attributes",
            text: "Attributes",
            content: otlp === undefined ? unknown : <Attributes attributes={attributes} />,
          },
          {
            value: "events",
            text: <Counted word="Events" count={otlp?.events.length} />,
            content: otlp === undefined ? unknown : <Events otlp={otlp} startUs={span.startUs} />,
          },
          { value: "links", text: <Counted word="Links" count={ties.length} />, content: <Links {...props} /> },
          { value: "otlp", text: "OTLP", content: otlp === undefined ? unknown : <Raw otlp={otlp} /> },
        ]}
      />
    </aside>
  );
}

function Counted({ word, count }: { readonly word: string; readonly count: number | undefined }) {
  return (
    <>
      {word} <span className="m">{count ?? "–"}</span>
    </>
  );
}

function Headline({ item, otlp, nowMs }: Pick<SpanPanelProps, "item" | "otlp" | "nowMs">) {
  const { span } = item;
  if (span.endUs === undefined) {
    return (
      <>
        Open {formatAge(ageMs(item, span.startUs / 1000, nowMs))}
        {awaitsFirstByte(item, otlp) && ", no byte yet"}
      </>
    );
  }
  return (
    <>
      <Duration ms={(span.endUs - span.startUs) / 1000} />
      {span.outcome !== undefined && `, ${span.outcome}`}
      {span.isSealed && ", sealed"}
    </>
  );
}

function Facts({ item, otlp, nowMs }: Pick<SpanPanelProps, "item" | "otlp" | "nowMs">) {
  const { span } = item;
  const isOpen = span.endUs === undefined;
  const heard = heardOf(otlp);
  const ago = (ms: number | undefined) => (ms === undefined ? undefined : `${formatAge(ageMs(item, ms, nowMs))} ago`);
  const time = (us: number | undefined) => (us === undefined ? undefined : formatExactTime(new Date(us / 1000)));
  const facts: readonly (readonly [what: string, value: string | undefined])[] = [
    ["last byte from the provider", isOpen ? ago(heard.byte) : undefined],
    ["last output", isOpen ? ago(heard.content) : undefined],
    ["last request sent", isOpen ? ago(heard.request) : undefined],
    ["started", time(span.startUs)],
    ["last sign of life", time(lastSeenUs(item, otlp))],
    [span.isSealed ? "sealed" : "ended", time(span.endUs)],
    ["service", otlp?.service],
    ["span", span.spanId],
    ["parent", span.parentSpanId],
  ];
  return (
    <dl className="wf-facts">
      {facts.map(([what, value]) =>
        value === undefined ? null : (
          <div key={what}>
            <dt>{what}</dt>
            <dd>
              <OutsideText text={value} max={200} />
            </dd>
          </div>
        ),
      )}
    </dl>
  );
}

function Attributes({ attributes }: { readonly attributes: readonly OtlpAttribute[] }) {
  if (attributes.length === 0) return <p className="m2 wf-none">This span has none.</p>;
  const all = attributes.map(({ key, value }) => `${key}=${value}`).join("\n");
  return (
    <>
      <AttributeTable attributes={attributes} />
      <CopyButton text={all} label="Copy all" />
    </>
  );
}

function AttributeTable({ attributes }: { readonly attributes: readonly OtlpAttribute[] }) {
  return (
    <table className="wf-attributes">
      <tbody>
        {attributes.map(({ key, value }) => (
          <tr key={key}>
            <th scope="row">
              <OutsideText text={key} max={200} />
            </th>
            <td>
              <OutsideText text={value} max={MAX_VALUE} />
            </td>
            <td className="wf-copy">
              <CopyIcon text={value} name={key.slice(0, 80)} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function CopyIcon({ text, name }: { readonly text: string; readonly name: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = async () => setCopied(await copyText(text));
  return (
    <Button
      look="quiet"
      className="sq"
      icon={isCopied ? "ok" : "copy"}
      aria-label={`${isCopied ? "Copied" : "Copy"} ${name}`}
      onClick={copy}
      onBlur={() => setCopied(false)}
    />
  );
}

function Events({ otlp: { events }, startUs }: { readonly otlp: OtlpSpan; readonly startUs: number }) {
  if (events.length === 0) return <p className="m2 wf-none">This span has none.</p>;
  return (
    <ol className="wf-events">
      {withKeys(events, ({ atMs, name }) => `${atMs} ${name}`).map(({ key, item: event }) => (
        <li key={key}>
          <p>
            <OutsideText text={event.name} className="font-medium" max={300} />{" "}
            <span className="m">
              <Duration ms={event.atMs - startUs / 1000} /> after the start
            </span>
          </p>
          {event.attributes.length > 0 && <AttributeTable attributes={event.attributes} />}
        </li>
      ))}
    </ol>
  );
}

const BACKLINKS_TEXTS: Readonly<Record<Backlinks["state"], string>> = {
  loading: "Links to this span are being read.",
  failed: "Links to this span could not be read: only its own are known.",
  ready: "All spans of this session that link to this one are here, whatever their age.",
  more: "The trace has more links to it than are read: some to this span may be missing.",
};

function Links({ ties, backlinks, onTie }: SpanPanelProps) {
  return (
    <>
      {ties.length > 0 && (
        <ul className="wf-links">
          {ties.map((tie) => (
            <li key={`${tie.direction}${tie.traceId}${tie.spanId}`}>
              <span className="wf-wrap">
                <OutsideText text={tieText(tie)} max={60} /> span <code>{tie.spanId.slice(0, 8)}…</code> of trace{" "}
                <code>{tie.traceId.slice(0, 8)}…</code>
              </span>
              <Button onClick={() => onTie(tie)}>Show in place</Button>
            </li>
          ))}
        </ul>
      )}
      <p className="m2 wf-none">
        {ties.length === 0 && backlinks === "ready"
          ? "It links to no span, and no span of this session links to it, whatever its age."
          : BACKLINKS_TEXTS[backlinks]}
      </p>
    </>
  );
}

function Raw({ otlp }: { readonly otlp: OtlpSpan }) {
  const text = JSON.stringify(otlp.raw, null, 2);
  const download = () => {
    const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = `span-${otlp.spanId}.json`;
    link.click();
    URL.revokeObjectURL(url);
  };
  return (
    <>
      <div className="flex gap-2 mt-2">
        <CopyButton text={text} label="Copy" />
        <Button look="quiet" onClick={download}>
          Download
        </Button>
      </div>
      <Scrollable as="pre" label="OTLP of this span" className="wf-raw">
        <OutsideText text={text} max={MAX_RAW} />
      </Scrollable>
    </>
  );
}
