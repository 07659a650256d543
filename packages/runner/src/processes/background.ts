/** Counts background processes: those that the agent or a command started and left running. They end with the sandbox. */
import { AGENT_RUN_VARIABLE, STEP_VARIABLE } from "./marks.ts";
import { listProcessIds, readEnvironment, readProcFile } from "./proc-files.ts";

interface ProcessEntry {
  readonly pid: number;
  readonly parentPid: number;
  /** Whether the agent of this sandbox, or a command of one of its workflows, started it. */
  readonly isOurs: boolean;
}

/** Every process of a sandbox inherits this variable. It distinguishes the sandboxes on one machine. */
const SANDBOX_VARIABLE = "VALET_SANDBOX_ID";

/** The states of zombies and dead processes (proc_pid_stat(5)). */
const GONE_STATES = "ZXx";

/**
 * Counts the processes that the agent's tools or a workflow's commands started and whose parent has ended. Child processes of
 * the agent, such as its language servers, do not count. Linux only; returns 0 elsewhere.
 * @param sandboxId absent if the machine has no other sandbox
 */
export function countBackgroundProcesses(sandboxId: string | undefined): number {
  const markers = [AGENT_RUN_VARIABLE, STEP_VARIABLE];
  const all = new Map(listProcesses(markers, sandboxId).map((entry) => [entry.pid, entry]));
  const isAttended = ({ parentPid }: ProcessEntry) => parentPid === process.pid || all.get(parentPid)?.isOurs === true;
  return [...all.values()].filter((entry) => entry.isOurs && !isAttended(entry)).length;
}

function listProcesses(markers: readonly string[], sandboxId: string | undefined): ProcessEntry[] {
  return listProcessIds().flatMap((pid) => readProcess(pid, markers, sandboxId) ?? []);
}

function readProcess(pid: number, markers: readonly string[], sandboxId: string | undefined): ProcessEntry | undefined {
  const stat = readProcFile(pid, "stat");
  // The second field is the command in parentheses, which may itself contain parentheses and spaces.
  const [state = "", parentPid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (state === "" || GONE_STATES.includes(state)) return undefined;
  const environment = readEnvironment(pid);
  const isHere = sandboxId === undefined || environment.includes(`\0${SANDBOX_VARIABLE}=${sandboxId}\0`);
  const isOurs = isHere && markers.some((name) => environment.includes(`\0${name}=`));
  return { pid, parentPid: Number(parentPid), isOurs };
}
