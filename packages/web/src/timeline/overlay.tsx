/** What lies across all lanes: the axis, folded gaps, and now. */

import { useMemo } from "react";
import type { Interval } from "./intervals.ts";
import { gapText, type Model } from "./model.ts";
import { formatTick } from "./tick-text.ts";
import { ticksOf } from "./ticks.ts";
import { piecesInView, type View } from "./view.ts";

interface OverlayProps {
  readonly view: View;
  readonly model: Model;
  readonly nowMs: number;
}

/** What the text at now needs, with the space before it, px. */
const NOW_PX = 130;

const offsetMs = (ms: number) => new Date(ms).getTimezoneOffset() * 60_000;

export function AxisRow({ view, nowMs }: Omit<OverlayProps, "model">) {
  const nowX = view.axis.xOf(nowMs) - view.left;
  const isNowShown = nowX > 0 && nowX <= view.width;
  const ticks = ticksOf(view, offsetMs).filter(({ x }) => !isNowShown || x < nowX - NOW_PX);
  return (
    <div className="tl-lane tl-axis" aria-hidden="true">
      <div className="tl-label" />
      <div className="tl-track">
        {ticks.map((tick) => {
          const { day, clock } = formatTick(tick, nowMs);
          return (
            <span key={tick.ms} className={`tl-tick${tick.isDayOnly ? " tl-tick-day" : ""}`} style={{ left: tick.x }}>
              {day !== undefined && <b>{day} </b>}
              {!tick.isDayOnly && clock}
            </span>
          );
        })}
        {isNowShown && (
          <span
            className="tl-tick tl-tick-now"
            style={nowX < NOW_PX ? { left: nowX } : { right: Math.max(0, view.width - nowX) }}
          >
            <b>now</b> {formatTick({ ms: nowMs, stepMs: 1000, hasDay: false }, nowMs).clock}
          </span>
        )}
      </div>
    </div>
  );
}

/** Below this there is no room for its text, px. */
const MIN_TEXT_PX = 18;

/** @param left in the view, px */
function Fold({ left, width, text }: { readonly left: number; readonly width: number; readonly text: string }) {
  return (
    <div className="tl-fold" style={{ transform: `translateX(${left}px)`, width }} title={text}>
      {width >= MIN_TEXT_PX && <span>{text}</span>}
    </div>
  );
}

/** Returns the texts of gaps, each of which is made once: those that have ended before now do not change. */
function gapTexts(model: Model): (gap: Interval, nowMs: number) => string {
  const known = new Map<string, string>();
  return (gap, nowMs) => {
    if (gap.endMs >= nowMs) return gapText(model, gap, nowMs);
    const key = `${gap.startMs} ${gap.endMs}`;
    const text = known.get(key) ?? gapText(model, gap, nowMs);
    known.set(key, text);
    return text;
  };
}

export function Folds({ view, model, nowMs }: OverlayProps) {
  const nowX = view.axis.xOf(nowMs) - view.left;
  const folds = piecesInView(view).filter(({ isFolded }) => isFolded);
  const textOf = useMemo(() => gapTexts(model), [model]);
  return (
    <div className="tl-over" aria-hidden="true">
      {folds.map((fold) => (
        <Fold key={fold.startMs} left={fold.x - view.left} width={fold.width} text={textOf(fold, nowMs)} />
      ))}
      {nowX >= 0 && nowX <= view.width && <i className="tl-now" style={{ left: nowX }} />}
    </div>
  );
}
