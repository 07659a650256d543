/** The whole session on one line, with a frame around what is in view. */
import { useLayoutEffect, useMemo, useRef } from "react";
import { surfaceOf } from "./draw.ts";
import { barsOf } from "./geometry.ts";
import type { Model } from "./model.ts";
import { hatchOf, isHatched, usePalette } from "./palette.ts";
import { timeInView, type View, viewOf } from "./view.ts";

interface MinimapProps {
  readonly model: Model;
  readonly view: View;
  readonly nowMs: number;
  readonly width: number;
  readonly height?: number;
  /** Moves what is in view to be around a time. */
  readonly onMove?: (ms: number) => void;
}

/** The line of a kind, from 0: sandbox above, work in the middle, waits of messages below. */
const LINES = { sandbox: 0, queue: 2 } as const;

export function Minimap({ model, view, nowMs, width, height = 24, onMove }: MinimapProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const palette = usePalette();
  const whole = useMemo(() => viewOf(view.stretches, undefined, width), [view.stretches, width]);
  useLayoutEffect(() => {
    const surface = canvas.current && surfaceOf(canvas.current, palette, width, height);
    if (!surface) return;
    const { context, scale } = surface;
    const pitch = (height - 6) / 3;
    for (const { isFolded, x, width: wide } of whole.axis.pieces) {
      if (!isFolded) continue;
      context.fillStyle = palette.line;
      context.fillRect(x, 0, Math.max(1, wide), height);
    }
    for (const lane of model.lanes) {
      for (const { item, x, width: wide } of barsOf(lane, whole, nowMs)) {
        if (item.isShell || item.kind === "other") continue;
        const line = item.kind === "sandbox" || item.kind === "queue" ? LINES[item.kind] : 1;
        const isBad = item.state !== "ok";
        const colour = isBad ? palette.failed : palette.bars[item.kind];
        context.fillStyle = isHatched(item.kind) && wide > 4 ? hatchOf(context, item.kind, colour, scale) : colour;
        context.fillRect(x, 3 + line * pitch, Math.max(1, wide), pitch - 1.5);
      }
    }
  }, [model, whole, nowMs, palette, width, height]);
  const { startMs, endMs } = timeInView(view);
  const from = Math.max(0, whole.axis.xOf(startMs));
  const to = Math.min(width, whole.axis.xOf(endMs));
  const isWhole = view.pxPerMs <= view.fit.pxPerMs * 1.0001;
  const label = isWhole
    ? "Overview of the whole session; all of it is in view"
    : "Overview of the whole session; the frame is what is in view";
  const move = (event: React.PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    onMove?.(whole.axis.msOf(event.clientX - box.left));
  };
  return (
    <div
      className="tl-map"
      style={{ height }}
      onPointerDown={(event) => {
        if (event.button !== 0 || onMove === undefined) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        move(event);
      }}
      onPointerMove={(event) => event.currentTarget.hasPointerCapture(event.pointerId) && move(event)}
    >
      <canvas ref={canvas} role="img" aria-label={label} style={{ width, height }} />
      {onMove !== undefined && (
        <i className="tl-frame" aria-hidden="true" style={{ left: from, width: Math.max(6, to - from) }} />
      )}
    </div>
  );
}
