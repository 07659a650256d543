/** The list of parts as rows: what is unfolded, what is shown of each. Pure. */
import type { Schemas } from "../../api/client.ts";
import { evenUnits, unitOf } from "../../format/even-units.ts";

type Part = Schemas["WhyPart"];

export interface PartRow {
  /** Where it stands: the names and details of the parts around it, and its own. */
  readonly id: string;
  readonly depth: number;
  readonly part: Part;
  /** What is shown of its time; those of one list add up to that of the part around it. */
  readonly units: number;
  /** Where its bar begins and how long it is, in percent of the whole. */
  readonly left: number;
  readonly width: number;
  readonly isOpen: boolean;
}

interface PartRows {
  readonly rows: readonly PartRow[];
  /** What is shown of the whole, in units of `unitMs`. */
  readonly units: number;
  readonly unitMs: number;
}

/** @param open the ids of the rows that are unfolded */
export function partRows(parts: readonly Part[], wallMs: number, open: ReadonlySet<string>): PartRows {
  const unitMs = unitOf(wallMs);
  const units = Math.round(wallMs / unitMs);
  const rows: PartRow[] = [];
  const add = (list: readonly Part[], within: { id: string; units: number; left: number; depth: number }) => {
    const shown = evenUnits(
      list.map(({ ms }) => ms),
      within.units,
    );
    let { left } = within;
    for (const [index, part] of list.entries()) {
      const id = `${within.id}/${part.name}:${part.detail ?? ""}`;
      const width = wallMs === 0 ? 0 : (part.ms / wallMs) * 100;
      // Bars of the outermost level are compared, those within one lie behind each other in it.
      const row: PartRow = {
        ...{ id, part, width, depth: within.depth, units: shown[index] ?? 0 },
        left: within.depth === 0 ? 0 : left,
        isOpen: open.has(id),
      };
      rows.push(row);
      if (row.isOpen) add(part.parts, { id, units: row.units, left: row.left, depth: within.depth + 1 });
      left += width;
    }
  };
  add(parts, { id: "", units, left: 0, depth: 0 });
  return { rows, units, unitMs };
}

/** How many bars have a text, and how long one has to be for it, in percent. */
const LABELLED_PERCENT = 9;

export interface CourseBar {
  readonly name: Part["name"];
  readonly detail: string | null;
  readonly ms: number;
  /** When it began, in ms after the start. */
  readonly atMs: number;
  readonly left: number;
  readonly width: number;
  /** Whether it is long enough for a text above it. */
  readonly hasLabel: boolean;
}

/** Returns the bars of the course of a message's time, in order. */
export function courseBars({ wall_ms, course }: Schemas["WhyView"]["time"]): CourseBar[] {
  let atMs = 0;
  return course.map(({ name, detail, ms }) => {
    const width = (ms / wall_ms) * 100;
    const bar = { name, detail, ms, atMs, left: (atMs / wall_ms) * 100, width, hasLabel: width >= LABELLED_PERCENT };
    atMs += ms;
    return bar;
  });
}
