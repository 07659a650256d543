import { waitFor } from "../../packages/cli/src/wait.ts";
import { cpuMs } from "../../tests/processes.ts";
import { alternate } from "../lib/rounds.ts";
import type { Suite } from "../lib/suite.ts";
import { type Bound, compare } from "../lib/table.ts";
import { type Reading, Readings } from "../session/readings.ts";
import { type Surroundings, startSurroundings } from "../session/surroundings.ts";
import { type Age, type AgedSession, startAgedSession } from "./aged-session.ts";

const LONG = "long session";
const NEW = "new session";
/** A new session runs twice: what two equal ones differ by is the resolution. */
const NEW_AGAIN = "new, once more";
const CONTENDERS = [LONG, NEW, NEW_AGAIN] as const;

const AGES: Readonly<Record<(typeof CONTENDERS)[number], Age>> = {
  [LONG]: { messages: 10_000, spans: 50_000 },
  [NEW]: { messages: 10, spans: 0 },
  [NEW_AGAIN]: { messages: 10, spans: 0 },
};

const FULL = { phases: 3, blocks: 4, rounds: 15, warmUp: 5 };
const QUICK = { phases: 1, blocks: 1, rounds: 3, warmUp: 1 };
type Plan = typeof FULL;

const PROMPT = "Answer in one line.";
/** Spans are exported after 5 s. */
const DELIVERY_TIMEOUT_MS = 30_000;
const FLAT: Bound = { of: "ratio", atMost: 1.1 };

interface Line {
  readonly name: string;
  readonly reading: Reading;
  readonly bound?: Bound;
}

const LINES: readonly Line[] = [
  { name: "CPU of the Worker, a turn", reading: "workerCpu", bound: FLAT },
  { name: "message to 202", reading: "accepted", bound: FLAT },
  { name: "message to first text on the WebSocket", reading: "firstText" },
  { name: "message to done on the WebSocket", reading: "done" },
];

/** A turn in a session that has lived for months, beside one in a new session. */
export const longSession: Suite = {
  name: "long-session",
  summary: "a turn at 10,000 messages and 50,000 spans beside one in a new session: the Worker's CPU, message to 202",

  async run({ quick, progress }) {
    if (process.platform !== "linux") throw new Error("the suite long-session reads /proc: it runs on Linux only");
    const plan = quick ? QUICK : FULL;
    const readings = new Readings();
    const surroundings = await startSurroundings();
    const onSignal = () => process.exit(1);
    process.once("SIGTERM", onSignal).once("SIGINT", onSignal);
    try {
      for (let phase = 0; phase < plan.phases; phase++) {
        await runPhase(surroundings, plan, phase, readings, (line) =>
          progress(`phase ${phase + 1} of ${plan.phases}: ${line}`),
        );
      }
    } finally {
      process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
      await surroundings.close();
    }
    const rows = LINES.flatMap(({ name, reading, bound }) => {
      const measurement = { name, unit: "ms", samples: readings.of(reading), equal: [NEW, NEW_AGAIN] } as const;
      return compare(measurement, LONG, () => bound).filter(({ contender }) => contender === NEW);
    });
    return [{ title: "A turn in a long session", rows }];
  },
};

/** Starts all contenders, in an order that rotates from phase to phase, and takes turns with each. */
async function runPhase(
  surroundings: Surroundings,
  plan: Plan,
  phase: number,
  readings: Readings,
  progress: (line: string) => void,
): Promise<void> {
  const running: (AgedSession & { readonly name: string })[] = [];
  const first = phase % CONTENDERS.length;
  for (const name of [...CONTENDERS.slice(first), ...CONTENDERS.slice(0, first)]) {
    const aged = await startAgedSession(surroundings, PROMPT, AGES[name]);
    progress(`${name}: ${aged.age.messages} messages, ${aged.age.spans} spans`);
    running.push({ name, ...aged });
  }
  progress(`${plan.blocks * plan.rounds} turns of each`);
  await takeTurns(running, surroundings, plan, readings);
  for (const { session, valet } of running) {
    session.leave();
    await valet.stop();
  }
}

/** CPU time after the turns belongs to them too, so it is read when all spans have been exported. */
async function takeTurns(
  running: readonly (AgedSession & { readonly name: string })[],
  { backend }: Surroundings,
  plan: Plan,
  readings: Readings,
): Promise<void> {
  const delivered = () => backend.spans().filter(({ name }) => name === "valet.prompt").length;
  const before = delivered();
  let turns = 0;
  const rounds = async (count: number, take: (each: (typeof running)[number]) => Promise<number>) => {
    await alternate(running, { rounds: count, warmUp: 0 }, take);
    turns += count * running.length;
    const isComplete = (spans: number) => spans >= turns;
    await waitFor("the spans", async () => delivered() - before, isComplete, DELIVERY_TIMEOUT_MS);
    return running.map(({ valet }) => cpuMs(valet.processes().workerd));
  };
  let cpuBefore = await rounds(plan.warmUp, async ({ session }) => (await session.turn(PROMPT)).done);
  for (let block = 0; block < plan.blocks; block++) {
    const cpuAfter = await rounds(plan.rounds, async ({ name, session }) => {
      const { accepted, firstText, done } = await session.turn(PROMPT);
      for (const [reading, ms] of Object.entries({ accepted, firstText, done })) {
        readings.add(reading as Reading, name, ms);
      }
      return done;
    });
    for (const [index, { name }] of running.entries()) {
      const ms = (cpuAfter[index] as number) - (cpuBefore[index] as number);
      readings.add("workerCpu", name, ms / plan.rounds);
    }
    cpuBefore = cpuAfter;
  }
}
