/**
 * Runs the same turns with tracing on, with tracing off, and on OpenCode alone. In each phase every contender is a freshly
 * started system with one session; their turns alternate.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { waitFor } from "../../packages/cli/src/wait.ts";
import { cpuMs } from "../../tests/processes.ts";
import { alternate } from "../lib/rounds.ts";
import type { BareOpenCode } from "./bare-opencode.ts";
import { type Reading, Readings } from "./readings.ts";
import { Session } from "./session.ts";
import type { Surroundings } from "./surroundings.ts";
import type { Valet } from "./valet.ts";

export const ON = "tracing on";
export const OFF = "tracing off";
/** Off runs twice: by what two equal systems differ, the others cannot be compared more precisely. */
export const OFF_AGAIN = "off, once more";
export const BARE = "bare OpenCode";
const CONTENDERS = [ON, OFF, OFF_AGAIN, BARE] as const;
type Contender = (typeof CONTENDERS)[number];

export interface TurnsPlan {
  readonly phases: number;
  /** CPU time is read for each block of turns. */
  readonly blocks: number;
  /** The counted turns of each contender in a block. */
  readonly rounds: number;
  /** The turns of each contender before the first block; the first of them is measured as the first message. */
  readonly warmUp: number;
  /** The sessions of each contender in a phase that are created with a message. */
  readonly creations: number;
}

interface Running {
  readonly name: Contender;
  turn(): Promise<Partial<Record<Reading, number>> & { readonly firstText: number; readonly done: number }>;
  /** The time from the request for a new session with a message to its first text, in ms. */
  create(): Promise<number>;
  /** Returns the CPU time that its processes have used so far, in ms. */
  cpu(): Partial<Record<Reading, number>>;
  stop(): Promise<void>;
}

const PROMPT = "Answer in one line.";
/** Spans are exported after 5 s. */
const DELIVERY_TIMEOUT_MS = 30_000;
const IDLE_MS = 1_000;

export async function measureTurns(
  surroundings: Surroundings,
  plan: TurnsPlan,
  progress: (line: string) => void,
): Promise<Readings> {
  const readings = new Readings();
  for (let phase = 0; phase < plan.phases; phase++) {
    const say = (line: string) => progress(`phase ${phase + 1} of ${plan.phases}: ${line}`);
    const running: Running[] = [];
    // The order rotates, since later contenders run on a busier machine.
    const first = phase % CONTENDERS.length;
    for (const name of [...CONTENDERS.slice(first), ...CONTENDERS.slice(0, first)]) {
      say(`${name}: start`);
      running.push(await start(name, surroundings, readings));
    }
    for (const { name, turn } of running) {
      await sleep(IDLE_MS);
      readings.add("firstMessage", name, (await turn()).firstText);
    }
    say(`${plan.blocks * plan.rounds} turns of each`);
    await takeTurns(running, surroundings, plan, readings);
    say(`${plan.creations} sessions of each, created with a message`);
    await alternate(running, { rounds: plan.creations, warmUp: 0 }, async ({ name, create }) => {
      const ms = await create();
      readings.add("created", name, ms);
      return ms;
    });
    for (const { stop } of running) await stop();
  }
  return readings;
}

async function start(name: Contender, surroundings: Surroundings, readings: Readings): Promise<Running> {
  if (name === BARE) return bare(await surroundings.startBareOpenCode(), surroundings);
  const valet = await surroundings.startValet(name === ON);
  readings.add("ready", name, valet.readyMs);
  const { up, workerd, others } = valet.processes();
  readings.add("readyCpu", name, totalCpuMs([up, workerd, ...others]));
  const session = await Session.create(valet, surroundings.repoUrl);
  readings.add("idle", name, session.idleMs);
  return {
    name,
    turn: async () => ({ ...(await session.turn(PROMPT)) }),
    create: () => Session.createWithMessage(valet, surroundings.repoUrl, PROMPT),
    cpu: () => cpuOf(valet),
    async stop() {
      const traces = name === ON ? [] : await valet.api.traces(session.id);
      if (traces.length > 0) throw new Error(`${name}: ${traces.length} traces were recorded`);
      session.leave();
      await valet.stop();
    },
  };
}

function bare(opencode: BareOpenCode, surroundings: Surroundings): Running {
  return {
    name: BARE,
    turn: async () => ({ ...(await opencode.turn(PROMPT)) }),
    async create() {
      const startMs = performance.now();
      const cold = await surroundings.startBareOpenCode();
      const startedMs = performance.now() - startMs;
      const { firstText } = await cold.turn(PROMPT);
      await cold.stop();
      return startedMs + firstText;
    },
    cpu: () => ({ agentCpu: cpuMs(opencode.pid) }),
    stop: () => opencode.stop(),
  };
}

/** CPU time after the turns belongs to them too, so it is read when all spans have been exported. */
async function takeTurns(running: Running[], surroundings: Surroundings, plan: TurnsPlan, readings: Readings) {
  const { backend, untracedBackend } = surroundings;
  const delivered = () => backend.spans().filter(({ name }) => name === "valet.prompt").length;
  // The first message's spans may still be on their way.
  const before = backend.spans().length === 0 ? 0 : delivered();
  let turns = 0;
  const settled = async () => {
    await waitFor(
      "the spans",
      async () => delivered() - before,
      (count) => count >= turns,
      DELIVERY_TIMEOUT_MS,
    );
    return running.map(({ name, cpu }) => ({ name, cpu: cpu() }));
  };
  const rounds = async (count: number, take: (each: Running) => Promise<number>) => {
    await alternate(running, { rounds: count, warmUp: 0 }, take);
    turns += count;
  };
  await rounds(plan.warmUp, async ({ turn }) => (await turn()).done);
  let cpuBefore = await settled();
  for (let block = 0; block < plan.blocks; block++) {
    await rounds(plan.rounds, async ({ name, turn }) => {
      const times = await turn();
      for (const [reading, ms] of Object.entries(times)) readings.add(reading as Reading, name, ms as number);
      return times.done;
    });
    const cpuAfter = await settled();
    for (const [index, { name, cpu }] of cpuAfter.entries()) {
      for (const [reading, ms] of Object.entries(cpu) as [Reading, number][]) {
        readings.add(reading, name, (ms - (cpuBefore[index]?.cpu[reading] ?? 0)) / plan.rounds);
      }
    }
    cpuBefore = cpuAfter;
  }
  if (untracedBackend.deliveries.length > 0) throw new Error("spans were exported with tracing off");
}

function cpuOf(valet: Valet) {
  const { workerd, runners, agents } = valet.processes();
  if (agents.length === 0) throw new Error("no process of OpenCode was found below the runners");
  return { workerCpu: cpuMs(workerd), runnerCpu: totalCpuMs(runners), agentCpu: totalCpuMs(agents) };
}

function totalCpuMs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
}
