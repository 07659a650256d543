/** Finds out whether this machine lets sandboxes have a network of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Isolation } from "@valet/shared/protocol/sandbox-broker";
import {
  NETWORK_PROGRAMS,
  type Network,
  slirpCommand,
  UNREACHABLE_BY_SLIRP,
} from "@valet/shared/protocol/sandbox-network";
import type { NoWall } from "./isolation.ts";

/** It takes 50 ms. A busy machine must not cost sandboxes their network. */
const PROBE_TIMEOUT_MS = 20_000;
const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
const IP = ["/usr/sbin/ip", "/usr/bin/ip", "/sbin/ip", "/bin/ip"];
const TUNNEL = "/dev/net/tun";
/** The same namespaces of a network as the runner's wall has. Waits for a line when they are made. */
const WALL = [
  ...["--unshare-user", "--unshare-net", "--uid", "0", "--gid", "0", "--die-with-parent"],
  ...["--ro-bind", "/", "/", "--dev", "/dev", "--info-fd", "3", "--", "/bin/sh", "-c", "echo; exec cat"],
];

/** Returns what prevents sandboxes from having a network of their own; `undefined` if nothing does. Never rejects. */
export async function findNoNetwork(): Promise<NoWall | undefined> {
  if (!existsSync(NETWORK_PROGRAMS.slirp)) {
    return {
      reason: `${NETWORK_PROGRAMS.slirp} is missing`,
      remedy: "install it: apt-get install slirp4netns",
    };
  }
  if (!IP.some((path) => existsSync(path))) {
    return { reason: "ip is missing", remedy: "install it: apt-get install iproute2" };
  }
  const complaint = await probe().catch((error: Error) => error.message);
  if (complaint === undefined) return undefined;
  const remedy = existsSync(TUNNEL)
    ? `let this user open ${TUNNEL}: chmod 666 ${TUNNEL}`
    : `load the kernel's module tun, or in a container give it ${TUNNEL}`;
  return { reason: complaint, remedy };
}

/** Connects a network as the runner does. @returns the complaint of what failed */
async function probe(): Promise<string | undefined> {
  const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
  const children: ChildProcess[] = [];
  const start = (file: string, args: string[], env: Record<string, string> = {}) => {
    const child = spawn(file, args, { cwd: "/", env, signal, stdio: ["pipe", "pipe", "pipe", "pipe", "pipe"] });
    for (const stream of child.stdio) stream?.on("error", () => {});
    children.push(child);
    let text = "";
    child.stderr.on("data", (chunk: Buffer) => {
      text = (text + chunk.toString()).slice(0, 2000);
    });
    const ended = new Promise<string>((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("close", (code) => resolve(code === 0 ? "" : lastLine(text) || `${file} has failed (${code})`));
    });
    return { child, ended };
  };
  try {
    const wall = start("/usr/bin/bwrap", WALL);
    const stands = Promise.all([
      once(wall.child.stdio[3] as Readable, "data"),
      once(wall.child.stdio[1] as Readable, "data"),
    ]);
    const made = await Promise.race([stands, wall.ended]);
    if (typeof made === "string") return made;
    const pid = Number(/"child-pid": *(\d+)/.exec(String(made[0][0]))?.[1]);
    const [program, ...args] = slirpCommand(pid, { readyFd: 3, exitFd: 4 }, process.geteuid?.() === 0);
    const slirp = start(program, args);
    const script = UNREACHABLE_BY_SLIRP.map((each) => `ip route add unreachable ${each}`).join(" && ");
    const routes = start(
      NETWORK_PROGRAMS.nsenter,
      [`--target=${pid}`, "--user", "--net", "--preserve-credentials", "--", "/bin/sh", "-c", script],
      { PATH },
    );
    const connected = await Promise.race([once(slirp.child.stdio[3] as Readable, "data"), slirp.ended]);
    if (typeof connected === "string") return connected || "slirp4netns has ended";
    return (await routes.ended) || undefined;
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await Promise.race([
      Promise.all(children.map((child) => child.exitCode ?? child.signalCode ?? once(child, "exit"))),
      sleep(PROBE_TIMEOUT_MS, undefined, { ref: false }),
    ]);
  }
}

function lastLine(text: string): string | undefined {
  return text.trim().split("\n").at(-1);
}

/**
 * Decides which network sandboxes have.
 * @param warn receives the loud line if agents behind a wall share the machine's network
 */
export async function chooseNetwork(isolation: Isolation, warn: (line: string) => void): Promise<Network> {
  if (isolation === "none") return "shared";
  const missing = await findNoNetwork();
  if (missing === undefined) return "own";
  warn(
    `SANDBOXES SHARE THIS MACHINE'S NETWORK: agents can reach everything on its loopback interface. ${missing.reason}; ${missing.remedy}`,
  );
  return "shared";
}
