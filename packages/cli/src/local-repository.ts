/** Makes the URL of a repository from a folder of this machine. */
import { execFile } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { UserError } from "./errors.ts";

const run = promisify(execFile);
const TIMEOUT_MS = 20_000;
/** How many branches an error names. */
const MAX_NAMED = 10;

export interface LocalContext {
  /** The folder from which paths are relative. */
  readonly cwd: string;
  /** The URL of the Valet that clones the repository. */
  readonly valetUrl: string;
  readonly branch?: string | undefined;
  /** Receives a line about what the session will not have. */
  readonly report: (line: string) => void;
}

/** `https://…`, `file:…`, and git's own `user@host:path`. */
const URL_LIKE = /^(?:[a-z][a-z0-9+.-]*:|[^/\s]+@[^/\s]+:|[^/\s.]+:)/i;

/** Returns whether the text names a folder, and not a URL. */
export function isPath(text: string): boolean {
  return !URL_LIKE.test(text);
}

/**
 * Returns the URL of a repository: a URL as it is, a path as an absolute `file:` URL once it is known to be a git repository that
 * has commits, and the branch.
 * @throws UserError that says what is wrong and what to do
 */
export async function repositoryUrl(text: string, context: LocalContext): Promise<string> {
  if (text.trim() === "")
    throw new UserError("--repo is empty. Give the URL of a repository, or a folder of this machine.");
  if (!isPath(text)) return text;
  const path = resolve(context.cwd, text);
  if (!isOnThisMachine(context.valetUrl)) {
    throw new UserError(
      `--repo ${text}: ${context.valetUrl} is on another machine and cannot read this one's folders. Give the https or ssh URL of the repository.`,
    );
  }
  const root = await rootOf(text, path);
  await checkBranch(root, text, context.branch);
  await reportUncommitted(root, context);
  return pathToFileURL(root).href;
}

/** Returns the top folder of a repository: what git can clone. */
async function rootOf(text: string, path: string): Promise<string> {
  if (!existsSync(path)) {
    throw new UserError(
      `--repo ${text}: there is no folder ${path}. Give a folder of this machine, or the URL of a repository.`,
    );
  }
  const folder = statSync(path).isDirectory() ? path : dirname(path);
  if (folder !== path) throw new UserError(`--repo ${text}: ${path} is a file. Give the folder of a git repository.`);
  try {
    const isBare = (await git(folder, "rev-parse", "--is-bare-repository")) === "true";
    return await git(folder, "rev-parse", isBare ? "--absolute-git-dir" : "--show-toplevel");
  } catch (error) {
    throw new UserError(`--repo ${text}: ${path} cannot be used as a git repository: ${gitMessage(error)}.`);
  }
}

async function checkBranch(root: string, text: string, branch: string | undefined): Promise<void> {
  const has = (ref: string) =>
    git(root, "rev-parse", "--verify", "--quiet", `${ref}^{commit}`).then(
      () => true,
      () => false,
    );
  if (branch === undefined) {
    if (await has("HEAD")) return;
    throw new UserError(
      `--repo ${text}: ${root} has no commits on its current branch. Commit something first, or give --branch.`,
    );
  }
  if ((await has(`refs/heads/${branch}`)) || (await has(`refs/tags/${branch}`))) return;
  const names = (
    await git(root, "for-each-ref", "--format=%(refname:short)", "--sort=-committerdate", "refs/heads")
  ).split("\n");
  const named = names.slice(0, MAX_NAMED).join(", ");
  const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : "";
  const remote = (await has(`refs/remotes/origin/${branch}`))
    ? ` Only origin has it: create it with \`git branch ${branch} origin/${branch}\`.`
    : "";
  throw new UserError(
    `--branch: ${root} has no branch ${branch}. It has ${named === "" ? "none" : named + more}.${remote}`,
  );
}

async function reportUncommitted(root: string, { report }: LocalContext): Promise<void> {
  // A bare repository has no files to commit.
  const changed = await git(root, "status", "--porcelain").catch(() => "");
  if (changed !== "") report("The session has what is committed; changes that are not committed are not in it.");
}

/** Returns what git printed. */
async function git(cwd: string, ...args: string[]): Promise<string> {
  const { stdout } = await run("git", args, {
    cwd,
    timeout: TIMEOUT_MS,
    env: withoutGitVariables(),
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout.trim();
}

/** Variables such as GIT_DIR, which a git hook has, would name another repository. */
function withoutGitVariables(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^GIT_(?:DIR|WORK_TREE|INDEX_FILE|PREFIX)$/.test(name)),
  );
}

function gitMessage(error: unknown): string {
  const { code, stderr = "" } = error as { code?: unknown; stderr?: string };
  if (code === "ENOENT") return "git is not installed";
  const [line = ""] = stderr.trim().split("\n");
  return line.replace(/^fatal: /, "").replace(/\.$/, "") || "git failed";
}

function isOnThisMachine(url: string): boolean {
  return /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(url).hostname);
}
