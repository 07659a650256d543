import { execFile } from "node:child_process";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { demoRepository } from "@valet/scripted-model";
import { UserError } from "../errors.ts";
import { systemErrorText } from "../system-error.ts";

const run = promisify(execFile);

/** Where the image of sandboxes has the same repository. */
export const DEMO_IN_IMAGE = "file:///opt/valet/demo";

/**
 * Makes a git repository of the demo's files. @returns its folder, and its URL for a session
 * @throws UserError if git or the folder for temporary files cannot be used
 */
export async function makeDemoRepository(): Promise<{ folder: string; url: string }> {
  let folder: string | undefined;
  try {
    folder = await mkdtemp(join(tmpdir(), "valet-demo-repo-"));
    await fill(folder);
    return { folder, url: pathToFileURL(folder).href };
  } catch (error) {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    const why = systemErrorText(error, REMEDY) ?? `${reasonOf(error)} ${REMEDY}`;
    throw new UserError(`The demo's repository cannot be made in ${tmpdir()}: ${why}`);
  }
}

const REMEDY = "Mend that, or set TMPDIR to another folder.";

async function fill(folder: string): Promise<void> {
  await cp(demoRepository, folder, { recursive: true });
  const git = (...args: string[]) =>
    run("git", ["-c", "user.name=Valet demo", "-c", "user.email=demo@valet.invalid", ...args], { cwd: folder });
  await git("init", "--quiet", "--initial-branch=main");
  await git("add", "--all");
  await git("commit", "--quiet", "--message", "A greeting, and a test that it fails");
}

/** Returns why: the last line of what git has printed, or the error's own text. */
function reasonOf(error: unknown): string {
  const { stderr, message } = error as Error & { stderr?: string };
  const last = stderr?.trim().split("\n").at(-1) ?? "";
  return `${last || message}.`;
}
