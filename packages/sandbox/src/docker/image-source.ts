/** Which sources an image was built from: `valet image build` notes it as a label, so that an old image is noticed before it is used. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { type Engine, unlessMissing } from "./engine.ts";

/** What the Dockerfile copies, as its `.dockerignore` says for builds by hand. */
export const CONTEXT = [
  "package.json",
  "pnpm-lock.yaml",
  "pnpm-workspace.yaml",
  "packages/shared",
  "packages/opencode-plugin",
  "packages/runner",
  "packages/sandbox/image",
  "packages/scripted-model/scenarios/demo-repo",
];
const LEFT_OUT = /(?:^|\/)(?:node_modules|dist)(?:\/|$)|\.test\.ts$/;

/** The label with the hash of the sources. */
export const SOURCE_LABEL = "valet-source";

/** Returns whether a file or folder is left out of the image. @param path below the root of the checkout */
export function isLeftOut(path: string): boolean {
  return LEFT_OUT.test(path);
}

/**
 * Returns a hash of all that an image is built from.
 * @param root of the checkout
 * @throws if it cannot be read
 */
export function hashSource(root: string): string {
  const hash = createHash("sha256");
  for (const path of CONTEXT.flatMap((each) => filesIn(join(root, each)))) {
    const name = relative(root, path);
    if (isLeftOut(name)) continue;
    const content = readFileSync(path);
    hash.update(`${name}\n${content.length}\n`).update(content);
  }
  return hash.digest("hex").slice(0, 16);
}

function filesIn(path: string): string[] {
  let entries: string[];
  try {
    entries = readdirSync(path).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOTDIR") return [path];
    throw error;
  }
  return entries.filter((name) => !isLeftOut(name)).flatMap((name) => filesIn(join(path, name)));
}

/** Returns what to tell whoever uses an image of other sources than this checkout's; `undefined` if it says nothing of its sources. */
export async function findOldImage(engine: Engine, image: string, root: string): Promise<string | undefined> {
  const info = await unlessMissing(engine.getImage(image).inspect());
  const label = (info?.Config?.Labels as Record<string, string> | null | undefined)?.[SOURCE_LABEL];
  if (label === undefined || label === hashSource(root)) return undefined;
  return `the image ${image} was built from another version of Valet than this one; build it anew with \`valet image build\``;
}
