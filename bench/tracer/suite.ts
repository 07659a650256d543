import { join } from "node:path";
import { NO_COLLECTION } from "../lib/memory.ts";
import { runJson } from "../lib/runtime.ts";
import type { Runtime, Suite } from "../lib/suite.ts";
import { type Bound, compare, type Measurement, type Row, type Table } from "../lib/table.ts";
import { measureBundles } from "./bundle.ts";
import type { MeasureId } from "./measures.ts";
import { NAMES } from "./names.ts";

/** Returns the limit for this contender, if any. */
type BoundOf = (contender: string) => Bound | undefined;

const OFFICIAL: readonly string[] = [NAMES.official3, NAMES.official2];

const besideOfficial =
  (atMost: number): BoundOf =>
  (contender) =>
    OFFICIAL.includes(contender) ? { of: "ratio", atMost } : undefined;
/** Shown once, beside the first of the others. */
const alone =
  (atMost: number): BoundOf =>
  (contender) =>
    contender === NAMES.official3 || contender === NAMES.officialApi ? { of: "ours", atMost } : undefined;

const THIRD_OF_THE_TIME = besideOfficial(1 / 3);
const HALF_THE_MEMORY = besideOfficial(1 / 2);
const DISABLED_NANOSECONDS = alone(30);
/** None: reading the heap itself costs a few bytes, and a span of any kind at least 16. */
const DISABLED_BYTES = alone(0.5);
const AS_FAST_AS_STRINGIFY: BoundOf = (contender) =>
  contender === "JSON.stringify" ? { of: "ratio", atMost: 1 } : undefined;
const RETAINED = besideOfficial(0.6);
const HALF_THE_BUNDLE = besideOfficial(1 / 2);
const UNBOUNDED: BoundOf = () => undefined;

interface Plan {
  /** By the measurement's unit. */
  readonly bounds: { readonly [unit in Measurement["unit"]]?: BoundOf };
  /** The process must not collect garbage on its own. */
  readonly countsAllocation?: true;
}

const PLANS: { readonly [id in MeasureId]: Plan } = {
  "record-sink": { bounds: { ns: THIRD_OF_THE_TIME } },
  "record-batches": { bounds: { ns: THIRD_OF_THE_TIME } },
  "allocate-sink": { bounds: { bytes: HALF_THE_MEMORY }, countsAllocation: true },
  "allocate-batches": { bounds: { bytes: HALF_THE_MEMORY }, countsAllocation: true },
  retain: { bounds: { bytes: RETAINED } },
  disabled: { bounds: { ns: DISABLED_NANOSECONDS } },
  "allocate-disabled": { bounds: { bytes: DISABLED_BYTES }, countsAllocation: true },
  encode: { bounds: { µs: AS_FAST_AS_STRINGIFY } },
};

async function take(id: MeasureId, runtime: Runtime, quick: boolean): Promise<Row[]> {
  const { bounds, countsAllocation } = PLANS[id];
  const measurements = await runJson<Measurement[]>(
    join(import.meta.dirname, "child.ts"),
    [id, quick ? "quick" : "full"],
    {
      runtime,
      nodeFlags: ["--expose-gc", ...(countsAllocation ? NO_COLLECTION.nodeFlags : [])],
      env: countsAllocation ? NO_COLLECTION.env : {},
    },
  );
  return measurements.flatMap((each) => compare(each, NAMES.valet, bounds[each.unit] ?? UNBOUNDED));
}

/** The tracer beside the official SDK and effect's: the cost of a span, on or off, and the size to load. */
export const tracer: Suite = {
  name: "tracer",
  summary: "our tracer beside OpenTelemetry's SDK and effect's: time, memory, encoding, size",

  async run({ runtimes, quick, progress }) {
    const tables: Table[] = [];
    for (const runtime of runtimes) {
      const rows: Row[] = [];
      for (const id of Object.keys(PLANS) as MeasureId[]) {
        progress(`${id} on ${runtime}`);
        rows.push(...(await take(id, runtime, quick)));
      }
      tables.push({ title: `One span, on ${runtime}`, rows });
    }
    progress("bundle sizes");
    const { tracer, withConfig } = await measureBundles();
    const rows = [
      ...tracer.flatMap((each) => compare(each, NAMES.valet, HALF_THE_BUNDLE)),
      ...withConfig.flatMap((each) => compare(each, NAMES.valet, UNBOUNDED)),
    ];
    return [...tables, { title: "Bundles, minified and gzip'd", rows }];
  },
};
