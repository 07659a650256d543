import { median } from "../lib/statistics.ts";
import type { Suite } from "../lib/suite.ts";
import { type Bound, compare, type Measurement, type Row, type Samples, type Table } from "../lib/table.ts";
import { type Memory, measureMemory } from "./memory.ts";
import type { Reading, Readings } from "./readings.ts";
import { startSurroundings } from "./surroundings.ts";
import { BARE, measureTurns, OFF, OFF_AGAIN, ON } from "./turns.ts";

const FULL = { phases: 3, blocks: 3, rounds: 20, warmUp: 3, creations: 3, sessions: 10 };
const QUICK = { phases: 1, blocks: 1, rounds: 3, warmUp: 1, creations: 1, sessions: 2 };

const READY: Bound = { of: "ours", atMost: 3000 };
const IDLE: Bound = { of: "ours", atMost: 8000 };
const MEMORY: Bound = { of: "ours", atMost: 400e6 };
const CPU: Bound = { of: "ratio", atMost: 1.12 };
const CPU_WITH_AGENT: Bound = { of: "ratio", atMost: 1.015 };
/** Nobody notices. */
const SAME: Bound = { of: "indistinguishable" };
const FIRST_TEXT: Bound = { of: "difference", atMost: 20 };
const FIRST_MESSAGE: Bound = { of: "ratio", atMost: 1.5 };
const CREATED: Bound = { of: "ratio", atMost: 1.05 };

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
const TRACING: readonly Line[] = [
  { name: "message to 202", readings: ["accepted"] },
  { name: "message to first text on the WebSocket", readings: ["firstText"], bound: SAME },
  { name: "message to done on the WebSocket", readings: ["done"], bound: SAME },
  { name: "CPU of the Worker, a turn", readings: ["workerCpu"] },
  { name: "CPU of the runner, a turn", readings: ["runnerCpu"] },
  { name: "CPU of both, a turn", readings: ["workerCpu", "runnerCpu"], bound: CPU },
  { name: "CPU of both and OpenCode, a turn", readings: ["workerCpu", "runnerCpu", "agentCpu"], bound: CPU_WITH_AGENT },
];
const VALET: readonly Line[] = [
  { name: "a later message to its first text", readings: ["firstText"], bound: FIRST_TEXT },
  { name: "a later message to done", readings: ["done"] },
  { name: "the first message, after an idle second, to its first text", readings: ["firstMessage"] },
  { name: "create with a message to its first text", readings: ["created"], bound: CREATED },
  { name: "CPU of OpenCode, a turn", readings: ["agentCpu"] },
];

/** The whole system, started as a user does, with a scripted model that answers at once. */
export const session: Suite = {
  name: "session",
  summary: "a whole system beside bare OpenCode: starts, a turn's time and CPU, tracing on and off, memory",

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
        { title: "Starts", rows: STARTS.flatMap((line) => rows(line, readings, ON, OFF)) },
        {
          title: "Beside bare OpenCode",
          rows: [...VALET.flatMap((line) => rows(line, readings, ON, BARE)), ...firstMessage(readings, plan.phases)],
        },
        { title: "A turn, with tracing and without", rows: TRACING.flatMap((line) => rows(line, readings, ON, OFF)) },
        memoryTable(memory.empty, memory.full, plan.sessions),
      ];
    } finally {
      process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
      await surroundings.close();
    }
  },
};

function rows({ name, readings: parts, bound }: Line, readings: Readings, ours: string, theirs: string): Row[] {
  const measured = [ON, OFF, OFF_AGAIN, BARE].filter((each) => parts.every((part) => each in readings.of(part)));
  const samples = Object.fromEntries(measured.map((each) => [each, sum(parts, each, readings)]));
  const measurement: Measurement = { name, unit: "ms", samples, equal: [OFF, OFF_AGAIN] };
  return compare(measurement, ours, () => bound).filter(({ contender }) => contender === theirs);
}

/** Compares the first message of each phase with the median of the phase's later ones. */
function firstMessage(readings: Readings, phases: number): Row[] {
  const later = (contender: string): number[] => {
    const all = readings.of("firstText")[contender] ?? [];
    const each = all.length / phases;
    return Array.from({ length: phases }, (_, phase) => median(all.slice(phase * each, (phase + 1) * each)));
  };
  const against = (contender: string): Samples => ({
    first: readings.of("firstMessage")[contender] ?? [],
    "a later one": later(contender),
  });
  return [ON, BARE].flatMap((contender) => {
    const name = `the first message, after an idle second: ${contender}`;
    return compare({ name, unit: "ms", samples: against(contender) }, "first", () =>
      contender === ON ? FIRST_MESSAGE : undefined,
    );
  });
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
