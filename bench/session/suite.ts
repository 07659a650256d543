import type { Suite } from "../lib/suite.ts";
import { type Bound, compare, type Row, type Samples, type Table } from "../lib/table.ts";
import { type Memory, measureMemory } from "./memory.ts";
import type { Reading, Readings } from "./readings.ts";
import { startSurroundings } from "./surroundings.ts";
import { measureTurns, OFF, OFF_AGAIN, ON } from "./turns.ts";

const FULL = { phases: 2, rounds: 10, warmUp: 2, sessions: 10 };
const QUICK = { phases: 1, rounds: 3, warmUp: 1, sessions: 2 };

const READY: Bound = { of: "ours", atMost: 3000 };
const IDLE: Bound = { of: "ours", atMost: 8000 };
const CRITICAL_PATH: Bound = { of: "ours", atMost: 5 };
const CPU: Bound = { of: "ratio", atMost: 1.01 };
const MEMORY: Bound = { of: "ours", atMost: 400e6 };

/** A row of the tables of times: a reading, or the sum of several. */
interface Line {
  readonly name: string;
  readonly readings: readonly Reading[];
  readonly bound?: Bound;
}

const STARTS: readonly Line[] = [
  { name: "`valet up` to ready", readings: ["ready"], bound: READY },
  { name: "CPU time of all processes until then", readings: ["readyCpu"] },
  { name: "create a session to runner idle", readings: ["idle"], bound: IDLE },
];
const TURNS: readonly Line[] = [
  { name: "message to 202", readings: ["accepted"] },
  { name: "runner's acceptance to first token", readings: ["firstToken"] },
  { name: "message to first text on the WebSocket", readings: ["firstText"] },
  { name: "message to done on the WebSocket", readings: ["done"] },
  { name: "CPU of the Worker, a turn", readings: ["workerCpu"] },
  { name: "CPU of the runner, a turn", readings: ["runnerCpu"] },
  { name: "CPU of both, a turn", readings: ["workerCpu", "runnerCpu"], bound: CPU },
];
/** The lines of a turn that a person waits for. */
const CRITICAL: readonly Reading[] = ["firstToken", "firstText", "done"];

const ALONE = "another with tracing off";

/** The whole system, started as a user does, with a scripted model that answers at once. */
export const session: Suite = {
  name: "session",
  summary: "a whole system: its start, a session's, a turn's time and CPU with tracing on and off, memory",

  async run({ quick, progress }) {
    if (process.platform !== "linux") throw new Error("the suite session reads /proc: it runs on Linux only");
    const plan = quick ? QUICK : FULL;
    const surroundings = await startSurroundings();
    // Ctrl-C reaches every process of the terminal; other signals reach only this one, which then ends the rest.
    const onSignal = () => process.exit(1);
    process.once("SIGTERM", onSignal).once("SIGINT", onSignal);
    try {
      const readings = await measureTurns(surroundings, plan, progress);
      const memory = await measureMemory(surroundings, plan.sessions, progress);
      return [
        { title: "Starts", rows: STARTS.flatMap((line) => ratioRows(line, readings)) },
        { title: "A turn with a one-line answer", rows: TURNS.flatMap((line) => ratioRows(line, readings)) },
        { title: "What tracing adds to such a turn", rows: TURNS.flatMap((line) => differenceRows(line, readings)) },
        memoryTable(memory.empty, memory.full, plan.sessions),
      ];
    } finally {
      process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
      await surroundings.close();
    }
  },
};

function ratioRows({ name, readings: parts, bound }: Line, readings: Readings): Row[] {
  const samples = { [ON]: sum(parts, ON, readings), [OFF]: sum(parts, OFF, readings) };
  return compare({ name, unit: "ms", samples }, ON, () => bound);
}

/** Returns the differences to the system with tracing off, round by round, beside those of a second such system. */
function differenceRows({ name, readings: parts }: Line, readings: Readings): Row[] {
  const off = sum(parts, OFF, readings);
  const less = (contender: string) => sum(parts, contender, readings).map((ms, round) => ms - (off[round] as number));
  const samples: Samples = { [ON]: less(ON), [ALONE]: less(OFF_AGAIN) };
  const bound = CRITICAL.includes(parts[0] as Reading) ? CRITICAL_PATH : undefined;
  // The ratio of two differences is meaningless.
  return compare({ name, unit: "ms", samples }, ON, () => bound).map(({ ratio: _, ...row }) => row);
}

function sum(parts: readonly Reading[], contender: string, readings: Readings): number[] {
  const [first = [], ...others] = parts.map((reading) => readings.of(reading)[contender] ?? []);
  return first.map((ms, index) => others.reduce((total, each) => total + (each[index] as number), ms));
}

function memoryTable(empty: Memory, full: Memory, sessions: number): Table {
  const row = (name: string, of: (memory: Memory) => number, bound?: Bound) =>
    compare({ name, unit: "bytes", samples: { full: [of(full)], "no session": [of(empty)] } }, "full", () => bound);
  const rows = [
    ...row("workerd", ({ workerd }) => workerd),
    ...row("`valet up`: broker, Miniflare, CLI", ({ up }) => up),
    ...row("both", ({ workerd, up }) => workerd + up, MEMORY),
    ...row("what else `valet up` started, agents apart", ({ others }) => others),
  ];
  return { title: `Memory in RAM, with ${sessions} idle sessions`, rows };
}
