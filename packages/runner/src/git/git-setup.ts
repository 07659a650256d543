/**
 * Sets up the session's repository in the workspace. An existing workspace contains earlier work. There the setup neither
 * clones nor checks out, and a failure of git does not fail the start, because the agent may have done anything to the
 * repository. An interrupted setup is resumed.
 */
import { mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { endWith, type SpanOf } from "@valet/shared/outcome";
import { isGitRef } from "@valet/shared/protocol/git-ref";
import { shownRepoUrl } from "@valet/shared/protocol/repo-url";
import type { ToRunnerOf } from "@valet/shared/protocol/runner-link";
import type { RunnerWarning } from "@valet/shared/protocol/warnings";
import type { SpanAttributes } from "@valet/shared/spans";
import type { Parent } from "@valet/shared/tracing";
import type { RunnerTracer } from "../spans/tracing.ts";
import { AUTHOR } from "./commit-author.ts";
import { exists, isEmpty, isOwnRepository, isPlainFile } from "./files.ts";
import {
  GitError,
  type GitErrorType,
  type GitOptions,
  type GitSkipReason,
  git,
  speaksGit,
  type Transport,
} from "./git-command.ts";
import { type Repository, readRepository } from "./repo-url.ts";
import type { RepositoryProgress } from "./repository-progress.ts";

export interface GitSetupOptions {
  readonly tracer: RunnerTracer;
  readonly parent: Parent;
  readonly workspace: string;
  readonly repo: Pick<ToRunnerOf<"repo-config">, "repoUrl" | "branch" | "ref" | "credentials">;
  readonly progress: RepositoryProgress;
  /** Whether the workspace came from a snapshot. */
  readonly isRestored: boolean;
  /** Whether repositories of this machine may be cloned. */
  readonly allowFile: boolean;
  /** The environment, from which git receives only the variables that it needs. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What starts git as the user whose the workspace is; the runner's own if absent. */
  readonly runAs?: readonly string[] | undefined;
  /** The timeout of the whole setup. */
  readonly timeoutMs: number;
  /** Aborts the setup. */
  readonly signal: AbortSignal;
  /** Receives problems with which the agent can still work; never quotes content. */
  onProblem(problem: string): void;
  /** Receives what a person should know about a workspace that is used anyway. */
  onWarning(warning: RunnerWarning): void;
}

/** `fresh`: the workspace is a clean checkout of the clone, at this revision unless the repository is empty. */
export type GitSetupResult =
  | { readonly ok: true; readonly fresh?: { readonly revision: string | undefined } }
  | { readonly ok: false; readonly errorType: SetupErrorType };

/** Why the setup failed. A missing submodule does not fail it. */
type SetupErrorType = Exclude<GitErrorType, "git_submodule_failed">;

/** The folder of a clone. Once the clone is complete, its `.git` is moved into the workspace. */
const UNFINISHED_CLONE = ".valet-clone";
/** The timeout of all git commands in an existing workspace, where git may hang on files of the agent such as a named pipe. */
const KEPT_TIMEOUT_MS = 10_000;

/** Sets up the repository. Never throws. Returns and records only the error type of a failure, never git's output. */
export async function setUpRepository(options: GitSetupOptions): Promise<GitSetupResult> {
  const { tracer, parent, repo } = options;
  const span = tracer.startSpan("valet.runner.git_setup", { parent });
  if (repo.repoUrl === undefined) {
    endWith(span, "skipped", "no_repository");
    return { ok: true };
  }
  try {
    const repository = readRepository(repo.repoUrl, repo.credentials, options.allowFile);
    if (repository === undefined) throw new GitError("git_clone_failed");
    span.setAttributes({
      "vcs.repository.url.full": shownRepoUrl(repository.url),
      "vcs.ref.head.name": repo.ref ?? repo.branch,
    });
    const setup = new GitSetup(options, repository, span);
    if (isKept(options)) {
      const isUsable = await setup.useKept();
      endWith(span, isUsable ? "ok" : "skipped", isUsable ? undefined : "git_unusable");
    } else {
      const revision = await setup.run();
      endWith(span, "ok");
      return { ok: true, fresh: { revision } };
    }
    return { ok: true };
  } catch (error) {
    if (!(error instanceof GitError)) span.recordException(error);
    const errorType = setupErrorOf(error);
    endWith(span, outcomeOf(errorType), errorType);
    return { ok: false, errorType };
  }
}

/** Returns whether the workspace contains, or may contain, an agent's work. */
function isKept({ workspace, progress, isRestored }: GitSetupOptions): boolean {
  if (progress.isUnfinished) return false;
  if (progress.isKnown || exists(join(workspace, ".git"))) return true;
  return isRestored && exists(workspace) && !isEmpty(workspace);
}

type Step =
  | "valet.runner.git_clone"
  | "valet.runner.git_checkout"
  | "valet.runner.git_submodules"
  | "valet.runner.git_config";

class GitSetup {
  readonly #options: GitSetupOptions;
  readonly #repository: Repository;
  readonly #span: SpanOf<"valet.runner.git_setup">;
  readonly #git: GitOptions;

  constructor(options: GitSetupOptions, repository: Repository, span: SpanOf<"valet.runner.git_setup">) {
    const { workspace, env, timeoutMs, signal, runAs } = options;
    this.#options = options;
    this.#repository = repository;
    this.#span = span;
    const limitMs = isKept(options) ? Math.min(timeoutMs, KEPT_TIMEOUT_MS) : timeoutMs;
    this.#git = {
      cwd: workspace,
      gitDir: join(workspace, ".git"),
      env,
      runAs,
      transports: [],
      signal: AbortSignal.any([signal, AbortSignal.timeout(limitMs)]),
    };
  }

  /**
   * Sets up the repository, or resumes an interrupted setup.
   * @returns the commit that is checked out
   * @throws GitError
   */
  async run(): Promise<string | undefined> {
    const { workspace, repo, progress } = this.#options;
    if (!progress.isUnfinished || !exists(join(workspace, ".git"))) {
      await this.#step(
        "valet.runner.git_clone",
        { "vcs.repository.url.full": shownRepoUrl(this.#repository.url) },
        async () => {
          await this.#clone();
          return undefined;
        },
      );
    }
    await this.#step(
      "valet.runner.git_checkout",
      { "vcs.ref.head.name": repo.ref ?? repo.branch },
      async (span: SpanOf<"valet.runner.git_checkout">) => {
        if (!(await this.#checkOut())) {
          this.#options.onWarning("repository_empty");
          return "repository_empty";
        }
        span.setAttribute("vcs.ref.head.revision", await this.#revisionOf("HEAD"));
        return undefined;
      },
    );
    await this.#checkOutSubmodules();
    await this.#step("valet.runner.git_config", {}, async () => {
      await this.#configure();
      return undefined;
    });
    const revision = await this.#revisionOf("HEAD");
    this.#span.setAttribute("vcs.ref.head.revision", revision);
    progress.write("done");
    return revision;
  }

  /**
   * Checks the repository of an existing workspace, and changes nothing except a missing author. A failure of git does not end
   * the session.
   * @returns whether git can read the repository
   * @throws GitError `runner_shutdown`
   */
  async useKept(): Promise<boolean> {
    const { workspace, progress, onProblem, onWarning } = this.#options;
    let isUsable = false;
    await this.#step("valet.runner.git_config", {}, async () => {
      try {
        if (!isOwnRepository(workspace)) return "git_unusable" as const;
        await this.#run("git_config_failed", "rev-parse", "--git-dir");
        await this.#configure();
        this.#span.setAttribute("vcs.ref.head.revision", await this.#revisionOf("HEAD"));
        isUsable = true;
        return undefined;
      } catch (error) {
        if (this.#options.signal.aborted) throw error;
        return "git_unusable" as const;
      }
    });
    if (!isUsable) {
      onProblem("git cannot read the workspace's repository; the runner leaves it unchanged");
      onWarning("git_unusable");
    }
    if (!progress.isKnown) progress.write("done");
    return isUsable;
  }

  async #clone(): Promise<void> {
    const { workspace, progress } = this.#options;
    const clone = join(workspace, UNFINISHED_CLONE);
    mkdirSync(workspace, { recursive: true });
    rmSync(clone, { recursive: true, force: true });
    // Existing files must neither be overwritten nor be mistaken for the repository's.
    if (readdirSync(workspace).length > 0) throw new GitError("git_clone_failed");
    try {
      const args = ["clone", "--quiet", "--no-checkout", "--", this.#repository.url, clone];
      await git(args, "git_clone_failed", { ...this.#remote(), gitDir: undefined });
      const hasRefs = await git(["for-each-ref", "--count=1"], "git_clone_failed", {
        ...this.#git,
        gitDir: join(clone, ".git"),
      });
      if (hasRefs === "") await this.#requireRepository();
      // Before the rename, since a repository without a recorded setup counts as the agent's work.
      progress.write("cloned");
      renameSync(join(clone, ".git"), join(workspace, ".git"));
    } finally {
      rmSync(clone, { recursive: true, force: true });
    }
  }

  /** @returns false if the repository is empty */
  async #checkOut(): Promise<boolean> {
    const { branch, ref } = this.#options.repo;
    let wanted = ref ?? branch;
    if (wanted === undefined) {
      // The remote's default branch.
      if ((await this.#revisionOf("HEAD")) !== undefined) {
        await this.#run("git_ref_not_found", "checkout", "--quiet", "--force");
        return true;
      }
      const branches = await this.#remoteBranches();
      if (branches.length === 0) return false;
      if (branches.length > 1) throw new GitError("git_no_default_branch");
      wanted = branches[0] as string;
    }
    const revision = await this.#find(wanted);
    const isBranch = (await this.#revisionOf(`refs/remotes/origin/${wanted}`)) === revision;
    const local = branch ?? (isBranch ? wanted : undefined);
    if (local === undefined) {
      await this.#checkOutRevision("--detach", revision);
      return true;
    }
    if (!isGitRef(local)) throw new GitError("git_ref_not_found");
    await this.#checkOutRevision("--no-track", "-B", local, revision);
    if ((await this.#revisionOf(`refs/remotes/origin/${local}`)) !== undefined) {
      await this.#run("git_config_failed", "branch", "--quiet", `--set-upstream-to=origin/${local}`, local);
    }
    return true;
  }

  async #remoteBranches(): Promise<string[]> {
    const prefix = "refs/remotes/origin/";
    const refs = await this.#run("git_ref_not_found", "for-each-ref", "--count=100", "--format=%(refname)", prefix);
    return refs
      .split("\n")
      .filter((ref) => ref.startsWith(prefix) && ref !== `${prefix}HEAD`)
      .map((ref) => ref.slice(prefix.length));
  }

  /** Checks out submodules. A failure is reported, and the agent works without them. */
  async #checkOutSubmodules(): Promise<void> {
    const { workspace, onProblem, onWarning, signal } = this.#options;
    if (!isPlainFile(join(workspace, ".gitmodules"))) return;
    await this.#step("valet.runner.git_submodules", {}, async () => {
      // With --checkout, since a repository could otherwise name a program that updates its submodules.
      const args = ["submodule", "--quiet", "update", "--init", "--recursive", "--checkout", "--jobs", "1"];
      await git(args, "git_submodule_failed", this.#remote());
      return undefined;
    }).catch((error: unknown) => {
      if (signal.aborted || this.#git.signal.aborted) throw error;
      onProblem("some submodules could not be checked out");
      onWarning("git_submodule_failed");
    });
  }

  #checkOutRevision(...args: string[]): Promise<string> {
    return this.#run("git_ref_not_found", "checkout", "--quiet", "--force", ...args, "--");
  }

  /** Returns the commit of a branch, a tag, a commit id or any other ref of the remote. */
  async #find(wanted: string): Promise<string> {
    if (!isGitRef(wanted)) throw new GitError("git_ref_not_found");
    const candidates = [`refs/remotes/origin/${wanted}`, `refs/tags/${wanted}`];
    if (/^[0-9a-f]{7,64}$/i.test(wanted)) candidates.push(wanted);
    for (const candidate of candidates) {
      const revision = await this.#revisionOf(candidate);
      if (revision !== undefined) return revision;
    }
    // A clone contains only branches and tags.
    const args = ["fetch", "--quiet", "origin", "--", wanted];
    await git(args, "git_ref_not_found", this.#remote()).catch(async (error: unknown) => {
      if (error instanceof GitError && error.errorType === "git_ref_not_found") await this.#requireRepository();
      throw error;
    });
    const fetched = await this.#revisionOf("FETCH_HEAD");
    if (fetched === undefined) throw new GitError("git_ref_not_found");
    return fetched;
  }

  async #configure(): Promise<void> {
    for (const [key, value] of Object.entries(AUTHOR)) {
      if (!(await this.#isSet(key))) await this.#run("git_config_failed", "config", "--local", key, value);
    }
  }

  /** Returns whether the repository's or the user's configuration sets a key. The latter is only read as data. */
  async #isSet(key: string): Promise<boolean> {
    const { HOME, XDG_CONFIG_HOME } = this.#options.env;
    const own = HOME === undefined ? [] : [join(HOME, ".gitconfig"), join(HOME, ".config/git/config")];
    if (XDG_CONFIG_HOME) own.push(join(XDG_CONFIG_HOME, "git/config"));
    const files = [...own, "/etc/gitconfig"].filter(isPlainFile);
    const places = [["--local"], ...files.map((file) => ["--file", file, "--no-includes"])];
    for (const place of places) {
      if (await this.#run("git_config_failed", "config", ...place, "--get", key).catch(this.#unlessStopped))
        return true;
    }
    return false;
  }

  /**
   * Refuses a web page in place of a repository, which git may take for one without branches.
   * @throws GitError `git_not_a_repository`, or why the remote cannot be asked
   */
  async #requireRepository(): Promise<void> {
    const { url } = this.#repository;
    if (!url.startsWith("https:")) return;
    if (!(await speaksGit(url, { ...this.#remote(), gitDir: undefined }))) throw new GitError("git_not_a_repository");
  }

  /** Returns the options of commands that connect to the remote. */
  #remote(): GitOptions {
    const { allowFile } = this.#options;
    // A remote repository must not have a local one as its submodule.
    const mayUseFiles = allowFile && this.#repository.url.startsWith("file:");
    const transports: Transport[] = mayUseFiles ? ["https", "ssh", "file"] : ["https", "ssh"];
    return { ...this.#git, transports, credentials: this.#repository.credentials };
  }

  async #revisionOf(ref: string): Promise<string | undefined> {
    const verify = ["rev-parse", "--quiet", "--verify", "--end-of-options", `${ref}^{commit}`];
    const output = await this.#run("git_ref_not_found", ...verify).catch(this.#unlessStopped);
    return output?.split("\n").at(-1);
  }

  /** For commands whose failure is an answer: ignores the error, unless the setup was aborted. */
  readonly #unlessStopped = (error: unknown): undefined => {
    if (this.#git.signal.aborted) throw error;
  };

  #run(failure: GitErrorType, ...args: string[]): Promise<string> {
    return git(args, failure, this.#git);
  }

  /** Runs a step in its span. @param work resolves to the reason if there was nothing to do */
  async #step<N extends Step>(
    name: N,
    attributes: SpanAttributes<N>,
    work: (span: SpanOf<N>) => Promise<GitSkipReason | undefined>,
  ) {
    const { tracer } = this.#options;
    const span = (tracer.startSpan as (name: string, options: object) => SpanOf<Step>)(name, {
      parent: this.#span,
      attributes,
    });
    try {
      const skipped = await work(span as unknown as SpanOf<N>);
      endWith(span, skipped === undefined ? "ok" : "skipped", skipped as never);
    } catch (error) {
      const errorType = error instanceof GitError ? error.errorType : "_OTHER";
      if (error instanceof GitError) {
        span.setAttributes({ "process.exit.code": error.exitCode, "valet.process.signal": error.killedBy });
      } else span.recordException(error);
      endWith(span, outcomeOf(errorType), errorType as never);
      throw error;
    }
  }
}

function setupErrorOf(error: unknown): SetupErrorType {
  const errorType = error instanceof GitError ? error.errorType : undefined;
  return errorType === undefined || errorType === "git_submodule_failed" ? "git_clone_failed" : errorType;
}

function outcomeOf(errorType: GitErrorType | "_OTHER"): "aborted" | "error" {
  return errorType === "runner_shutdown" ? "aborted" : "error";
}
