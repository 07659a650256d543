/** Keeps what is made of sources, in a folder that is named by their hash: a start with unchanged sources only reads it. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { join, relative } from "node:path";

/** What a process that died has left is removed after this time. */
const LEFTOVER_MS = 60 * 60 * 1000;
const UNFINISHED = "unfinished-";

export interface BundleSource {
  /** The folder of all bundles of one program. */
  readonly bundles: string;
  /** The files that a bundle is made of. */
  readonly files: readonly string[];
  /** The folder relative to which the files' names belong to the hash. */
  readonly base: string;
  /** For how long a bundle stays that no start uses, ms: programs may run from it. At 0 it goes as soon as there is a newer one. */
  readonly unusedMs: number;
  /** Writes the bundle into an empty folder. */
  readonly make: (folder: string) => Promise<void>;
}

/** Returns the folder with the bundle of these sources, which is made if there is none. @throws if it cannot be made or written */
export async function keptBundle({ bundles, files, base, unusedMs, make }: BundleSource): Promise<string> {
  const folder = join(bundles, await hashOf(files, base));
  if (existsSync(folder)) {
    await utimes(folder, new Date(), new Date()).catch(() => {});
    return folder;
  }
  await mkdir(bundles, { recursive: true });
  // Made beside its place and renamed, since several systems may start at once.
  const unfinished = await mkdtemp(join(bundles, UNFINISHED));
  try {
    await make(unfinished);
    await rename(unfinished, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  await removeUnused(bundles, folder, unusedMs);
  return folder;
}

/** Returns the path of the lockfile, which stands for all that is installed. @param packageFolder a package of the workspace */
export function lockfileOf(packageFolder: string): string {
  return join(packageFolder, "../../pnpm-lock.yaml");
}

/** Returns the paths of a package's sources and of its manifest. */
export async function sourcesOf(packageFolder: string): Promise<string[]> {
  return [join(packageFolder, "package.json"), ...(await sourcesIn(join(packageFolder, "src")))];
}

/** What is no source in any folder. */
const NOT_SOURCES = new Set(["node_modules", "dist"]);

/** Returns the paths of all files of a folder, or that of a file. Tests are no sources. */
export async function sourcesIn(path: string): Promise<string[]> {
  if ((await stat(path)).isFile()) return /\.test\.tsx?$/.test(path) ? [] : [path];
  const names = (await readdir(path)).filter((name) => !NOT_SOURCES.has(name));
  return (await Promise.all(names.sort().map((name) => sourcesIn(join(path, name))))).flat();
}

async function hashOf(files: readonly string[], base: string): Promise<string> {
  const contents = await Promise.all(files.map((file) => readFile(file)));
  const hash = createHash("sha256");
  for (const [index, content] of contents.entries()) {
    hash.update(`${relative(base, files[index] as string)}\0${content.length}\0`).update(content);
  }
  return hash.digest("hex").slice(0, 32);
}

/** Removes the bundles that no start has used for `unusedMs`, and what dead processes have left. The bundle that was just made stays. */
async function removeUnused(bundles: string, made: string, unusedMs: number): Promise<void> {
  for (const name of await readdir(bundles)) {
    const path = join(bundles, name);
    if (path === made) continue;
    // Another system may have removed it.
    const { mtimeMs = Date.now() } = (await stat(path).catch(() => undefined)) ?? {};
    const keptMs = name.startsWith(UNFINISHED) ? LEFTOVER_MS : unusedMs;
    if (Date.now() - mtimeMs >= keptMs) await rm(path, { recursive: true, force: true });
  }
}
