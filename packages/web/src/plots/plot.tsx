/**
 * A plot on a canvas, as wide as its place, in the colours of the theme. A canvas says nothing to a screen reader: `label` says what
 * it shows, and the figures stand in a table near it.
 */
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useShownTheme } from "../ui/use-shown-theme.ts";
import { useWidth } from "../ui/use-width.ts";
import { type PlotColours, plotColours } from "./plot-colours.ts";

interface PlotProps {
  readonly label: string;
  /** px */
  readonly height: number;
  readonly data: uPlot.AlignedData;
  /** Returns what is drawn, without the size; it is asked again when the theme, the width or `data` changes. @param width px */
  readonly options: (colours: PlotColours, width: number) => Omit<uPlot.Options, "width" | "height">;
  readonly onClick?: (plot: uPlot, left: number, top: number) => void;
}

export function Plot({ label, height, data, options, onClick }: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const width = useWidth(place);
  const theme = useShownTheme();
  const latest = useRef({ options, onClick });
  latest.current = { options, onClick };
  useEffect(() => {
    const node = place.current;
    if (node === null || width === 0) return;
    const shown = latest.current.options(plotColours(theme), width);
    const plot = new uPlot({ ...shown, width, height }, data, node);
    const click = () => {
      const { left = -1, top = -1 } = plot.cursor;
      if (left >= 0) latest.current.onClick?.(plot, left, top);
    };
    plot.over.addEventListener("click", click);
    return () => plot.destroy();
  }, [data, width, height, theme]);
  return <div ref={place} className="plot-place" role="img" aria-label={label} style={{ height }} />;
}
