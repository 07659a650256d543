import { bundleTracePlane } from "../../tests/trace-plane-process.ts";
import { alternate } from "../lib/rounds.ts";
import type { Suite } from "../lib/suite.ts";
import { type Bound, compare, type Measurement, type Samples, type Table, withoutTheirs } from "../lib/table.ts";
import { FRAME_SPANS, makeLoad } from "./frames.ts";
import { BATCH_SPANS, type Encoding } from "./otlp-load.ts";
import { findCollector, type Receiver, sendAll, startCollector, startRunnerReceiver } from "./receivers.ts";
import { type Figures, run } from "./run.ts";

const OURS = "frames gathered";
const CONTENDERS = [
  { name: OURS, gather: true },
  { name: "frame by frame", gather: false },
] as const;

const MEASURES: readonly { name: string; unit: Measurement["unit"]; of: keyof Figures; bound?: Bound }[] = [
  {
    name: "from the runner to the durable acknowledgement",
    unit: "spans/s",
    of: "spansPerSecond",
    bound: { of: "ours", atLeast: 30_000 },
  },
  { name: "CPU time of workerd a span, export included", unit: "µs", of: "cpuUs" },
  {
    name: "rows written per 50 spans, export included",
    unit: "rows",
    of: "rows",
    bound: { of: "ours", atMost: 1 },
  },
  { name: "export per 50 spans", unit: "POSTs", of: "posts", bound: { of: "ours", atMost: 1 } },
  { name: "read the trace of all spans", unit: "ms", of: "readMs" },
  { name: "read its skeleton", unit: "ms", of: "skeletonMs", bound: { of: "ours", atMost: 300 } },
  { name: "size of its skeleton", unit: "bytes", of: "skeletonBytes", bound: { of: "ours", atMost: 1.5e6 } },
  { name: "`why` about its message", unit: "ms", of: "whyMs", bound: { of: "ours", atMost: 1000 } },
];

const RECEIVER = "receiver";
const COLLECTOR = "Collector";
const ENCODINGS: readonly Encoding[] = ["protobuf", "JSON"];

/** Programs of commands into the runner's outbox, beside a Collector if there is one. */
async function receiverTable(quick: boolean, progress: (line: string) => void): Promise<Table> {
  const batches = quick ? 20 : 200;
  const path = findCollector();
  const start: readonly { name: string; start: () => Promise<Receiver> }[] = [
    { name: RECEIVER, start: () => startRunnerReceiver(batches) },
    ...(path === undefined ? [] : [{ name: COLLECTOR, start: () => startCollector(path) }]),
  ];
  const contenders = ENCODINGS.flatMap((encoding) =>
    start.map((each) => ({ ...each, encoding, receiver: each.name, name: `${each.name} ${encoding}` })),
  );
  const rates = await alternate(
    contenders,
    quick ? { rounds: 1, warmUp: 0 } : { rounds: 5, warmUp: 1 },
    async (each) => {
      progress(`${batches * BATCH_SPANS} spans, ${each.name}`);
      const receiver = await each.start();
      try {
        return await sendAll(receiver, each.encoding, each.name, batches);
      } finally {
        await receiver.stop();
      }
    },
  );
  const rows = ENCODINGS.flatMap((encoding) => {
    const own = contenders.filter((each) => each.encoding === encoding);
    const samples = Object.fromEntries(own.map(({ name, receiver }) => [receiver, rates[name] ?? []]));
    const measurement = { name: `from a program into the outbox, ${encoding}`, unit: "spans/s", samples } as const;
    return path === undefined
      ? [withoutTheirs(measurement, RECEIVER, COLLECTOR)]
      : compare(measurement, RECEIVER, () => undefined);
  });
  return { title: `Receiver, ${(batches * BATCH_SPANS).toLocaleString("en")} spans`, rows };
}

/** The session's object in a local workerd, with a real WebSocket in front and a real receiver behind it. */
export const tracePlane: Suite = {
  name: "trace-plane",
  summary:
    "span frames through local workerd: rate, rows written, export, reading a trace; programs' spans into the runner",

  async run({ quick, progress }) {
    const frames = quick ? 100 : 1000;
    const load = makeLoad(frames);
    const module = await bundleTracePlane();
    const figures: Record<string, Figures[]> = {};
    const rates = await alternate(
      CONTENDERS,
      quick ? { rounds: 1, warmUp: 0 } : { rounds: 3, warmUp: 1 },
      async (each) => {
        progress(`${frames * FRAME_SPANS} spans, ${each.name}`);
        const result = await run(module, load, each.gather);
        figures[each.name] = [...(figures[each.name] ?? []), result];
        return result.spansPerSecond;
      },
    );
    const rounds = rates[OURS]?.length ?? 0;
    const samplesOf = (of: keyof Figures): Samples =>
      Object.fromEntries(
        Object.entries(figures).map(([name, all]) => [name, all.slice(-rounds).map((each) => each[of])]),
      );
    const rows = MEASURES.flatMap(({ name, unit, of, bound }) =>
      compare({ name, unit, samples: samplesOf(of) }, OURS, () => bound),
    );
    return [
      { title: `Trace plane, ${(frames * FRAME_SPANS).toLocaleString("en")} spans`, rows },
      await receiverTable(quick, progress),
    ];
  },
};
