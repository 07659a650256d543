/** The head of the waterfall: the time axis. Dragging on it selects a range; buttons and keys do the same in steps. */
import { type PointerEvent, type RefObject, useState } from "react";
import { formatExactTime } from "../format/figures.ts";
import { between, type Tick, type View } from "./scale.ts";

interface AxisProps {
  readonly axis: RefObject<HTMLTableCellElement | null>;
  readonly view: View;
  readonly ticks: readonly Tick[];
  readonly originUs: number;
  readonly onSelect: (view: View) => void;
}

/** A shorter drag is a click, px. */
const MIN_DRAG = 6;

export function Axis({ axis, view, ticks, originUs, onSelect }: AxisProps) {
  const [drag, setDrag] = useState<{ readonly from: number; readonly to: number }>();
  const at = (event: PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / Math.max(1, box.width)));
  };
  const end = (event: PointerEvent) => {
    if (drag === undefined) return;
    setDrag(undefined);
    const to = at(event);
    const px = Math.abs(to - drag.from) * event.currentTarget.clientWidth;
    if (px >= MIN_DRAG) onSelect(between(view, drag.from, to));
  };
  return (
    <tr className="wf-row wf-head" aria-rowindex={1}>
      <th scope="col" className="wf-name m">
        Span
      </th>
      <th scope="col" className="wf-lasted m">
        Duration
      </th>
      <th
        ref={axis}
        scope="col"
        className="wf-time wf-axis"
        aria-label={`Time since ${formatExactTime(new Date(originUs / 1000))}`}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          setDrag({ from: at(event), to: at(event) });
        }}
        onPointerMove={(event) => drag !== undefined && setDrag({ from: drag.from, to: at(event) })}
        onPointerUp={end}
        onPointerCancel={() => setDrag(undefined)}
      >
        {ticks.map(({ atUs, left, text }) => (
          <span key={atUs} className="wf-tick" style={{ left: `${left}%` }}>
            {text}
          </span>
        ))}
        {drag !== undefined && (
          <i
            className="wf-range"
            style={{
              left: `${Math.min(drag.from, drag.to) * 100}%`,
              width: `${Math.abs(drag.to - drag.from) * 100}%`,
            }}
          />
        )}
      </th>
    </tr>
  );
}
