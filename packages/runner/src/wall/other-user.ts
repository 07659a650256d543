/**
 * A wall between two users of one container, whose engine is the wall to the machine: the agent with its child processes runs as
 * another user than the runner, without capabilities. So it reads neither the runner's memory, environment and files, nor signals
 * it. The runner has the capabilities that this takes (`RUNNER_CAPABILITIES` of the broker's driver `docker`): it starts programs as
 * the other user, signals them, and reads and writes their files.
 */
import { endProcessesOfUser, processesOfUser, userNumber } from "./user-processes.ts";
import { type Wall, WallError, type WalledCommand } from "./wall.ts";

/** The user of the agent in the image of sandboxes. */
export const AGENT_USER = "valet";

const SETPRIV = "/usr/bin/setpriv";

/** Returns what starts a program as the user, without any capability and with no way to one. */
export function asUser(user: string): readonly [string, ...string[]] {
  const capabilities = ["--inh-caps=-all", "--ambient-caps=-all"];
  return [SETPRIV, `--reuid=${user}`, `--regid=${user}`, "--clear-groups", ...capabilities, "--no-new-privs", "--"];
}

export class OtherUser implements Wall {
  readonly endsAll = true;
  readonly #prefix: readonly [string, ...string[]];
  readonly #uid: number;
  #isClosed = false;

  /** @throws Error if there is no such user */
  constructor(user: string) {
    this.#prefix = asUser(user);
    this.#uid = userNumber(user);
  }

  processes(atMost: number): number[] {
    return processesOfUser(this.#uid, atMost);
  }

  async endProcesses(): Promise<void> {
    if (!(await endProcessesOfUser(this.#uid))) throw new WallError("the agent's processes cannot be ended one by one");
  }

  async enter(command: readonly [string, ...string[]], folder: string): Promise<WalledCommand> {
    if (this.#isClosed) throw new WallError("the wall is closed");
    return { command: [...this.#prefix, ...command], cwd: folder };
  }

  async connected(): Promise<void> {}

  freePort(): number {
    return 0;
  }

  /** The container's network is that of both users. */
  expose(): void {}

  async reach(): Promise<undefined> {
    return undefined;
  }

  /** setpriv replaces itself with the program, so the program's own end is known. */
  signalOf(): undefined {
    return undefined;
  }

  /** What is left ends with the runner: the supervisor of the container, as root, ends all processes at once. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await endProcessesOfUser(this.#uid);
  }
}
