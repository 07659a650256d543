/** What goes on in the sandbox without the agent: processes that it, or a command, left behind and that end with the sandbox. */
import { AGENT_RUN_VARIABLE, STEP_VARIABLE } from "./marks.ts";
import { listProcessIds, readEnvironment, readProcFile } from "./proc-files.ts";

interface ProcessEntry {
  readonly pid: number;
  readonly parentPid: number;
  /** Whether the agent of this sandbox, or a command of one of its workflows, started it. */
  readonly isOurs: boolean;
}

/** What all that a sandbox's processes start inherits: tells it from others on the same machine. */
const SANDBOX_VARIABLE = "VALET_SANDBOX_ID";

/** Zombie and dead, as proc_pid_stat(5) has them: nothing runs any more. */
const GONE_STATES = "ZXx";

/**
 * Counts the processes that were started by the agent's tools or by commands of workflows, and whose parent has ended: those
 * go on without anybody. What is still below the agent, such as its language servers, is part of it. Linux only; elsewhere
 * there are none.
 * @param sandboxId absent where the sandbox has no other beside it
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
  // The second field is the command in parentheses and may hold anything, parentheses and spaces included.
  const [state = "", parentPid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (state === "" || GONE_STATES.includes(state)) return undefined;
  const environment = readEnvironment(pid);
  const isHere = sandboxId === undefined || environment.includes(`\0${SANDBOX_VARIABLE}=${sandboxId}\0`);
  const isOurs = isHere && markers.some((name) => environment.includes(`\0${name}=`));
  return { pid, parentPid: Number(parentPid), isOurs };
}
