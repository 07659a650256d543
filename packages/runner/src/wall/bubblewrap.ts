/**
 * A wall made by bubblewrap: user, mount, PID, IPC, UTS and cgroup namespaces of its own, in which the machine's system is
 * read-only and nothing else of it exists. The runner stays outside. Without privileges, and the same for root.
 *
 * bubblewrap gives a process a `/dev` with terminals only if that process is root in its user namespace. So there are two
 * namespaces: the wall's, whose root only waits for its end, and within it one for each program, in which it is an ordinary user
 * without capabilities. A program enters by nsenter(1), which may be started at any time, and shares the wall's processes and
 * files with the others: a server that one command leaves running is there for the next.
 *
 * All processes end with the wall, and the wall with the runner: its first process waits at a pipe that the runner holds open.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { delimiter } from "node:path";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { LIMITING_ARGUMENTS, limitingScript } from "@valet/shared/protocol/sandbox-namespaces";
import { keyringFilter } from "./keyring-filter.ts";
import { MACHINE } from "./machine.ts";
import { MIXED_FOLDERS, mountArguments, type VisibleFiles } from "./mounts.ts";
import { namespaceLimits } from "./namespace-limits.ts";
import { type OwnNetwork, RESOLVER } from "./own-network.ts";
import { privatePaths } from "./private-paths.ts";
import { resolverWith } from "./resolver.ts";
import { type EnterOptions, type Wall, WallError, type WalledCommand } from "./wall.ts";

export interface BubblewrapOptions extends Omit<VisibleFiles, "programs" | "hidden" | "temporaryBytes"> {
  /** What connects programs with other machines; without it they share the machine's network. */
  readonly network?: OwnNetwork | undefined;
  /** The agent's home. */
  readonly home: string;
  /** The folder of the agent's configuration. */
  readonly configuration?: string;
  /** The `PATH` of the agent and its commands. */
  readonly path: string;
  /**
   * How much folders in memory may take together, in bytes. If omitted, and where bubblewrap cannot limit them, each may take half of
   * the machine's memory.
   */
  readonly temporaryBytes?: number | undefined;
  /** How long the wall may take to stand, in ms. */
  readonly startTimeoutMs?: number;
  /** The path of bubblewrap; the machine's by default. */
  readonly bwrap?: string;
}

/** The user and the group that programs behind the wall see as their own. */
const USER = "1000";
const START_TIMEOUT_MS = 10_000;
const END_TIMEOUT_MS = 5_000;
const END_ROUND_MS = 5;
const MAX_END_ROUNDS = 400;
const MAX_INFO_BYTES = 16 * 1024;

/**
 * bubblewrap and nsenter would end at a signal to the group, and the runner would take the program for ended. So they ignore what
 * asks a program to end, and the program has the default again.
 */
const POLITE = ["TERM", "INT", "HUP"];
const IGNORING = `trap '' ${POLITE.join(" ")}`;
const DEFAULT_SIGNALS = ["/usr/bin/env", `--default-signal=${POLITE.join(",")}`];

/** A file behind the wall, which no program there can change, and the descriptor by which the bubblewrap of each reads it. */
const FILTER = { path: "/.keyring-filter", fd: 9 };

/**
 * With absolute paths: a `PATH` may name a folder that the agent can write, and what it put there would enter as the wall's root.
 * Behind the wall these are the machine's, too, read-only.
 */
const PROGRAMS = { bwrap: "/usr/bin/bwrap", nsenter: "/usr/bin/nsenter" } as const;

interface Standing {
  readonly child: ChildProcess;
  /** The first process behind the wall, as the machine numbers it. */
  readonly pid: number;
  /** Resolves once its network is connected. */
  readonly connected: Promise<void>;
}

export class Bubblewrap implements Wall {
  readonly endsAll = true;
  readonly #options: BubblewrapOptions;
  #temporaryBytes: number | undefined;
  #standing: Promise<Standing> | undefined;
  #firstPid: number | undefined;
  #child: ChildProcess | undefined;
  /** Resolves once every process behind the last wall has ended, if that one was ended. */
  #ended: Promise<void> = Promise.resolve();
  #isClosed = false;

  /** Begins to build the wall. */
  constructor(options: BubblewrapOptions) {
    this.#options = options;
    this.#temporaryBytes = options.temporaryBytes;
    this.#standing = this.#start();
    this.#standing.catch(() => {});
  }

  get firstPid(): number | undefined {
    return this.#firstPid;
  }

  async enter(
    command: readonly [string, ...string[]],
    folder: string,
    { mayConfigure = false, beforeNetwork = false }: EnterOptions = {},
  ): Promise<WalledCommand> {
    const { configuration } = this.#options;
    const sealed = configuration === undefined || mayConfigure ? [] : ["--ro-bind", configuration, configuration];
    // Until then they count against the sandbox's limits, and nothing can enter their namespace any more.
    await this.#ended;
    if (this.#isClosed) throw new WallError("the wall is closed");
    this.#standing ??= this.#start();
    const { pid, connected } = await this.#standing.then((standing) =>
      isRunning(standing.pid) ? standing : this.#restart(standing),
    );
    const { network } = this.#options;
    if (!beforeNetwork) {
      await connected;
      await network?.settled();
    }
    return {
      command: [
        "/bin/sh",
        // The filter is opened from outside, since behind the wall that would take a second shell.
        ...["-c", `${IGNORING}; exec "$@" ${FILTER.fd}</proc/${pid}/root${FILTER.path}`, "sh"],
        ...[PROGRAMS.nsenter, `--target=${pid}`, "--user", "--mount", "--pid", "--ipc", "--uts", "--cgroup"],
        ...(network === undefined ? [] : ["--net"]),
        ...["--preserve-credentials", "--"],
        ...[PROGRAMS.bwrap, "--unshare-user", "--uid", USER, "--gid", USER, "--cap-drop", "ALL"],
        ...["--seccomp", `${FILTER.fd}`],
        ...["--bind", "/", "/", "--dev-bind", "/dev", "/dev", ...sealed, "--chdir", folder, "--"],
        ...DEFAULT_SIGNALS,
        ...command,
      ],
      cwd: "/",
    };
  }

  expose(url: string): void {
    this.#options.network?.expose(url);
  }

  async connected(): Promise<void> {
    if (this.#standing === undefined) throw new WallError("the wall has ended");
    const { connected } = await this.#standing;
    await connected;
  }

  freePort(): number {
    return this.#options.network?.freePort() ?? 0;
  }

  async reach(port: number): Promise<string | undefined> {
    await this.connected();
    return this.#options.network?.reach(port);
  }

  signalOf(exitCode: number): NodeJS.Signals | undefined {
    const names = Object.entries(constants.signals) as [NodeJS.Signals, number][];
    return names.find(([, number]) => exitCode === 128 + number)?.[0];
  }

  /** The kernel ends all processes of a PID namespace with its first one, and no process there can outrun that. */
  endProcesses(): Promise<void> {
    const pid = this.#firstPid;
    if (pid === undefined) return this.#ended;
    attempt(() => process.kill(pid, "SIGKILL"));
    this.#standing = undefined;
    this.#firstPid = undefined;
    this.#child = undefined;
    this.#ended = untilEnded(pid);
    return this.#ended;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const standing = await this.#standing?.catch(() => undefined);
    this.#options.network?.close();
    await this.#ended;
    if (standing === undefined) return;
    const { child, pid } = standing;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.stdin?.end();
    await Promise.race([ended, sleep(END_TIMEOUT_MS, undefined, { ref: false })]);
    child.kill("SIGKILL");
    // bubblewrap does not wait for the first process.
    await untilEnded(pid);
  }

  /** Builds the wall anew, whose end the system has not told yet. */
  #restart(ended: Standing): Promise<Standing> {
    if (this.#child === ended.child) this.#standing = this.#start();
    return this.#standing ?? Promise.reject(new WallError("the wall has ended"));
  }

  async #start(): Promise<Standing> {
    const {
      path,
      home,
      own,
      configuration,
      readable,
      network,
      startTimeoutMs = START_TIMEOUT_MS,
      bwrap = PROGRAMS.bwrap,
    } = this.#options;
    const writable = configuration === undefined ? own : [...own, configuration];
    // An ordinary user may read nothing that is not its own or for everybody.
    const hidden = process.getuid?.() === 0 ? privatePaths(MIXED_FOLDERS) : [];
    const programs = path.split(delimiter);
    const visible = { own: writable, readable, hidden, programs, temporaryBytes: this.#temporaryBytes };
    const child = spawn(
      bwrap,
      [
        ...["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
        ...["--uid", "0", "--gid", "0", "--hostname", "sandbox", "--die-with-parent"],
        ...mountArguments(visible, MACHINE),
        ...LIMITING_ARGUMENTS,
        ...["--ro-bind-data", "4", "/etc/passwd", "--ro-bind-data", "5", "/etc/group"],
        ...["--ro-bind-data", "6", FILTER.path],
        ...(network === undefined ? [] : ["--unshare-net", "--ro-bind-data", "7", "/etc/resolv.conf"]),
        ...["--remount-ro", "/"],
        ...["--info-fd", "3", "--", "/bin/sh", "-c", `${limitingScript(namespaceLimits())}; echo; exec cat`],
      ],
      // Nothing of the runner's environment, since processes behind the wall may read it.
      { cwd: "/", env: {}, stdio: Array.from({ length: network === undefined ? 7 : 8 }, () => "pipe" as const) },
    );
    for (const [fd, content] of [
      [4, usersOf(home)],
      [5, GROUPS],
      [6, keyringFilter()],
      [7, resolverWith(RESOLVER, attempt(() => readFileSync("/etc/resolv.conf", "utf8")) ?? "")],
    ] as const) {
      const stream = (child.stdio as readonly unknown[])[fd] as Writable | null;
      stream?.on("error", () => {});
      stream?.end(content);
    }
    this.#child = child;
    const forget = () => {
      if (this.#child !== child) return;
      this.#standing = undefined;
      this.#firstPid = undefined;
    };
    child.once("error", forget);
    child.once("exit", forget);
    child.stdin?.on("error", () => {});
    let complaint = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      complaint = (complaint + chunk.toString()).slice(0, 200);
    });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    const failed = new Promise<never>((_, reject) => {
      child.once("error", (error: NodeJS.ErrnoException) => reject(new WallError(`bwrap: ${error.code}`)));
      // Not at its exit, after which its complaint may still have to be read.
      child.once("close", () => reject(new WallError(complaint.trim() || "bwrap has ended")));
    });
    failed.catch(() => {});
    const late = sleep(startTimeoutMs, undefined, { ref: false }).then(() => {
      throw new WallError("bwrap did not start in time");
    });
    late.catch(() => {});
    try {
      // The process is known before its files are in place, of which only the first program tells.
      // If it has ended instead, its own complaint says why.
      const known = childPid(child.stdio[3] as Readable).catch(() => failed);
      const stands = Promise.all([known, once(child.stdout as Readable, "data")]);
      const [pid] = await Promise.race([stands, failed, late]);
      this.#firstPid = pid;
      const connected = Promise.race([network?.attach(pid, exited), failed, late]).then(
        // Without a part of its network the wall is of no use. It is built again for the next program.
        (attachment) => void attachment?.ended.then(() => child.kill("SIGKILL")),
        (error: unknown) => {
          child.kill("SIGKILL");
          forget();
          throw error;
        },
      );
      connected.catch(() => {});
      return { child, pid, connected };
    } catch (error) {
      child.kill("SIGKILL");
      forget();
      if (!(error instanceof WallError && SIZES_UNKNOWN.test(error.message))) throw error;
      this.#temporaryBytes = undefined;
      this.#standing = this.#start();
      return this.#standing;
    }
  }
}

/** What a bubblewrap says that cannot limit a folder in memory: those before 0.7.0, as that of Ubuntu 22.04. */
const SIZES_UNKNOWN = /Unknown option --size/;

/** Whether a process has not ended. Its parent, which is another one by then, may be slow to read its exit code. */
function isRunning(pid: number): boolean {
  const state = attempt(() => readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /s, "")[0]);
  return state !== undefined && state !== "Z" && state !== "X";
}

/** Waits for the end of the first process behind a wall, which ends after all others there; not forever. */
async function untilEnded(pid: number): Promise<void> {
  for (let round = 0; round < MAX_END_ROUNDS && isRunning(pid); round++) await sleep(END_ROUND_MS);
}

/** Reads the first process's id from the JSON object that bubblewrap writes once it has made the namespaces. */
async function childPid(info: Readable): Promise<number> {
  let text = "";
  for await (const chunk of info) {
    text += String(chunk);
    if (text.length > MAX_INFO_BYTES || text.includes("}")) break;
  }
  const { "child-pid": pid } = JSON.parse(text) as { "child-pid": unknown };
  if (typeof pid !== "number") throw new WallError("bwrap tells no process id");
  return pid;
}

/** Programs such as ssh refuse to work for a user without an entry. */
const usersOf = (home: string) => `root:x:0:0:root:/root:/bin/sh\nagent:x:${USER}:${USER}:agent:${home}:/bin/sh\n`;
const GROUPS = `root:x:0:\nagent:x:${USER}:\n`;

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
