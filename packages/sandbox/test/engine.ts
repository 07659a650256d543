/**
 * Container engines for tests, each with a store of its own: Docker, and Podman's service with runc, which speaks Docker's API. No
 * registry is needed: images are made of this machine's programs.
 */
import { type ChildProcessByStdio, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createReadStream, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { describe } from "vitest";
import { connectEngine, type Engine } from "../src/docker/engine.ts";

/** Whatever it is here, any user of the image may read it. */
const READABLE = "--mode=u+rwX,go+rX";
const START_MS = 20_000;
/** An image of some hundred megabytes, on a busy machine. */
const IMPORT_MS = 300_000;

export type EngineName = "Docker" | "Podman";

const PROGRAMS = {
  Docker: ["dockerd", "docker", "docker-init", "containerd", "runc", "unshare"],
  Podman: ["podman", "runc", "netavark", "conmon", "unshare", "nsenter"],
};
/** Where Debian has programs that are not in `PATH`. */
const PLACES = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/lib/podman", "/usr/libexec/podman"];

/** What the drivers and entrypoints need of an image. */
const IMAGE_PROGRAMS = [
  ...["bash", "sh", "cat", "chmod", "chown", "cp", "cut", "du", "env", "find", "grep", "head", "id", "install", "kill"],
  ...[
    "ip",
    "ln",
    "ls",
    "mkdir",
    "mv",
    "pgrep",
    "ps",
    "readlink",
    "rm",
    "sed",
    "seq",
    "setpriv",
    "setsid",
    "sleep",
    "sort",
    "stat",
    "sync",
  ],
  ...["tail", "touch", "tr", "wc", "xargs"],
];

const ENGINES = ["Podman", "Docker"] as const;

/**
 * Defines tests for each engine. If this machine cannot run an engine, its tests are skipped, and their title says why.
 * @param define gets `isFirst` for one engine only: tests that do not depend on the engine are defined for that one
 */
export function describeEngines(title: string, define: (name: EngineName, isFirst: boolean) => void): void {
  const first = firstEngine();
  for (const name of ENGINES) describeEngine(name, title, () => define(name, name === first));
}

/** Defines tests that take minutes: for Podman, or for Docker where this machine cannot run Podman. */
export function describeOneEngine(title: string, define: (name: EngineName) => void): void {
  describeEngine(firstEngine(), title, define);
}

function firstEngine(): EngineName {
  return ENGINES.find((name) => findNoEngine(name) === undefined) ?? "Podman";
}

function describeEngine(name: EngineName, title: string, define: (name: EngineName) => void): void {
  const missing = findNoEngine(name);
  const why = missing === undefined ? "" : ` (skipped: ${missing})`;
  describe.skipIf(missing !== undefined)(`${title}, with ${name}${why}`, () => define(name));
}

/** Returns why this machine cannot run an engine; `undefined` if it can. */
function findNoEngine(name: EngineName): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return `${name} needs Linux and root here`;
  const missing = PROGRAMS[name].filter((each) => findProgram(each) === undefined);
  return missing.length === 0 ? undefined : `${missing.join(", ")} missing`;
}

function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), ...PLACES];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

export interface ImageContents {
  /** Files and folders of this machine, by their paths in the image. */
  readonly files?: Readonly<Record<string, string>>;
  /** Further programs and folders at their own paths, programs with their libraries. */
  readonly programs?: readonly string[];
  /** Programs whose libraries are needed, too. */
  readonly linked?: readonly string[];
  /** Files and folders like `files`, which belong to a user of the image. */
  readonly owned?: { readonly uid: number; readonly files: Readonly<Record<string, string>> };
  /** Texts, by their paths in the image. */
  readonly texts?: Readonly<Record<string, string>>;
}

export interface TestEngine {
  readonly engine: Engine;
  /** As in `DOCKER_HOST`. */
  readonly host: string;
  /** Makes an image of the programs that the drivers need, with their libraries, and of more of this machine. */
  makeImage(name: string, contents?: ImageContents): Promise<void>;
  /** Runs the engine's own command, `docker` or `podman`, on the same store. */
  run(...args: string[]): string;
  /** Removes everything that the engine has, and ends it. */
  close(): Promise<void>;
}

/** A process that serves the API at a socket in its folder. */
interface Service {
  readonly process: ChildProcessByStdio<null, null, Readable>;
  readonly run: (...args: string[]) => string;
  /** Asks it to end. */
  readonly stop: NodeJS.Signals;
}

/** Starts an engine. @throws Error with its output if it does not answer */
export async function startEngine(name: EngineName): Promise<TestEngine> {
  const folder = mkdtempSync(join(tmpdir(), "valet-engine-"));
  const host = `unix://${join(folder, "engine.sock")}`;
  const { process: service, run, stop } = name === "Docker" ? startDocker(folder, host) : startPodman(folder, host);
  let complaints = "";
  service.stderr.on("data", (chunk) => (complaints = `${complaints}${chunk}`.slice(-2000)));
  const engine = connectEngine(host, IMPORT_MS);
  const kill = () => service.kill("SIGKILL");
  process.once("exit", kill);
  const close = async () => {
    process.off("exit", kill);
    for (const { Id } of await engine.listContainers({ all: true }).catch(() => [])) {
      await engine
        .getContainer(Id)
        .remove({ force: true })
        .catch(() => {});
    }
    await engine.pruneNetworks().catch(() => {});
    if (service.exitCode === null && service.signalCode === null) {
      const ended = once(service, "exit");
      service.kill(stop);
      await ended;
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  };
  for (const end = Date.now() + START_MS; ; await sleep(30)) {
    if (await engine.ping().catch(() => false)) break;
    if (Date.now() < end && service.exitCode === null) continue;
    await close();
    throw new Error(`${name} does not answer: ${complaints}`);
  }
  return { engine, host, run, close, makeImage: (image, contents) => makeImage(engine, folder, image, contents) };
}

const environment = () => ({ PATH: [process.env.PATH, ...PLACES].join(delimiter) });

function startPodman(folder: string, host: string): Service {
  const configuration = join(folder, "containers.conf");
  // Raised limits are refused in containers, in which tests often run.
  const lines = ["[containers]", "default_ulimits = []", "[engine]", 'runtime = "runc"', 'events_logger = "file"'];
  writeFileSync(configuration, `${lines.join("\n")}\ncgroup_manager = "cgroupfs"\n`);
  const places = ["root", "runroot", "tmpdir", "network-config-dir"].flatMap((name) => {
    mkdirSync(join(folder, name));
    return [`--${name}`, join(folder, name)];
  });
  const env = { ...environment(), CONTAINERS_CONF: configuration };
  // With mounts of its own: nothing of it is left, and no other program of this machine can unmount the networks of its containers, as
  // some do.
  const serve = ["--mount", "podman", ...places, "system", "service", "--time", "0", host];
  // In its folder conmon notes that a container was out of memory.
  const service = spawn("unshare", serve, { env, cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  const inside = [`--mount=/proc/${service.pid}/ns/mnt`, "podman", ...places];
  const run = (...args: string[]) => execFileSync("nsenter", [...inside, ...args], { env, encoding: "utf8" });
  return { process: service, run, stop: "SIGTERM" };
}

function startDocker(folder: string, host: string): Service {
  const env = environment();
  const places = [`--data-root=${folder}/data`, `--exec-root=${folder}/exec`, `--pidfile=${folder}/pid`];
  // The machine's rules for packets are left alone: they may be those of its own Docker. Then containers reach the machine, and no other one.
  const network = ["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"];
  // In a PID namespace, so that containerd and all containers end with it, whatever ends it.
  const apart = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const service = spawn("unshare", [...apart, "dockerd", `--host=${host}`, ...places, ...network], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const run = (...args: string[]) => execFileSync("docker", ["--host", host, ...args], { env, encoding: "utf8" });
  return { process: service, run, stop: "SIGKILL" };
}

async function makeImage(
  engine: Engine,
  folder: string,
  name: string,
  { files = {}, owned, programs: more = [], linked = [], texts = {} }: ImageContents = {},
): Promise<void> {
  const found = IMAGE_PROGRAMS.flatMap((each) => {
    return PLACES.map((place) => join(place, each)).find((candidate) => existsSync(candidate)) ?? [];
  });
  const programs = [...found, ...more].flatMap((path) => [path, ...librariesOf(path)]);
  programs.push(...linked.flatMap(librariesOf));
  const written = Object.entries(texts).map(([at, text], index) => {
    const path = join(folder, `${name}-${index}`);
    writeFileSync(path, text, { mode: 0o755 });
    return [at, path] as const;
  });
  const archive = join(folder, `${name}.tar`);
  writeFileSync(archive, "");
  const append = (from: string, paths: readonly string[], ...options: string[]) =>
    execFileSync("tar", [
      "--append",
      "--file",
      archive,
      "--dereference",
      READABLE,
      ...options,
      "-C",
      from,
      "--",
      ...paths,
    ]);
  append(
    "/",
    [...new Set(programs)].map((path) => path.slice(1)),
  );
  const rename = ([at, source]: readonly [string, string], ...options: string[]) => {
    const path = source.slice(1);
    append("/", [path], `--transform=s,^${path},${at.slice(1)},`, ...options);
  };
  // bash scripts name it there; /usr/bin and /bin need not be one folder in the image.
  const shells = { "/bin/sh": "/bin/sh", "/bin/bash": "/bin/bash" };
  for (const each of [...Object.entries({ ...shells, ...files }), ...written]) rename(each);
  for (const each of Object.entries(owned?.files ?? {})) {
    rename(each, "--numeric-owner", `--owner=${owned?.uid}`, `--group=${owned?.uid}`);
  }
  const answer = await engine.importImage(createReadStream(archive), { fromSrc: "-", repo: name, tag: "latest" });
  await new Promise<void>((resolve, reject) => answer.on("end", resolve).on("error", reject).resume());
  rmSync(archive);
}

/** Returns the libraries of a program, by their paths as the program names them. */
function librariesOf(path: string): string[] {
  const { stdout } = spawnSync("ldd", [path], { encoding: "utf8" });
  return stdout.match(/(?<=\s)\/\S+/g) ?? [];
}
