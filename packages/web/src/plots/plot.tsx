/**
 * A plot on a canvas, as wide as its place, in the colours of the theme. A canvas says nothing to a screen reader: `label` says what
 * it shows, and the figures stand in a table near it.
 */
import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
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
  // biome-ignore lint/correctness/useExhaustiveDependencies: the colours are those of the theme, which no function tells
  useEffect(() => {
    const node = place.current;
    if (node === null || width === 0) return;
    const shown = latest.current.options(plotColours(node), width);
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

function useWidth(place: React.RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const node = place.current;
    if (node === null) return;
    const observer = new ResizeObserver(() => setWidth(Math.floor(node.clientWidth)));
    observer.observe(node);
    return () => observer.disconnect();
  }, [place]);
  return width;
}

/** Returns the theme that is shown, whoever has changed it: a person, or the system. */
function useShownTheme(): string {
  const [theme, setTheme] = useState("");
  useEffect(() => {
    const root = document.documentElement;
    const read = () => setTheme(root.dataset.theme ?? "");
    read();
    const observer = new MutationObserver(read);
    observer.observe(root, { attributeFilter: ["data-theme"] });
    return () => observer.disconnect();
  }, []);
  return theme;
}
