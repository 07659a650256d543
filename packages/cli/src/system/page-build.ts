/**
 * Builds the page (packages/web) in a process of its own, whose memory goes with it. The result is kept by the hash of its sources:
 * a start with unchanged sources only reads it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { access, constants, mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export interface PageSources {
  /** The package of the page; it is built by its `scripts/build.ts`. */
  readonly package: string;
  /** Files and folders elsewhere that the page is built from. */
  readonly others: readonly string[];
}

/** Returns the sources of Valet's own page. */
export function pageSources(): PageSources {
  const web = dirname(fileURLToPath(import.meta.resolve("@valet/web/package.json")));
  const root = join(web, "../..");
  // The lockfile stands for everything that is installed.
  return { package: web, others: [join(root, "packages/shared/src"), join(root, "pnpm-lock.yaml")] };
}

export interface BuildOptions {
  readonly sources: PageSources;
  /** Where builds are kept, if the package's own folder cannot be written. */
  readonly fallback: string;
  /** The environment of the process that builds. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Ends the build. */
  readonly signal: AbortSignal;
}

const NOT_SOURCES = new Set(["node_modules", "dist"]);
const TIMEOUT_MS = 3 * 60_000;
/** How much of the build's errors is kept, in UTF-16 code units. */
const MAX_ERROR = 4000;
/** What a process that died has left is removed after this time. */
const LEFTOVER_MS = 60 * 60_000;

/**
 * Returns the folder of the built page.
 * @throws Error with what the build says
 */
export async function buildPage(options: BuildOptions): Promise<string> {
  const { sources } = options;
  const folder = await cacheFolder(join(sources.package, "node_modules/.cache/valet-page"), options.fallback);
  const built = join(folder, await hashSources(sources));
  if (await isThere(built)) return built;
  // Another build of the same sources may be under way, here or in another process.
  const unfinished = `${built}.${randomUUID()}`;
  try {
    await runBuild(unfinished, options);
    // The one that is ready first counts.
    await rename(unfinished, built).catch(async (error: unknown) => {
      if (!(await isThere(built))) throw error;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  await removeOthers(folder, built);
  return built;
}

/** Returns the first folder if it can be written, or else the other one. */
async function cacheFolder(preferred: string, fallback: string): Promise<string> {
  try {
    await mkdir(preferred, { recursive: true });
    await access(preferred, constants.W_OK);
    return preferred;
  } catch {
    await mkdir(fallback, { recursive: true });
    return fallback;
  }
}

/** Returns the hash of the names and contents of all sources. Tests are none. */
async function hashSources({ package: root, others }: PageSources): Promise<string> {
  const base = join(root, "..");
  const lists = await Promise.all([root, ...others].map((path) => filesIn(path)));
  const paths = lists.flat().sort();
  const hashes = await Promise.all(
    paths.map(async (path) => `${relative(base, path)} ${digest(await readFile(path))}\n`),
  );
  return digest(hashes.join("")).slice(0, 32);
}

function digest(content: string | Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

async function filesIn(path: string): Promise<string[]> {
  if ((await stat(path)).isFile()) return /\.test\.tsx?$/.test(path) ? [] : [path];
  const names = (await readdir(path)).filter((name) => !NOT_SOURCES.has(name));
  return (await Promise.all(names.map((name) => filesIn(join(path, name))))).flat();
}

async function runBuild(folder: string, { sources, env, signal }: BuildOptions): Promise<void> {
  const child = spawn(process.execPath, [join(sources.package, "scripts/build.ts"), folder], {
    cwd: sources.package,
    // Nothing else of the environment concerns it, and much of it is secret.
    env: { PATH: env.PATH, HOME: env.HOME, NODE_ENV: "production" },
    stdio: ["ignore", "ignore", "pipe"],
    signal,
    timeout: TIMEOUT_MS,
  });
  const errors = await endOf(child);
  if (errors !== undefined) throw new Error(errors);
}

/** Returns what a process that failed has written to standard error; `undefined` if it succeeded. */
function endOf(child: ChildProcess): Promise<string | undefined> {
  let text = "";
  child.stderr?.on("data", (chunk) => (text = (text + chunk).slice(0, MAX_ERROR)));
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, ending) => {
      const failed = text.trim() === "" ? `the build ended with ${ending ?? code}` : text.trim();
      resolve(code === 0 ? undefined : failed);
    });
  });
}

/** Removes earlier builds, and what processes that died have left. A running `valet up` has read its page into memory. */
async function removeOthers(folder: string, kept: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (path === kept) continue;
    const isInProgress = name.includes(".") && Date.now() - (await modifiedAt(path)) < LEFTOVER_MS;
    if (!isInProgress) await rm(path, { recursive: true, force: true });
  }
}

async function modifiedAt(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.mtimeMs ?? 0;
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
