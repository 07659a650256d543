/** What lies across all lanes: the axis, folded gaps, and now. */

import { gapText, type Model } from "./model.ts";
import { formatTick } from "./tick-text.ts";
import { ticksOf } from "./ticks.ts";
import type { View } from "./view.ts";

interface OverlayProps {
  readonly view: View;
  readonly model: Model;
  readonly nowMs: number;
}

const offsetMs = (ms: number) => new Date(ms).getTimezoneOffset() * 60_000;

export function AxisRow({ view, nowMs }: Omit<OverlayProps, "model">) {
  const nowX = view.axis.xOf(nowMs) - view.left;
  const isNowShown = nowX > 0 && nowX <= view.width;
  const ticks = ticksOf(view, offsetMs).filter(({ x }) => !isNowShown || x < nowX - 130);
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
          <span className="tl-tick tl-tick-now" style={{ right: Math.max(0, view.width - nowX) }}>
            <b>now</b> {formatTick({ ms: nowMs, stepMs: 1000, hasDay: false }, nowMs).clock}
          </span>
        )}
      </div>
    </div>
  );
}

export function Folds({ view, model, nowMs }: OverlayProps) {
  const nowX = view.axis.xOf(nowMs) - view.left;
  const folds = view.axis.pieces.filter(
    ({ isFolded, x, width }) => isFolded && x + width > view.left && x < view.left + view.width,
  );
  return (
    <div className="tl-over" aria-hidden="true">
      {folds.map((fold) => (
        <div
          key={fold.startMs}
          className="tl-fold"
          style={{ left: fold.x - view.left, width: fold.width }}
          title={gapText(model, fold, nowMs)}
        >
          {fold.width >= 18 && <span>{gapText(model, fold, nowMs)}</span>}
        </div>
      ))}
      {nowX >= 0 && nowX <= view.width && <i className="tl-now" style={{ left: nowX }} />}
    </div>
  );
}
