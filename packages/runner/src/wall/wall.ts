/** What stands between the machine, the runner included, and the agent with everything that it starts. */

/** A program with its arguments and its working directory, as it is to be started. */
export interface WalledCommand {
  readonly command: readonly [string, ...string[]];
  readonly cwd: string;
}

export interface EnterOptions {
  /** Whether the program, and what it starts, may change the agent's configuration. */
  readonly mayConfigure?: boolean;
  /**
   * Whether the program may start before its network leads anywhere ({@link Wall.connected}). It has its own network from the start,
   * and reaches nothing by it until then.
   */
  readonly beforeNetwork?: boolean;
}

export interface Wall {
  /** Whether every process behind it ends with it, so that nobody has to find them by their environment. */
  readonly endsAll: boolean;
  /**
   * The first process behind the wall, as the machine numbers it: it inherits those whose parents have ended. Absent if the wall does
   * not stand, or has no processes of its own.
   */
  readonly firstPid?: number | undefined;
  /** Returns the processes behind the wall, up to one more than `atMost`; absent where only `firstPid` or a control group tells them. */
  readonly processes?: ((atMost: number) => number[]) | undefined;
  /**
   * Ends every process behind the wall. What enters next finds a wall in which none of them is left. Absent where only a control group or
   * the processes' environment tells them.
   * @throws WallError if some start others faster than they are ended
   */
  readonly endProcesses?: (() => Promise<void>) | undefined;
  /**
   * Returns how to start a program behind the wall. Starts the wall if it does not stand.
   * @param folder the program's working directory
   * @throws WallError
   */
  enter(command: readonly [string, ...string[]], folder: string, options?: EnterOptions): Promise<WalledCommand>;
  /**
   * Resolves once programs behind the wall reach what they may reach. If that cannot be arranged, the wall ends with every process
   * behind it.
   * @throws WallError
   */
  connected(): Promise<void>;
  /**
   * Returns the port on which a server that enters now should listen on its loopback interface. 0: it may choose any free one.
   * Otherwise the wall's own relays have yet to take their ports, and this one is none of theirs.
   */
  freePort(): number;
  /**
   * Lets programs behind the wall reach a server on the machine's loopback interface, at the same address. Idempotent. Does nothing
   * for servers elsewhere, and where programs share the machine's network.
   */
  expose(url: string): void;
  /**
   * Returns the Unix socket by which the runner reaches a server that a program behind the wall has on its loopback interface, one at
   * a time; `undefined` where programs share the machine's network.
   * @throws WallError
   */
  reach(port: number): Promise<string | undefined>;
  /** Returns the signal that ended a program behind the wall, of which only its exit code tells. */
  signalOf(exitCode: number): NodeJS.Signals | undefined;
  /** Ends every process behind the wall, and the wall. */
  close(): Promise<void>;
}

/** The wall could not be started. The message names neither files nor variables of the session. */
export class WallError extends Error {
  override readonly name = "WallError";
}

/** Where the sandbox itself is the wall, or nobody asked for one. */
export const NO_WALL: Wall = {
  endsAll: false,
  enter: async (command, cwd) => ({ command, cwd }),
  connected: async () => {},
  freePort: () => 0,
  expose: () => {},
  reach: async () => undefined,
  signalOf: () => undefined,
  close: async () => {},
};
