/**
 * A network for what is behind a wall: a network namespace, of which slirp4netns(1) leads to other machines, and nothing to this
 * machine's loopback interface and abstract sockets. Relays lead to exactly the servers there that the agent needs, and from the
 * runner to OpenCode. They are two halves that meet at a Unix socket: one in this process, one in a process of the namespace.
 *
 * slirp4netns and that process end with a descriptor that the runner holds open, so they end with it in any case.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { NETWORK_PROGRAMS, SLIRP, slirpCommand, UNREACHABLE_BY_SLIRP } from "@valet/shared/protocol/sandbox-network";
import { type LoopbackServer, loopbackServer } from "./loopback.ts";
import { type Endpoint, type Relay, startRelay } from "./relay.ts";
import { WallError } from "./wall.ts";

export interface OwnNetworkOptions {
  /** For the sockets; nothing behind the wall may see it. */
  readonly folder: string;
  /** The program of the relays in the namespace. */
  readonly relays: readonly [string, ...string[]];
}

/** A namespace that the network reaches. */
export interface Attachment {
  /** Resolves when a part of the network has ended. */
  readonly ended: Promise<unknown>;
}

interface Exposed {
  readonly server: LoopbackServer;
  readonly socket: Endpoint;
  /** The half in this process; absent if it could not be started. */
  outer?: Promise<Relay> | undefined;
}

interface Helper {
  /** Makes one relay in the namespace. @throws WallError */
  relay(from: Endpoint, to: Endpoint): Promise<void>;
}

/** The network's own name server. */
export const RESOLVER = SLIRP.resolver;
const HELPER_PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
/** What the helper says once its routes are in place, before its program begins. */
const BLOCKED = "blocked";
const BLOCK = `for each in ${UNREACHABLE_BY_SLIRP.join(" ")}; do ip route add unreachable "$each" || exit 1; done; echo ${BLOCKED}; exec "$@"`;
/** The first port above those that Linux gives to servers and connections that choose none (`net.ipv4.ip_local_port_range`). */
const FIRST_FREE_PORT = 61_000;

export class OwnNetwork {
  readonly #options: OwnNetworkOptions;
  readonly #exposed = new Map<string, Exposed>();
  /** Those that cannot be reached, although the network is connected. */
  readonly #failed = new Set<Exposed>();
  #helper: Helper | undefined;
  /** Whether the relays have taken their ports. */
  #isOpen = false;
  /** The work on relays that programs must wait for. */
  #settled: Promise<unknown> = Promise.resolve();

  constructor(options: OwnNetworkOptions) {
    this.#options = options;
  }

  /**
   * Connects the network namespace of a process with other machines and with what is exposed.
   * @param wallEnded when it resolves, the network's processes are ended, also those that have not become ready
   * @throws WallError
   */
  async attach(pid: number, wallEnded: Promise<unknown>): Promise<Attachment> {
    mkdirSync(this.#options.folder, { recursive: true, mode: 0o700 });
    const relays = spawn(
      NETWORK_PROGRAMS.nsenter,
      [
        ...[`--target=${pid}`, "--user", "--net", "--preserve-credentials", "--"],
        ...["/bin/sh", "-c", BLOCK, "sh", ...this.#options.relays],
      ],
      { cwd: "/", env: { PATH: HELPER_PATH }, stdio: ["pipe", "pipe", "ignore"] },
    );
    const children: ChildProcess[] = [relays];
    const detach = () => {
      for (const child of children) child.kill("SIGKILL");
    };
    let hasWallEnded = false;
    void wallEnded.then(() => {
      hasWallEnded = true;
      detach();
    });
    try {
      const relaysEnded = ending(relays, "the relays");
      const helper = helperOf(relays, failing(relaysEnded));
      await helper.blocked;
      // The next wall may have its network already.
      if (hasWallEnded) throw new WallError("the wall has ended");
      // Only now, so that at no time anything behind the wall reaches what it must not.
      const slirp = startSlirp(pid);
      children.push(slirp);
      const ended = Promise.race([ending(slirp, "slirp4netns"), relaysEnded]);
      const isReady = Promise.all([once(slirp.stdio[3] as Readable, "data"), helper.ready]);
      await Promise.race([isReady, failing(ended)]);
      if (hasWallEnded) throw new WallError("the wall has ended");
      this.#helper = helper;
      void ended.then(() => {
        if (this.#helper !== helper) return;
        this.#helper = undefined;
        this.#isOpen = false;
      });
      this.#failed.clear();
      await Promise.all([...this.#exposed.values()].map((each) => this.#open(helper, each)));
      this.#isOpen = this.#helper === helper;
      return { ended };
    } catch (error) {
      detach();
      throw error;
    }
  }

  /** Lets programs in the namespace reach the server at its own address. Idempotent; does nothing for other machines' servers. */
  expose(url: string): void {
    const server = loopbackServer(url, readHosts());
    if (server === undefined) return;
    const name = `${server.target}-${server.port}`;
    if (this.#exposed.has(name)) return;
    mkdirSync(this.#options.folder, { recursive: true, mode: 0o700 });
    const exposed = { server, socket: { path: join(this.#options.folder, name) } };
    this.#exposed.set(name, exposed);
    if (this.#helper !== undefined) this.#tryToOpen(this.#helper, exposed);
  }

  /** Returns a port that no relay takes; 0 once the relays have theirs. */
  freePort(): number {
    if (this.#isOpen) return 0;
    const taken = new Set([...this.#exposed.values()].map(({ server }) => server.port));
    let port = FIRST_FREE_PORT;
    while (taken.has(port)) port++;
    return port;
  }

  /** Resolves when everything that was exposed can be reached. Tries again what could not be before. */
  async settled(): Promise<void> {
    if (this.#helper !== undefined) for (const each of this.#failed) this.#tryToOpen(this.#helper, each);
    await this.#settled;
  }

  /** Returns the Unix socket that leads to a server on the namespace's loopback interface. It replaces the last one. @throws WallError */
  async reach(port: number): Promise<string> {
    const path = join(this.#options.folder, "agent");
    if (this.#helper === undefined) throw new WallError("the network has ended");
    await this.#helper.relay({ path }, { host: "127.0.0.1", port });
    return path;
  }

  /** Ends the relays in this process. */
  close(): void {
    for (const { outer } of this.#exposed.values())
      outer?.then(
        (relay) => relay.stop(),
        () => {},
      );
    this.#exposed.clear();
  }

  /** A program of the agent may listen at the server's address, and then has its own server there. */
  #tryToOpen(helper: Helper, exposed: Exposed): void {
    const opened = this.#open(helper, exposed).then(
      () => this.#failed.delete(exposed),
      () => this.#failed.add(exposed),
    );
    this.#settled = Promise.all([this.#settled, opened]);
  }

  async #open(helper: Helper, exposed: Exposed): Promise<void> {
    const { server, socket } = exposed;
    exposed.outer ??= startRelay(socket, { host: server.target, port: server.port });
    await exposed.outer.catch((error: NodeJS.ErrnoException) => {
      exposed.outer = undefined;
      throw new WallError(`a server cannot be forwarded: ${error.code}`);
    });
    const [first, ...others] = server.hosts.map((host) => ({ host, port: server.port }));
    if (first !== undefined) await helper.relay(first, socket);
    // Not every machine has IPv6.
    for (const other of others) await helper.relay(other, socket).catch(() => {});
  }
}

function readHosts(): string {
  try {
    return readFileSync("/etc/hosts", "utf8");
  } catch {
    return "";
  }
}

/** slirp4netns says that it is ready on descriptor 3, and ends with descriptor 4. */
function startSlirp(pid: number): ChildProcess {
  const [program, ...args] = slirpCommand(pid, { readyFd: 3, exitFd: 4 }, process.geteuid?.() === 0);
  return spawn(program, args, { cwd: "/", env: {}, stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
}

/** Rejects when a part of the network has ended. */
function failing(ended: Promise<string>): Promise<never> {
  const failed = ended.then((what) => {
    throw new WallError(`the network cannot be connected: ${what} ended`);
  });
  failed.catch(() => {});
  return failed;
}

/** Speaks with the process of relay-process.ts, which begins once the routes are in place. */
function helperOf(
  { stdin, stdout }: ChildProcess,
  failed: Promise<never>,
): Helper & { readonly blocked: Promise<unknown>; readonly ready: Promise<unknown> } {
  // Keeps lines until they are asked for: several may arrive at once.
  const lines = createInterface({ input: stdout as Readable })[Symbol.asyncIterator]();
  stdin?.on("error", () => {});
  const blocked = answer(lines, failed);
  const ready = blocked.then(() => answer(lines, failed));
  let last: Promise<unknown> = ready;
  for (const each of [blocked, ready]) each.catch(() => {});
  return {
    blocked,
    ready,
    relay(from, to) {
      const asked = last
        .catch(() => {})
        .then(async () => {
          const answered = answer(lines, failed);
          stdin?.write(`${JSON.stringify({ from, to })}\n`);
          const said = await answered;
          if (said !== "ok") throw new WallError(`a server cannot be forwarded: ${said}`);
        });
      last = asked;
      return asked;
    },
  };
}

async function answer(lines: AsyncIterator<string>, failed: Promise<never>): Promise<string> {
  const { value, done } = await Promise.race([lines.next(), failed]);
  // The end of the process that wrote them is about to be noticed.
  return done === true ? failed : value;
}

function ending(child: ChildProcess, name: string): Promise<string> {
  return new Promise((resolve) => {
    child.once("error", () => resolve(name));
    child.once("exit", () => resolve(name));
  });
}
