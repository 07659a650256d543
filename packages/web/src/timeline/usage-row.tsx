/** The lanes of tokens and of money. */
import { type ReactNode, useLayoutEffect, useMemo, useRef } from "react";
import { formatMoney, formatTokens } from "../format/figures.ts";
import { drawCosts, drawStems, type Surface, surfaceOf } from "./draw.ts";
import type { TokenStem } from "./items.ts";
import type { Model } from "./model.ts";
import { usePalette } from "./palette.ts";
import { stemsText, stepsUntilNow } from "./usage.ts";
import type { View } from "./view.ts";

interface UsageRowProps {
  readonly model: Model;
  readonly view: View;
  readonly nowMs: number;
}

export function TokensRow({ model: { stems }, view }: Omit<UsageRowProps, "nowMs">) {
  const known = useMemo(() => largestOf(stems), [stems]);
  if (known === undefined) return null;
  const { largest, label } = known;
  const x = view.axis.xOf(largest.atMs) - view.left;
  return (
    <PlotRow
      title="Tokens"
      note={["in, per call", "hollow: cached"]}
      label={label}
      height={72}
      view={view}
      draw={(surface) => drawStems(surface, stems, view, largest.input)}
    >
      {x > 0 && x < view.width - 8 && (
        <span className="tl-figure" style={x < view.width - 64 ? { left: x + 4 } : { right: view.width - x + 8 }}>
          {formatTokens(largest.input)}
        </span>
      )}
    </PlotRow>
  );
}

/** Returns the largest stem, and what all of them show; `undefined` if none has tokens. */
function largestOf(stems: readonly TokenStem[]) {
  const largest = stems.reduce<TokenStem | undefined>(
    (most, stem) => (most === undefined || stem.input > most.input ? stem : most),
    undefined,
  );
  if (largest === undefined || largest.input === 0) return undefined;
  const label = `Input tokens of each model call: ${stemsText(stems)}; the largest is ${formatTokens(largest.input)}`;
  return { largest, label };
}

interface CostRowProps extends UsageRowProps {
  /** What the session has cost, with what runs; `null` if it is not known. */
  readonly totalUsd: number | null;
  /** Whether some cost is not known. */
  readonly isPartial: boolean;
}

export function CostRow({ model, view, nowMs, totalUsd, isPartial }: CostRowProps) {
  const costs = useMemo(() => stepsUntilNow(model.costs, totalUsd, model.startMs, nowMs), [model, totalUsd, nowMs]);
  const last = costs.at(-1);
  if (last === undefined) return null;
  const text = formatMoney(last.usd, isPartial);
  return (
    <PlotRow
      title="Cost"
      note={["so far"]}
      label={`Cost so far, reaching ${text}`}
      height={84}
      view={view}
      draw={(surface) => drawCosts(surface, costs, view, nowMs, last.usd)}
    >
      <span className="tl-figure right-4">
        <b>{text}</b>
      </span>
    </PlotRow>
  );
}

function PlotRow(props: {
  readonly title: string;
  readonly note: readonly string[];
  /** What it shows, in words. */
  readonly label: string;
  readonly height: number;
  readonly view: View;
  readonly draw: (surface: Surface) => void;
  readonly children: ReactNode;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const palette = usePalette();
  const { title, note, label, height, view, draw } = props;
  useLayoutEffect(() => {
    const surface = canvas.current && surfaceOf(canvas.current, palette, view.width, height);
    if (surface) draw(surface);
  });
  return (
    <div className="tl-lane">
      <div className="tl-label">
        <span>{title}</span>
        {note.map((line) => (
          <span key={line} className="tl-note">
            {line}
          </span>
        ))}
      </div>
      <div className="tl-track" style={{ height }}>
        <canvas ref={canvas} role="img" aria-label={label} style={{ width: view.width, height }} />
        {props.children}
      </div>
    </div>
  );
}
