/** Bundles the runner, so that it starts with half the CPU time that its modules take (packages/runner/scripts/bundle.ts). */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { BUN, BUN_FLAGS, BUN_MANIFEST, RUNNER_PACKAGE } from "./programs.ts";

const ENTRYPOINT = "bin.js";
const BUILD_TIMEOUT_MS = 30_000;
/** A bundle that no start of a system has used for so long is removed. */
const UNUSED_MS = 30 * 24 * 60 * 60 * 1000;

/** The workspace packages whose sources the bundle contains. Their manifests pin everything else in it. */
const CONTENTS = ["runner", "shared", "opencode-plugin"] as const;

/**
 * Returns the entrypoint of the runner's bundle, which is made if there is none of the present sources. It is kept in the runner's
 * package and not in the state directory, where agents could change it.
 * @param runnerPackage the folder of the runner's package, beside the packages that it needs
 * @returns the entrypoint in the sources if the bundle cannot be made, for example since the package belongs to another user
 */
export async function runnerProgram(runnerPackage: string = RUNNER_PACKAGE): Promise<string> {
  try {
    const bundles = join(runnerPackage, "dist");
    const folder = join(bundles, await sourcesHash(runnerPackage));
    if (existsSync(folder)) await utimes(folder, new Date(), new Date()).catch(() => {});
    else await makeBundle(runnerPackage, bundles, folder);
    return join(folder, ENTRYPOINT);
  } catch {
    return join(runnerPackage, "src/bin.ts");
  }
}

/** Makes the bundle beside its place and renames it, since several systems may start at once. */
async function makeBundle(runnerPackage: string, bundles: string, folder: string): Promise<void> {
  await mkdir(bundles, { recursive: true });
  await removeUnused(bundles);
  const unfinished = await mkdtemp(join(bundles, "unfinished-"));
  try {
    const script = join(runnerPackage, "scripts/bundle.ts");
    await promisify(execFile)(BUN, [...BUN_FLAGS, script, unfinished], {
      cwd: runnerPackage,
      timeout: BUILD_TIMEOUT_MS,
    });
    await rename(unfinished, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

async function removeUnused(bundles: string): Promise<void> {
  for (const name of await readdir(bundles)) {
    const path = join(bundles, name);
    // Another system may have removed it.
    const { mtimeMs = Date.now() } = (await stat(path).catch(() => undefined)) ?? {};
    if (Date.now() - mtimeMs > UNUSED_MS) await rm(path, { recursive: true, force: true });
  }
}

/** Returns a hash of everything that the bundle is made of, apart from packages of others, whose versions the manifests pin. */
async function sourcesHash(runnerPackage: string): Promise<string> {
  const packages = CONTENTS.map((name) => join(runnerPackage, "..", name));
  const sources = await Promise.all(
    packages.map(async (folder) => {
      const names = await readdir(join(folder, "src"), { recursive: true });
      const isSource = (name: string) => name.endsWith(".ts") && !name.endsWith(".test.ts");
      return [join(folder, "package.json"), ...names.filter(isSource).map((name) => join(folder, "src", name))];
    }),
  );
  const files = [BUN_MANIFEST, join(runnerPackage, "scripts/bundle.ts"), ...sources.flat().sort()];
  const contents = await Promise.all(files.map((file) => readFile(file)));
  const hash = createHash("sha256");
  for (const [index, content] of contents.entries()) {
    hash.update(`${relative(runnerPackage, files[index] as string)}\0${content.length}\0`).update(content);
  }
  return hash.digest("hex").slice(0, 32);
}
