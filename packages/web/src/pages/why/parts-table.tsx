/** The parts of a time by size: each unfolds to what it consists of, and to its spans. */
import { doing } from "@valet/shared/answers/why/words";
import { type CSSProperties, type KeyboardEvent, useRef, useState } from "react";
import type { Schemas } from "../../api/client.ts";
import { formatUnits } from "../../format/even-units.ts";
import { Button } from "../../ui/button.tsx";
import { Icon } from "../../ui/icons.tsx";
import { KIND_LOOKS } from "../../ui/kind.tsx";
import { NewRows } from "../../ui/notes.tsx";
import { Sentence } from "../../ui/outside-text.tsx";
import { useHeldRows } from "../../ui/use-held-rows.ts";
import { kindOf } from "./part-kind.ts";
import { type PartRow, partRows } from "./part-rows.ts";
import { SpanList } from "./span-list.tsx";

interface PartsTableProps {
  readonly label: string;
  readonly time: Pick<Schemas["WhyView"]["time"], "wall_ms" | "parts">;
  /** The session of the answer: spans of others say so. */
  readonly sessionId: string;
  /** Whether the time goes on. */
  readonly isOpen: boolean;
}

export function PartsTable({ label, time, sessionId, isOpen }: PartsTableProps) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const body = useRef<HTMLTableSectionElement>(null);
  const { rows, units, unitMs } = partRows(time.parts, time.wall_ms, open);
  // Rows that grow past others stay in their places while a pointer or the focus is on them.
  const held = useHeldRows(rows, body, JSON.stringify([...open]));
  const toggle = (id: string) => {
    const next = new Set(open);
    if (!next.delete(id)) next.add(id);
    setOpen(next);
  };
  const move = (event: KeyboardEvent) => {
    const row = event.target instanceof HTMLElement ? event.target.closest<HTMLElement>("[data-part]") : null;
    if (row === null) return;
    const id = row.dataset.part ?? "";
    if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      const all = [...(body.current?.querySelectorAll<HTMLElement>("[data-part]") ?? [])];
      const next = all[all.indexOf(row) + (event.key === "ArrowDown" ? 1 : -1)];
      next?.querySelector("button")?.focus();
    } else if ((event.key === "ArrowRight" && !open.has(id)) || (event.key === "ArrowLeft" && open.has(id))) toggle(id);
    else return;
    event.preventDefault();
  };
  return (
    <div className="why-parts">
      <NewRows count={held.waiting} onShow={held.release} />
      <table>
        <caption className="sr">{label}</caption>
        <thead>
          <tr>
            <th scope="col">Part, largest first</th>
            <th scope="col" className="bc">
              Share of the time
            </th>
            <th scope="col" className="n">
              Time
            </th>
            <th scope="col" className="n">
              Spans
            </th>
          </tr>
        </thead>
        <tbody ref={body} onKeyDown={move}>
          <tr className="sum">
            <th scope="row">All of it{isOpen ? " so far" : ""}; the parts add up to this</th>
            <td className="bc" />
            <td className="n">{formatUnits(units, unitMs)}</td>
            <td />
          </tr>
          {held.rows.map((row) => (
            <Row key={row.id} row={row} unitMs={unitMs} sessionId={sessionId} onToggle={() => toggle(row.id)} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface RowProps {
  readonly row: PartRow;
  readonly unitMs: number;
  readonly sessionId: string;
  readonly onToggle: () => void;
}

function Row({ row, unitMs, sessionId, onToggle }: RowProps) {
  const { id, depth, part, units, left, width, isOpen } = row;
  const look = KIND_LOOKS[kindOf(part.name)];
  const canUnfold = part.parts.length > 0 || part.spans.length > 0;
  const text = doing(part);
  return (
    <>
      <tr data-part={id} className={depth > 0 ? "is-inner" : ""}>
        <th scope="row">
          <span className="part" style={{ paddingInlineStart: `${depth * 1.25}rem` }}>
            {canUnfold ? (
              <Button
                look="quiet"
                className="tw"
                aria-expanded={isOpen}
                aria-label={`Unfold: ${text}`}
                onClick={onToggle}
              >
                <Icon name={isOpen ? "down" : "right"} />
              </Button>
            ) : (
              <span className="tw" />
            )}
            {look.icon === undefined ? <span className="i" /> : <Icon name={look.icon} className={look.text} />}
            <Sentence text={text.charAt(0).toUpperCase() + text.slice(1)} max={300} />
          </span>
        </th>
        <td className="bc">
          <span className="share" style={{ "--l": `${left}%`, "--w": `${width}%` } as CSSProperties}>
            <i className={`bar ${look.bar}`} />
          </span>
        </td>
        <td className="n" title={`${part.ms} ms`}>
          {formatUnits(units, unitMs)}
        </td>
        <td className="n m2">{part.spanCount === 0 ? "" : part.spanCount}</td>
      </tr>
      {isOpen && part.spans.length > 0 && (
        <tr className="spans">
          <td colSpan={4}>
            <SpanList spans={part.spans} count={part.spanCount} sessionId={sessionId} />
          </td>
        </tr>
      )}
    </>
  );
}
