/** Keeps what is made of sources, in a folder that is named by their hash: a start with unchanged sources only reads it. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { join, relative } from "node:path";

/** A bundle that no start of a system has used for so long is removed. */
const UNUSED_MS = 30 * 24 * 60 * 60 * 1000;

export interface BundleSource {
  /** The folder of all bundles of one program. */
  readonly bundles: string;
  /** The files that a bundle is made of. */
  readonly files: readonly string[];
  /** The folder relative to which the files' names belong to the hash. */
  readonly base: string;
  /** Writes the bundle into an empty folder. */
  readonly make: (folder: string) => Promise<void>;
}

/** Returns the folder with the bundle of these sources, which is made if there is none. @throws if it cannot be made or written */
export async function keptBundle({ bundles, files, base, make }: BundleSource): Promise<string> {
  const folder = join(bundles, await hashOf(files, base));
  if (existsSync(folder)) {
    await utimes(folder, new Date(), new Date()).catch(() => {});
    return folder;
  }
  await mkdir(bundles, { recursive: true });
  await removeUnused(bundles);
  // Made beside its place and renamed, since several systems may start at once.
  const unfinished = await mkdtemp(join(bundles, "unfinished-"));
  try {
    await make(unfinished);
    await rename(unfinished, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return folder;
}

/** Returns the path of the lockfile, which stands for all that is installed. @param packageFolder a package of the workspace */
export function lockfileOf(packageFolder: string): string {
  return join(packageFolder, "../../pnpm-lock.yaml");
}

/** Returns the paths of a package's sources and of its manifest. */
export async function sourcesOf(packageFolder: string): Promise<string[]> {
  const names = await readdir(join(packageFolder, "src"), { recursive: true });
  const isSource = (name: string) => name.endsWith(".ts") && !name.endsWith(".test.ts");
  const sources = names.filter(isSource).map((name) => join(packageFolder, "src", name));
  return [join(packageFolder, "package.json"), ...sources.sort()];
}

async function hashOf(files: readonly string[], base: string): Promise<string> {
  const contents = await Promise.all(files.map((file) => readFile(file)));
  const hash = createHash("sha256");
  for (const [index, content] of contents.entries()) {
    hash.update(`${relative(base, files[index] as string)}\0${content.length}\0`).update(content);
  }
  return hash.digest("hex").slice(0, 32);
}

async function removeUnused(bundles: string): Promise<void> {
  for (const name of await readdir(bundles)) {
    const path = join(bundles, name);
    // Another system may have removed it.
    const { mtimeMs = Date.now() } = (await stat(path).catch(() => undefined)) ?? {};
    if (Date.now() - mtimeMs > UNUSED_MS) await rm(path, { recursive: true, force: true });
  }
}
