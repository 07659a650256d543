/** Measures the memory of a system with many idle sessions. */
import { memoryBytes } from "../../tests/processes.ts";
import { Session } from "./session.ts";
import type { Surroundings } from "./surroundings.ts";
import type { Valet } from "./valet.ts";

/** Memory in RAM in bytes, shared pages in proportion (PSS), without agents and runners. */
export interface Memory {
  readonly workerd: number;
  /** The process of `valet up`, which contains the broker, the CLI and Miniflare. */
  readonly up: number;
  /** The other processes that `valet up` started. */
  readonly others: number;
}

/** An agent takes some 600 MB. */
const MAX_AWAKE = 3;

/**
 * Measures before the first session, and with the wanted number of sessions: each has run a turn, the last three are
 * awake, the others have hibernated.
 */
export async function measureMemory(
  surroundings: Surroundings,
  sessions: number,
  progress: (line: string) => void,
): Promise<{ readonly empty: Memory; readonly full: Memory }> {
  const valet = await surroundings.startValet(true);
  const empty = memoryOf(valet);
  let awake: Session[] = [];
  for (let made = 0; made < sessions; made += awake.length) {
    progress(`memory: ${made} of ${sessions} sessions`);
    await Promise.all(awake.map((session) => session.hibernate()));
    for (const session of awake) session.leave();
    const next = Math.min(MAX_AWAKE, (sessions - made) % MAX_AWAKE || MAX_AWAKE);
    awake = await Promise.all(Array.from({ length: next }, () => Session.create(valet, surroundings.repoUrl)));
    await Promise.all(awake.map((session) => session.turn("Answer in one line.")));
  }
  const full = memoryOf(valet);
  for (const session of awake) session.leave();
  await valet.stop();
  return { empty, full };
}

function memoryOf(valet: Valet): Memory {
  const { workerd, up, others } = valet.processes();
  return {
    workerd: memoryBytes(workerd),
    up: memoryBytes(up),
    others: others.reduce((sum, pid) => sum + memoryBytes(pid), 0),
  };
}
