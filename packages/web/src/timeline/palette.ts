/** The colours and patterns of canvases: those of the theme. */
import type { Kind } from "../ui/kind.tsx";
import { useShownTheme } from "../ui/use-shown-theme.ts";

export interface Palette {
  readonly bars: Readonly<Record<Kind, string>>;
  readonly line: string;
  readonly edge: string;
  readonly select: string;
  readonly surface: string;
  readonly ink: string;
  readonly ink2: string;
  readonly failed: string;
  readonly model: string;
  readonly person: string;
  readonly font: string;
}

function readPalette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(name).trim();
  const [model, tool, sandbox, queue, person, retry] = [
    "--model",
    "--tool",
    "--sandbox",
    "--queue",
    "--person",
    "--retry",
  ].map(of) as [string, string, string, string, string, string];
  const [edge, failed] = [of("--edge"), of("--failed")];
  return {
    bars: { model, "first-byte": model, tool, sandbox, queue, person, retry, lost: failed, other: edge },
    line: of("--line"),
    edge,
    select: of("--select"),
    surface: of("--surface"),
    ink: of("--ink"),
    ink2: of("--ink-2"),
    failed,
    model,
    person: of("--person-t"),
    font: `400 11px ${getComputedStyle(document.body).fontFamily}`,
  };
}

const palettes = new Map<string, Palette>();

/** Returns the palette of the theme that is shown: the same object as long as it is. */
export function usePalette(): Palette {
  const theme = useShownTheme();
  const palette = palettes.get(theme) ?? readPalette();
  palettes.set(theme, palette);
  return palette;
}

const PATTERNS = new Map<string, CanvasPattern | null>();

/** How a pattern is drawn: the size of its tile and the width of its lines, px, and the direction of these. */
const HATCHES = {
  queue: { size: 6, line: 1.4, angle: "rising" },
  person: { size: 7, line: 3, angle: "falling" },
  retry: { size: 4, line: 2, angle: "upright" },
} as const;
type Hatch = keyof typeof HATCHES;

export function isHatched(kind: Kind): kind is Hatch {
  return Object.hasOwn(HATCHES, kind);
}

/** Returns the pattern of a kind. @param scale device pixels per pixel */
export function hatchOf(
  context: CanvasRenderingContext2D,
  kind: Hatch,
  colour: string,
  scale: number,
): CanvasPattern | string {
  const key = `${kind} ${colour} ${scale}`;
  if (!PATTERNS.has(key)) PATTERNS.set(key, makeHatch(context, kind, colour, scale));
  return PATTERNS.get(key) ?? colour;
}

function makeHatch(
  context: CanvasRenderingContext2D,
  kind: Hatch,
  colour: string,
  scale: number,
): CanvasPattern | null {
  const { size, line, angle } = HATCHES[kind];
  const side = Math.max(2, Math.round(size * scale));
  const tile = document.createElement("canvas");
  tile.width = side;
  tile.height = side;
  const pen = tile.getContext("2d");
  if (pen === null) return null;
  pen.strokeStyle = colour;
  pen.lineWidth = line * scale;
  pen.beginPath();
  // A line begins and ends outside the tile, and its neighbours show in the corners.
  for (const shift of [-side, 0, side]) {
    if (angle === "upright") {
      pen.moveTo(shift + side / 2, -side);
      pen.lineTo(shift + side / 2, 2 * side);
    } else {
      const [from, to] = angle === "rising" ? [2 * side, -side] : [-side, 2 * side];
      pen.moveTo(shift - side, from);
      pen.lineTo(shift + 2 * side, to);
    }
  }
  pen.stroke();
  const pattern = context.createPattern(tile, "repeat");
  pattern?.setTransform(new DOMMatrix().scale(1 / scale));
  return pattern;
}
