/**
 * Puts the session's repository into the workspace. What is there already, from a snapshot or an earlier runner, holds work
 * and is kept as it is; a setup that was cut short goes on where it was.
 */
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { endWith, type SpanOf } from "@valet/shared/outcome";
import type { ToRunnerOf } from "@valet/shared/protocol/runner-link";
import type { SpanAttributes } from "@valet/shared/spans";
import type { Parent } from "@valet/shared/tracing";
import { GitError, type GitErrorType, type GitOptions, git } from "./git-command.ts";
import { type Repository, readRepository } from "./repo-url.ts";
import type { RunnerTracer } from "./tracing.ts";

export interface GitSetupOptions {
  readonly tracer: RunnerTracer;
  readonly parent: Parent;
  readonly workspace: string;
  readonly repo: Pick<ToRunnerOf<"repo-config">, "repoUrl" | "branch" | "ref" | "credentials">;
  /** Whether repositories of this machine may be cloned. */
  readonly allowFile: boolean;
  /** What git may find in its environment is picked from this. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For all of it. */
  readonly timeoutMs: number;
  /** Ends it before its time. */
  readonly signal: AbortSignal;
}

export type GitSetupResult = { readonly ok: true } | { readonly ok: false; readonly errorType: GitErrorType };

/** Who the agent's commits are by, where nobody else is named. */
const AUTHOR = { "user.name": "Valet", "user.email": "valet@localhost" };
/** Where a clone is made; once it is complete, its `.git` takes its place. */
const UNFINISHED_CLONE = ".valet-clone";
/** In `.git`, until the checkout is done. */
const UNFINISHED_CHECKOUT = "valet-checkout";

/** Never throws; what git said is nowhere, only its class of failure. */
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
    span.setAttributes({ "vcs.repository.url.full": repository.url, "vcs.ref.head.name": repo.ref ?? repo.branch });
    const revision = await new GitSetup(options, repository, span).run();
    span.setAttribute("vcs.ref.head.revision", revision);
    endWith(span, "ok");
    return { ok: true };
  } catch (error) {
    if (!(error instanceof GitError)) span.recordException(error);
    const errorType = error instanceof GitError ? error.errorType : "git_clone_failed";
    endWith(span, outcomeOf(errorType), errorType);
    return { ok: false, errorType };
  }
}

type Step = "valet.runner.git_clone" | "valet.runner.git_checkout" | "valet.runner.git_config";

class GitSetup {
  readonly #options: GitSetupOptions;
  readonly #repository: Repository;
  readonly #parent: Parent;
  readonly #git: GitOptions;

  constructor(options: GitSetupOptions, repository: Repository, parent: Parent) {
    const { workspace, env, allowFile, timeoutMs, signal } = options;
    this.#options = options;
    this.#repository = repository;
    this.#parent = parent;
    this.#git = {
      cwd: workspace,
      env,
      allowFile,
      credentials: repository.credentials,
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    };
  }

  /** @returns the commit that is checked out; `undefined` in a repository without any */
  async run(): Promise<string | undefined> {
    const { workspace, repo } = this.#options;
    const { url } = this.#repository;
    const unfinished = join(workspace, ".git", UNFINISHED_CHECKOUT);
    if (!exists(join(workspace, ".git"))) {
      await this.#step("valet.runner.git_clone", { "vcs.repository.url.full": url }, () => this.#clone());
    }
    if (exists(unfinished)) {
      await this.#step(
        "valet.runner.git_checkout",
        { "vcs.ref.head.name": repo.ref ?? repo.branch },
        async (span: SpanOf<"valet.runner.git_checkout">) => {
          await this.#checkOut();
          span.setAttribute("vcs.ref.head.revision", await this.#revisionOf("HEAD"));
        },
      );
      rmSync(unfinished);
    }
    await this.#step("valet.runner.git_config", {}, () => this.#configure());
    return this.#revisionOf("HEAD");
  }

  async #clone(): Promise<void> {
    const { workspace } = this.#options;
    const clone = join(workspace, UNFINISHED_CLONE);
    mkdirSync(workspace, { recursive: true });
    rmSync(clone, { recursive: true, force: true });
    // Somebody's files: neither to be overwritten nor to be mistaken for the repository's.
    if (readdirSync(workspace).length > 0) throw new GitError("git_clone_failed");
    try {
      await this.#run("git_clone_failed", "clone", "--quiet", "--no-checkout", "--", this.#repository.url, clone);
      writeFileSync(join(clone, ".git", UNFINISHED_CHECKOUT), "");
      renameSync(join(clone, ".git"), join(workspace, ".git"));
    } finally {
      rmSync(clone, { recursive: true, force: true });
    }
  }

  async #checkOut(): Promise<void> {
    const { branch, ref } = this.#options.repo;
    const wanted = ref ?? branch;
    if (wanted === undefined) {
      // The remote's own choice; an empty repository has nothing to check out.
      if ((await this.#revisionOf("HEAD")) !== undefined) {
        await this.#run("git_ref_not_found", "checkout", "--quiet", "--force");
      }
      return;
    }
    const revision = await this.#find(wanted);
    const isBranch = (await this.#revisionOf(`refs/remotes/origin/${wanted}`)) === revision;
    const local = branch ?? (isBranch ? wanted : undefined);
    if (local === undefined) {
      await this.#checkOutRevision("--detach", revision);
      return;
    }
    if (!isSafeRef(local)) throw new GitError("git_ref_not_found");
    await this.#checkOutRevision("--no-track", "-B", local, revision);
    if ((await this.#revisionOf(`refs/remotes/origin/${local}`)) !== undefined) {
      await this.#run("git_config_failed", "branch", "--quiet", `--set-upstream-to=origin/${local}`, local);
    }
  }

  #checkOutRevision(...args: string[]): Promise<string> {
    return this.#run("git_ref_not_found", "checkout", "--quiet", "--force", ...args, "--");
  }

  /** The commit of a branch, a tag, a commit's id or any other ref of the remote. */
  async #find(wanted: string): Promise<string> {
    if (!isSafeRef(wanted)) throw new GitError("git_ref_not_found");
    const candidates = [`refs/remotes/origin/${wanted}`, `refs/tags/${wanted}`];
    if (/^[0-9a-f]{7,64}$/i.test(wanted)) candidates.push(wanted);
    for (const candidate of candidates) {
      const revision = await this.#revisionOf(candidate);
      if (revision !== undefined) return revision;
    }
    // A clone brings branches and tags only.
    await this.#run("git_ref_not_found", "fetch", "--quiet", "origin", "--", wanted);
    const fetched = await this.#revisionOf("FETCH_HEAD");
    if (fetched === undefined) throw new GitError("git_ref_not_found");
    return fetched;
  }

  async #configure(): Promise<void> {
    for (const [key, value] of Object.entries(AUTHOR)) {
      const isSet = await this.#run("git_config_failed", "config", "--get", key).catch(this.#unlessStopped);
      if (!isSet) await this.#run("git_config_failed", "config", "--local", key, value);
    }
  }

  async #revisionOf(ref: string): Promise<string | undefined> {
    const verify = ["rev-parse", "--quiet", "--verify", "--end-of-options", `${ref}^{commit}`];
    const output = await this.#run("git_ref_not_found", ...verify).catch(this.#unlessStopped);
    return output?.split("\n").at(-1);
  }

  /** A question that git answers with failing. */
  readonly #unlessStopped = (error: unknown): undefined => {
    if (this.#git.signal.aborted) throw error;
  };

  #run(failure: GitErrorType, ...args: string[]): Promise<string> {
    return git(args, failure, this.#git);
  }

  async #step<N extends Step>(name: N, attributes: SpanAttributes<N>, work: (span: SpanOf<N>) => Promise<unknown>) {
    const { tracer } = this.#options;
    const span = (tracer.startSpan as (name: string, options: object) => SpanOf<Step>)(name, {
      parent: this.#parent,
      attributes,
    });
    try {
      await work(span as unknown as SpanOf<N>);
      endWith(span, "ok");
    } catch (error) {
      const errorType = error instanceof GitError ? error.errorType : "_OTHER";
      if (error instanceof GitError) span.setAttribute("process.exit.code", error.exitCode);
      else span.recordException(error);
      endWith(span, outcomeOf(errorType), errorType as never);
      throw error;
    }
  }
}

function outcomeOf(errorType: GitErrorType | "_OTHER"): "aborted" | "error" {
  return errorType === "runner_shutdown" ? "aborted" : "error";
}

/** As `git check-ref-format` has it, near enough that what is left is no option, range, pattern or expression. */
function isSafeRef(name: string): boolean {
  return /^[^-/\0-\x20~^:?*[\\\x7f][^\0-\x20~^:?*[\\\x7f]*$/.test(name) && !/\.\.|@\{|\.lock$|\/\/|\/$|^@$/.test(name);
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
