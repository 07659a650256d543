import { execFile } from "node:child_process";
import { cp, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { demoRepository } from "@valet/scripted-model";

const run = promisify(execFile);

/** Makes a git repository of the demo's files. @returns its folder, and its URL for a session */
export async function makeDemoRepository(): Promise<{ folder: string; url: string }> {
  const folder = await mkdtemp(join(tmpdir(), "valet-demo-repo-"));
  await cp(demoRepository, folder, { recursive: true });
  const git = (...args: string[]) =>
    run("git", ["-c", "user.name=Valet demo", "-c", "user.email=demo@valet.invalid", ...args], { cwd: folder });
  await git("init", "--quiet", "--initial-branch=main");
  await git("add", "--all");
  await git("commit", "--quiet", "--message", "A greeting, and a test that it fails");
  return { folder, url: pathToFileURL(folder).href };
}
