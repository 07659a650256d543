/**
 * Builds the page (packages/web) in a process of its own, whose memory goes with it. The result is kept by the hash of its sources:
 * a start with unchanged sources only reads it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { access, constants, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { keptBundle, sourcesIn } from "./kept-bundle.ts";

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

const TIMEOUT_MS = 3 * 60_000;
/** How much of the build's errors is kept, in UTF-16 code units. */
const MAX_ERROR = 4000;

/**
 * Returns the folder of the built page.
 * @throws Error with what the build says
 */
export async function buildPage(options: BuildOptions): Promise<string> {
  const { sources, fallback } = options;
  const { package: root, others } = sources;
  const files = await Promise.all([root, ...others].map((path) => sourcesIn(path)));
  return keptBundle({
    bundles: await cacheFolder(join(root, "node_modules/.cache/valet-page"), fallback),
    files: files.flat(),
    base: join(root, ".."),
    // A running `valet up` has read its page into memory.
    unusedMs: 0,
    make: (folder) => runBuild(folder, options),
  });
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
