/**
 * Runs the same turns with tracing on and off. In each phase every contender is a freshly started system with one
 * session; their turns alternate.
 */
import { waitFor } from "../../packages/cli/src/wait.ts";
import { cpuMs } from "../../tests/processes.ts";
import { alternate } from "../lib/rounds.ts";
import { type Reading, Readings } from "./readings.ts";
import { Session } from "./session.ts";
import type { Surroundings } from "./surroundings.ts";
import type { Valet } from "./valet.ts";

export const ON = "tracing on";
export const OFF = "tracing off";
/** Off runs twice: the difference between two equal systems is the noise that other differences are compared to. */
export const OFF_AGAIN = "off, once more";
const CONTENDERS = [ON, OFF, OFF_AGAIN] as const;

export interface TurnsPlan {
  readonly phases: number;
  /** The counted turns of each contender in a phase, and the warm-up turns before them. */
  readonly rounds: number;
  readonly warmUp: number;
}

interface Running {
  readonly name: (typeof CONTENDERS)[number];
  readonly valet: Valet;
  readonly session: Session;
}

const PROMPT = "Answer in one line.";
/** Spans are exported after 5 s. */
const DELIVERY_TIMEOUT_MS = 30_000;

export async function measureTurns(
  surroundings: Surroundings,
  plan: TurnsPlan,
  progress: (line: string) => void,
): Promise<Readings> {
  const readings = new Readings();
  for (let phase = 0; phase < plan.phases; phase++) {
    const running: Running[] = [];
    // The order rotates, since later contenders run on a busier machine.
    const first = phase % CONTENDERS.length;
    for (const name of [...CONTENDERS.slice(first), ...CONTENDERS.slice(0, first)]) {
      progress(`phase ${phase + 1} of ${plan.phases}: ${name}: \`valet up\`, a session`);
      const valet = await surroundings.startValet(name === ON);
      readings.add("ready", name, valet.readyMs);
      const { up, workerd, others } = valet.processes();
      readings.add("readyCpu", name, totalCpuMs([up, workerd, ...others]));
      const session = await Session.create(valet, surroundings.repoUrl);
      readings.add("idle", name, session.idleMs);
      running.push({ name, valet, session });
    }
    progress(`phase ${phase + 1} of ${plan.phases}: ${plan.rounds} turns of each`);
    await takeTurns(running, surroundings, plan, readings);
    for (const { valet, session } of running) {
      session.leave();
      await valet.stop();
    }
  }
  return readings;
}

/** CPU time after the turns belongs to them too, so it is read when all spans have been exported. */
async function takeTurns(running: Running[], surroundings: Surroundings, plan: TurnsPlan, readings: Readings) {
  const { backend, untracedBackend } = surroundings;
  const delivered = () => backend.spans().filter(({ name }) => name === "valet.prompt").length;
  const before = delivered();
  const settled = async (turns: number) => {
    await waitFor(
      "the spans",
      async () => delivered() - before,
      (count) => count >= turns,
      DELIVERY_TIMEOUT_MS,
    );
    return running.map(({ name, valet }) => ({ name, ...cpuOf(valet) }));
  };
  const once = { rounds: plan.warmUp, warmUp: 0 };
  await alternate(running, once, async ({ session }) => (await session.turn(PROMPT)).done);
  const cpuBefore = await settled(plan.warmUp);
  await alternate(running, { rounds: plan.rounds, warmUp: 0 }, async ({ name, session }) => {
    const times = await session.turn(PROMPT);
    for (const [reading, ms] of Object.entries(times)) readings.add(reading as Reading, name, ms);
    return times.done;
  });
  const cpuAfter = await settled(plan.warmUp + plan.rounds);
  for (const [index, { name, workerCpu, runnerCpu }] of cpuAfter.entries()) {
    const begin = cpuBefore[index] as (typeof cpuBefore)[number];
    readings.add("workerCpu", name, (workerCpu - begin.workerCpu) / plan.rounds);
    readings.add("runnerCpu", name, (runnerCpu - begin.runnerCpu) / plan.rounds);
  }
  for (const { name, valet, session } of running) {
    const traces = name === ON ? [] : await valet.api.traces(session.id);
    if (traces.length > 0) throw new Error(`${name}: ${traces.length} traces were recorded`);
  }
  if (untracedBackend.deliveries.length > 0) throw new Error("spans were exported with tracing off");
}

function cpuOf(valet: Valet) {
  const { workerd, runners } = valet.processes();
  return { workerCpu: cpuMs(workerd), runnerCpu: totalCpuMs(runners) };
}

function totalCpuMs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
}
