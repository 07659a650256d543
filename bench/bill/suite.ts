/** What a session costs on Cloudflare, with tracing on and off: counted amounts at published prices. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ApiClient } from "../../packages/cli/src/api-client.ts";
import { makeDemoRepository } from "../../packages/cli/src/demo/demo-repository.ts";
import { type System, startSystem } from "../../packages/cli/src/system/system.ts";
import { loadScenario, startScriptedModel } from "../../packages/scripted-model/src/index.ts";
import { startOtlpReceiver } from "../../tests/otlp-receiver.ts";
import { modelVariables } from "../../tests/valet-up.ts";
import type { Suite } from "../lib/suite.ts";
import { compare, type Measurement, type Row, type Samples, type Table } from "../lib/table.ts";
import { Session } from "../session/session.ts";
import { between, COUNTS_PATH, type Counted, type Counts } from "./counts.ts";
import { countOpenSpans, OPEN_SPANS } from "./open-spans.ts";
import { costOf, storageCostOfDay } from "./prices.ts";

const ON = "tracing on";
const OFF = "tracing off";
/** What is due after a turn: export, projection, folding. */
const SETTLE_MS = 8_000;
/**
 * What a hibernating session does in this time is multiplied up to a day. Twice as long passes before: two minutes after it fell
 * asleep, the capacity object looks at its slot once more.
 */
const ASLEEP_MS = 65_000;
const DAY_MS = 24 * 60 * 60_000;

const COUNTS: readonly { readonly name: string; readonly of: keyof Counts; readonly unit: Measurement["unit"] }[] = [
  { name: "requests to the Worker", of: "workerRequests", unit: "requests" },
  { name: "requests to objects, alarms included", of: "objectRequests", unit: "requests" },
  { name: "WebSocket messages to objects", of: "socketMessages", unit: "messages" },
  { name: "time that objects are active", of: "activeMs", unit: "ms" },
  { name: "rows read", of: "rowsRead", unit: "rows" },
  { name: "rows written, alarms included", of: "rowsWritten", unit: "rows" },
  { name: "D1 rows read", of: "d1RowsRead", unit: "rows" },
  { name: "D1 rows written", of: "d1RowsWritten", unit: "rows" },
  { name: "subrequests", of: "subrequests", unit: "requests" },
];

/** What one system was counted to use. */
interface Bill {
  readonly turn: Counts;
  readonly tools: Counts;
  readonly wake: Counts;
  readonly day: Counts;
  /** The growth of the object's database by a turn with twenty tools, in bytes. */
  readonly turnBytes: number;
  /** The growth of D1 by such a turn, in bytes. */
  readonly turnD1Bytes: number;
}

export const bill: Suite = {
  name: "bill",
  summary: "what a turn, a wake and a hibernated day cost on Cloudflare, counted and at its published prices",

  async run({ quick, progress }) {
    // First: whoever starts a system leaves Miniflare with a workerd that runs for that system alone.
    progress("open spans");
    const { announced, endedOnly } = await countOpenSpans();
    const openSpans: Samples = { "known while open": [announced], "ended only": [endedOnly] };
    const turns = quick ? 2 : 20;
    const bills: Record<string, Bill> = {};
    for (const name of [ON, OFF]) {
      bills[name] = await measure(name === ON, turns, quick ? 5_000 : ASLEEP_MS, (line) =>
        progress(`${name}: ${line}`),
      );
    }
    const of = (part: (bill: Bill) => number): Samples =>
      Object.fromEntries(Object.entries(bills).map(([name, each]) => [name, [part(each)]]));
    const table = (title: string, part: (bill: Bill) => Counts, extra: Row[] = []): Table => ({
      title,
      rows: [
        ...COUNTS.flatMap(({ name, of: key, unit }) =>
          row(
            name,
            unit,
            of((each) => part(each)[key]),
          ),
        ),
        ...extra,
        ...row(
          "cost of a million",
          "USD",
          of((each) => costOf(part(each)) * 1e6),
        ),
      ],
    });
    return [
      table("A turn with a one-line answer", ({ turn }) => turn),
      table("A turn with 20 tool calls in 4 steps", ({ tools }) => tools, [
        ...row(
          "growth of the object's database",
          "bytes",
          of(({ turnBytes }) => turnBytes),
        ),
        ...row(
          "growth of D1",
          "bytes",
          of(({ turnD1Bytes }) => turnD1Bytes),
        ),
        ...row(
          "a day of the object's part, of a million",
          "USD",
          of(({ turnBytes }) => storageCostOfDay(turnBytes) * 1e6),
        ),
      ]),
      table("A wake by a message, its turn included", ({ wake }) => wake),
      table("A hibernated day", ({ day }) => day),
      {
        title: `${OPEN_SPANS.toLocaleString("en")} open spans of a runner`,
        rows: compare({ name: "rows written", unit: "rows", samples: openSpans }, "known while open", () => undefined),
      },
    ];
  },
};

function row(name: string, unit: Measurement["unit"], samples: Samples): Row[] {
  return compare({ name, unit, samples }, ON, () => undefined);
}

async function measure(isTraced: boolean, turns: number, asleepMs: number, say: (line: string) => void): Promise<Bill> {
  const closes: (() => Promise<unknown>)[] = [];
  try {
    const scenario = await loadScenario(fileURLToPath(new URL("answers.yaml", import.meta.url)));
    const model = await startScriptedModel({ scenario });
    closes.push(() => model.close());
    const backend = await startOtlpReceiver();
    closes.push(() => backend.close());
    const repository = await makeDemoRepository();
    const stateDir = await mkdtemp(join(tmpdir(), "valet-bill-"));
    for (const folder of [repository.folder, stateDir]) closes.push(() => rm(folder, { recursive: true, force: true }));
    say("start");
    const system = await startSystem({
      stateDir,
      env: {
        ...modelVariables(model),
        OTEL_EXPORTER_OTLP_ENDPOINT: backend.url,
        OTEL_SDK_DISABLED: `${!isTraced}`,
      },
      scenario: "demo",
      workerEntry: fileURLToPath(new URL("counting-worker.ts", import.meta.url)),
    });
    closes.push(() => system.stop());
    return await countSession(system, repository.url, turns, asleepMs, say);
  } finally {
    for (const close of closes.reverse()) await close();
  }
}

async function countSession(
  system: System,
  repoUrl: string,
  turns: number,
  asleepMs: number,
  say: (line: string) => void,
): Promise<Bill> {
  const read = async (): Promise<Counted> => (await fetch(`${system.url}${COUNTS_PATH}`)).json() as Promise<Counted>;
  const api = new ApiClient(system);
  const session = await Session.create({ connection: system, api }, repoUrl);
  const bytes = ({ databaseBytes }: Counted) => databaseBytes[session.id] ?? 0;
  await session.turn("Answer in one line.");
  const during = async (times: number, work: () => Promise<unknown>) => {
    await sleep(SETTLE_MS);
    const before = await read();
    for (let time = 0; time < times; time++) await work();
    await sleep(SETTLE_MS);
    const after = await read();
    return {
      counts: between(before.counts, after.counts, times),
      bytes: (bytes(after) - bytes(before)) / times,
      d1Bytes: (after.d1Bytes - before.d1Bytes) / times,
    };
  };
  say(`${turns} turns`);
  const turn = await during(turns, () => session.turn("Answer in one line."));
  say(`${turns} turns with tools`);
  const tools = await during(turns, () => session.turn("Use twenty tools."));
  await session.hibernate();
  say("a wake");
  const wake = await during(1, () => session.turn("Answer in one line."));
  await session.hibernate();
  say(`${asleepMs / 1000} s of hibernation`);
  session.leave();
  await sleep(2 * asleepMs);
  const before = await read();
  await sleep(asleepMs);
  const asleep = between(before.counts, (await read()).counts, asleepMs / DAY_MS);
  return {
    turn: turn.counts,
    tools: tools.counts,
    wake: wake.counts,
    day: asleep,
    turnBytes: tools.bytes,
    turnD1Bytes: tools.d1Bytes,
  };
}
