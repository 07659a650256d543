/** Gives each command that a signal killed an exit code. */
import { constants } from "node:os";

/** How Bun reports that a child process has ended. A signal without a name, such as 34, is a number. */
type OnExit = (child: unknown, exitCode: number | null, signal: string | number | null, error?: unknown) => void;

/** The form in which `node:child_process` starts a process. */
interface SpawnOptions {
  readonly cmd?: readonly string[];
  readonly onExit?: OnExit;
}

type Spawn = (first: readonly string[] | SpawnOptions, second?: unknown) => unknown;

/** What shells add to the number of a signal. */
const KILLED = 128;

/**
 * From now on, a shell's command (`-c`) that a signal killed ends with the exit code that shells report for it: 128 + the signal's number.
 * OpenCode 1.18.33 waits for the exit code of its shell. Without one it waits until the command's time limit, and then reports that limit
 * as the reason. A shell replaces itself with a command that is a single program, so what kills the program kills OpenCode's shell. A
 * second shell around OpenCode's would report the exit code, too, but commands could see it and kill it.
 */
export function giveExitCodes({ Bun } = globalThis as { Bun?: { spawn: Spawn } }): void {
  if (Bun === undefined) return;
  const { spawn } = Bun;
  Bun.spawn = (first, second) => {
    const { cmd, onExit } = first as SpawnOptions;
    if (cmd?.[1] !== "-c" || onExit === undefined) return spawn(first, second);
    return spawn({ ...first, onExit: withExitCode(onExit) });
  };
}

function withExitCode(onExit: OnExit): OnExit {
  return (child, exitCode, signal, error) => {
    const number = typeof signal === "string" ? constants.signals[signal as NodeJS.Signals] : signal;
    if (number) onExit(child, KILLED + number, null, error);
    else onExit(child, exitCode, signal, error);
  };
}
