import { setImmediate } from "node:timers/promises";
import { encodeTraces } from "@valet/shared/tracing";
import { allocatedBytes, collectGarbage, retainedBytes } from "../lib/memory.ts";
import { alternate } from "../lib/rounds.ts";
import type { Measurement, Samples } from "../lib/table.ts";
import type { Contender, Record } from "./contender.ts";
import { effect } from "./contenders/effect.ts";
import { createDisabledApi, official3 } from "./contenders/official-3.ts";
import { createDisabled, recordSpans, valet } from "./contenders/valet.ts";
import { official2 } from "./official-2/contender.ts";
import { Sink } from "./sink.ts";
import { BATCH, createInputs, RESOURCE } from "./workload.ts";

const CONTENDERS: readonly Contender[] = [valet, official3, official2, effect];

/** How often to measure. A sample is `batches` of {@link BATCH} spans. */
interface Effort {
  readonly rounds: number;
  readonly warmUp: number;
  readonly batches: number;
}

/**
 * Uncounted batches before each sample. After a full collection V8's young generation is small, and until it has grown,
 * allocation costs more than in a running program. Right after it all encoders take twice as long.
 */
const LEAD_IN = 8;

/** Measures the cost of some work. */
type Meter = (work: () => void) => number;

/**
 * CPU time of the whole process: excludes other processes of the machine, and includes the engine's own threads, which
 * collect garbage and compile.
 */
const nanoseconds: Meter = (work) => {
  const start = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) * 1e3;
};

const bytes: Meter = (work) => {
  const before = allocatedBytes();
  work();
  return allocatedBytes() - before;
};

async function recordInto(target: "toSink" | "toBatches", meter: Meter, effort: Effort): Promise<Samples> {
  const inputs = createInputs(BATCH);
  const recorders = await Promise.all(
    CONTENDERS.map(async (contender) => {
      const sink = new Sink();
      return { name: contender.name, sink, record: await contender[target](sink) };
    }),
  );
  return alternate(recorders, effort, async ({ name, sink, record }) => {
    collectGarbage();
    let sum = 0;
    for (let i = -LEAD_IN; i < effort.batches; i++) {
      const expected = sink.received + BATCH;
      const cost = meter(() => record(inputs));
      if (i >= 0) sum += cost;
      // Work after the last `end()` that passes the batch on is not counted for any contender, but checked.
      for (let turns = 0; sink.received < expected; turns++) {
        if (turns > 1000) throw new Error(`${name}: ${expected - sink.received} of ${BATCH} spans did not arrive`);
        await setImmediate();
      }
    }
    return sum / (effort.batches * BATCH);
  });
}

/** Measures spans that are kept until the end, as in a queue, a store or a stuck export. */
function retain({ rounds, batches }: Effort): Promise<Samples> {
  const inputs = createInputs(BATCH);
  return alternate(CONTENDERS, { rounds, warmUp: 1 }, (contender) => {
    const sink = new Sink(Number.POSITIVE_INFINITY);
    const record: Record = contender.toSink(sink);
    const before = retainedBytes();
    for (let i = 0; i < batches; i++) record(inputs);
    const after = retainedBytes();
    const { length } = sink.kept;
    if (length !== batches * BATCH)
      throw new Error(`${contender.name}: ${batches * BATCH - length} spans did not arrive`);
    // References to the sink must not carry the spans into the next reading.
    sink.kept = [];
    return (after - before) / length;
  });
}

function disabled(how: "run" | "runWithSharedOptions", meter: Meter, effort: Effort): Promise<Samples> {
  const count = effort.batches * BATCH;
  return alternate([createDisabled(), createDisabledApi()], effort, ({ name, [how]: run }) => {
    collectGarbage();
    let passedOn = 0;
    // Many short loops, since one long loop is recompiled, while it runs, in every sample.
    const runBatches = () => {
      for (let i = 0; i < effort.batches; i++) passedOn += run(BATCH);
    };
    runBatches();
    const cost = meter(runBatches);
    if (passedOn !== 2 * count) throw new Error(`${name}: ${2 * count - passedOn} spans lost their parent's trace`);
    return cost / count;
  });
}

/** The lower bound for encoders that build objects first: `JSON.stringify` of the finished request. */
const stringify = {
  name: "JSON.stringify",
  async encoder(inputs: Parameters<Contender["encoder"]>[0]) {
    const request: unknown = JSON.parse(encodeTraces(RESOURCE, recordSpans(inputs)));
    const encoder = new TextEncoder();
    return () => encoder.encode(JSON.stringify(request));
  },
};

/**
 * Every batch is new and encoded once, as in production, so that what an engine caches about a string (its hash, its
 * flat form) does not help.
 */
async function encode({ rounds, warmUp, batches }: Effort): Promise<{ micros: Samples; megabytes: Samples }> {
  const contenders = [valet, stringify, official3, official2, effect];
  const megabytes = Object.fromEntries(contenders.map(({ name }) => [name, [] as number[]]));
  const micros = await alternate(contenders, { rounds, warmUp }, async ({ name, encoder }) => {
    const encoders = await Promise.all(Array.from({ length: LEAD_IN + batches }, () => encoder(createInputs(BATCH))));
    collectGarbage();
    for (const encodeBatch of encoders.splice(0, LEAD_IN)) encodeBatch();
    let length = 0;
    const cost = nanoseconds(() => {
      for (const encodeBatch of encoders) length += encodeBatch().length;
    });
    megabytes[name]?.push((length / cost) * 1e3);
    return cost / 1e3 / (batches * BATCH);
  });
  return { micros, megabytes: Object.fromEntries(Object.entries(megabytes).map(([k, v]) => [k, v.slice(warmUp)])) };
}

/** Takes one measure. */
type Run = (quick: boolean) => Promise<Measurement[]>;

async function one(name: string, unit: Measurement["unit"], samples: Promise<Samples>): Promise<Measurement[]> {
  return [{ name, unit, samples: await samples }];
}

const recordEffort = (quick: boolean): Effort =>
  quick ? { rounds: 3, warmUp: 1, batches: 8 } : { rounds: 13, warmUp: 4, batches: 24 };
const allocationEffort = (quick: boolean): Effort =>
  quick ? { rounds: 1, warmUp: 1, batches: 8 } : { rounds: 3, warmUp: 3, batches: 12 };
const retentionEffort = (quick: boolean): Effort =>
  quick ? { rounds: 1, warmUp: 1, batches: 8 } : { rounds: 3, warmUp: 1, batches: 32 };
const disabledEffort = (quick: boolean): Effort =>
  quick ? { rounds: 3, warmUp: 2, batches: 200 } : { rounds: 15, warmUp: 4, batches: 500 };
const disabledAllocationEffort = (quick: boolean): Effort =>
  quick ? { rounds: 1, warmUp: 2, batches: 200 } : { rounds: 3, warmUp: 4, batches: 400 };
const encodeEffort = (quick: boolean): Effort =>
  quick ? { rounds: 2, warmUp: 1, batches: 4 } : { rounds: 11, warmUp: 4, batches: 6 };

/** Each measure runs in a process of its own, so that one does not affect the compilation of another. */
export const MEASURES = {
  "record-sink": (quick) => one("into a sink: time", "ns", recordInto("toSink", nanoseconds, recordEffort(quick))),
  "record-batches": (quick) =>
    one("into a batch exporter: time", "ns", recordInto("toBatches", nanoseconds, recordEffort(quick))),
  "allocate-sink": (quick) =>
    one("into a sink: allocated", "bytes", recordInto("toSink", bytes, allocationEffort(quick))),
  "allocate-batches": (quick) =>
    one("into a batch exporter: allocated", "bytes", recordInto("toBatches", bytes, allocationEffort(quick))),
  retain: (quick) => one("ended and kept: retained", "bytes", retain(retentionEffort(quick))),
  disabled: (quick) => one("tracing off: time", "ns", disabled("run", nanoseconds, disabledEffort(quick))),
  "allocate-disabled": (quick) =>
    one("tracing off: allocated", "bytes", disabled("runWithSharedOptions", bytes, disabledAllocationEffort(quick))),
  async encode(quick) {
    const { micros, megabytes } = await encode(encodeEffort(quick));
    return [
      { name: "encode a batch of 512: time", unit: "µs", samples: micros },
      { name: "encode a batch of 512: rate", unit: "MB/s", samples: megabytes },
    ];
  },
} as const satisfies { readonly [id: string]: Run };

export type MeasureId = keyof typeof MEASURES;
