/** Trailers of commits, and the repository's own hooks, with the git of this machine. */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { commitVariables } from "@valet/shared/protocol/commit-trailers";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { makeCommitHooks } from "./commit-hooks.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const trailersOf = (message = "msg_1") => `Valet-Session: ses_1\nValet-Message: ${message}\nValet-Trace: ${TRACE}`;

function setUp() {
  const home = temporaryFolder();
  const folder = join(home, "repo");
  mkdirSync(folder);
  const hooks = makeCommitHooks(join(home, "state folder"));
  const base = {
    PATH: process.env.PATH,
    HOME: home,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_AUTHOR_NAME: "A",
    GIT_AUTHOR_EMAIL: "a@b",
    GIT_COMMITTER_NAME: "A",
    GIT_COMMITTER_EMAIL: "a@b",
    GIT_EDITOR: "true",
    GIT_TERMINAL_PROMPT: "0",
  };
  const env = (messageId = "msg_1", inherited: Record<string, string> = {}) => ({
    ...base,
    ...inherited,
    VALET_SESSION_ID: "ses_1",
    ...commitVariables(inherited, hooks, { messageId, traceId: TRACE }),
  });
  const run = (
    args: readonly string[],
    options: { messageId?: string; env?: Record<string, string>; input?: string } = {},
  ) =>
    spawnSync("git", args, {
      cwd: folder,
      env: { ...env(options.messageId), ...options.env },
      encoding: "utf8",
      input: options.input ?? "",
    });
  const git = (...args: string[]) => {
    const { status, stdout, stderr } = run(args);
    if (status !== 0) throw new Error(stderr);
    return stdout.trim();
  };
  execFileSync("git", ["init", "--quiet", "--initial-branch=main"], { cwd: folder, env: base });
  const write = (name: string, content: string) => writeFileSync(join(folder, name), content);
  const hook = (path: string, body: string) => {
    mkdirSync(join(folder, path, ".."), { recursive: true });
    writeFileSync(join(folder, path), `#!/bin/sh\n${body}\n`);
    chmodSync(join(folder, path), 0o755);
  };
  const body = (ref = "HEAD") => git("log", "-1", "--format=%B", ref);
  const commit = (message: string, messageId?: string) => {
    write("file", `${message}${Math.random()}\n`);
    git("add", ".");
    return run(["commit", "--quiet", "--message", message], messageId === undefined ? {} : { messageId });
  };
  return { home, folder, hooks, base, env, run, git, write, hook, body, commit };
}

describe("a commit", () => {
  test("has the trailers after its message, once, and those of the last message after an amendment", () => {
    const { commit, body, run, git } = setUp();
    commit("subject\n\nbody\n---\nnot a divider");
    expect(body()).toBe(`subject\n\nbody\n---\nnot a divider\n\n${trailersOf()}`);
    run(["commit", "--amend", "--no-edit"], { messageId: "msg_2" });
    expect(body()).toBe(`subject\n\nbody\n---\nnot a divider\n\n${trailersOf("msg_2")}`);
    commit("with\n\nSigned-off-by: A <a@b>");
    expect(body()).toBe(`with\n\nSigned-off-by: A <a@b>\n${trailersOf()}`);
    git("commit", "--quiet", "--allow-empty", "--no-verify", "-m", "not verified");
    expect(body()).toContain(trailersOf());
  });

  test("of a merge, a squash, a cherry-pick, a revert, and an editor has them", () => {
    const { commit, body, git, run, write } = setUp();
    commit("first");
    git("checkout", "--quiet", "-b", "side");
    for (const name of ["s1", "s2"]) {
      write(name, "x\n");
      git("add", ".");
      run(["commit", "-qm", name], { messageId: "msg_side" });
    }
    git("checkout", "--quiet", "main");
    git("merge", "--quiet", "--no-ff", "side");
    expect(body()).toBe(`Merge branch 'side'\n\n${trailersOf()}`);
    git("reset", "--quiet", "--hard", "HEAD~1");
    git("merge", "--quiet", "--squash", "side");
    git("commit", "--quiet", "--no-edit");
    expect(body().endsWith(trailersOf())).toBe(true);
    git("reset", "--quiet", "--hard", "HEAD~1");
    git("cherry-pick", "side");
    expect(body()).toBe(`s2\n\n${trailersOf()}`);
    git("revert", "--no-edit", "HEAD");
    expect(body()).toContain(trailersOf());
    run(["commit", "--allow-empty"], { env: { GIT_EDITOR: "sh -c 'echo typed > $1' -" } });
    expect(body()).toBe(`typed\n\n${trailersOf()}`);
  });

  test("without a message is still refused, and a rebase keeps what the commits say", () => {
    const { commit, run, git, body } = setUp();
    commit("first");
    expect(run(["commit", "--allow-empty"]).status).toBe(1);
    expect(run(["commit", "--allow-empty", "--verbose"]).status).toBe(1);
    git("checkout", "--quiet", "-b", "side", "HEAD");
    commit("side", "msg_side");
    git("checkout", "--quiet", "main");
    git("commit", "--quiet", "--allow-empty", "-m", "other");
    git("rebase", "--quiet", "--force-rebase", "main", "side");
    expect(body("side")).toBe(`side\n\n${trailersOf("msg_side")}`);
  });

  test("keeps settings that the environment has, and lacks the trailers without our variables", () => {
    const { env, folder, base, body, git } = setUp();
    const given = { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "user.name", GIT_CONFIG_VALUE_0: "Given" };
    const { GIT_AUTHOR_NAME: _, ...rest } = env("msg_1", given);
    execFileSync("git", ["commit", "--quiet", "--allow-empty", "-m", "a"], { cwd: folder, env: rest });
    expect(git("log", "-1", "--format=%an")).toBe("Given");
    expect(body()).toContain(trailersOf());
    execFileSync("git", ["commit", "--quiet", "--allow-empty", "-m", "b"], { cwd: folder, env: base });
    expect(body()).toBe("b");
  });
});

describe("the repository's own hooks", () => {
  test.each([
    [".git/hooks", undefined],
    [".husky/_", ".husky/_"],
    ["hooks with spaces", "hooks with spaces"],
  ])("in %s run as before: arguments, standard input, exit code", (where, setting) => {
    const { commit, hook, git, body, home, run } = setUp();
    if (setting !== undefined) git("config", "core.hooksPath", setting);
    const log = join(home, "log");
    for (const name of ["pre-commit", "commit-msg", "post-commit", "post-checkout", "reference-transaction"]) {
      hook(`${where}/${name}`, `echo "${name} $#" >> '${log}'`);
    }
    hook(`${where}/prepare-commit-msg`, `echo "prepared $2" >> "$1"`);
    hook(`${where}/pre-push`, `echo "push $1: $(cat)" >> '${log}'; exit 3`);
    expect(commit("first").status).toBe(0);
    expect(body()).toBe(`first\nprepared message\n\n${trailersOf()}`);
    const seen = () => readFileSync(log, "utf8").split("\n");
    expect(seen()).toEqual(expect.arrayContaining(["pre-commit 0", "commit-msg 1", "post-commit 0"]));
    expect(seen().some((line) => line.startsWith("reference-transaction"))).toBe(true);
    git("checkout", "--quiet", "-b", "other");
    expect(seen()).toContain("post-checkout 3");
    execFileSync("git", ["init", "--quiet", "--bare", join(home, "remote")]);
    const push = run(["push", "--quiet", join(home, "remote"), "other"]);
    expect(push.status).not.toBe(0);
    expect(seen().some((line) => line.startsWith(`push ${join(home, "remote")}: refs/heads/other `))).toBe(true);
    hook(`${where}/commit-msg`, `grep -q Valet-Session "$1" && exit 7; exit 0`);
    expect(commit("second").status).toBe(1);
    hook(`${where}/pre-commit`, "exit 5");
    expect(commit("third").status).toBe(1);
    expect(run(["config", "--local", "core.hooksPath"]).stdout.trim()).toBe(setting ?? "");
  });

  test("that are not executable do not run, and an empty hooks folder on the command line runs none", () => {
    const { commit, hook, folder, body, run } = setUp();
    hook(".git/hooks/pre-commit", "exit 1");
    chmodSync(join(folder, ".git/hooks/pre-commit"), 0o644);
    expect(commit("first").status).toBe(0);
    run(["-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--allow-empty", "-m", "without"]);
    expect(body()).toBe("without");
  });

  test("run in a worktree", () => {
    const { commit, hook, git, home, env } = setUp();
    commit("first");
    hook(".git/hooks/pre-commit", `echo ran >> '${home}/log'`);
    git("worktree", "add", "--quiet", join(home, "tree"));
    execFileSync("git", ["commit", "--quiet", "--allow-empty", "-m", "there"], { cwd: join(home, "tree"), env: env() });
    expect(readFileSync(`${home}/log`, "utf8")).toBe("ran\n");
    expect(git("log", "-1", "--format=%B", "tree")).toBe(`there\n\n${trailersOf()}`);
  });
});

test("a hook that a tool of the agent has put into the folder stays, and a link or a file in its place does not", () => {
  const { hooks, home } = setUp();
  writeFileSync(join(hooks, "pre-commit"), "#!/bin/sh\n");
  rmSync(join(hooks, "commit-msg"));
  mkdirSync(join(hooks, "commit-msg"));
  makeCommitHooks(join(home, "state folder"));
  expect(readFileSync(join(hooks, "pre-commit"), "utf8")).toBe("#!/bin/sh\n");
  expect(readFileSync(join(hooks, "commit-msg"), "utf8")).toContain("Valet-Session");
  writeFileSync(join(home, "other"), "");
  mkdirSync(join(home, "x"));
  writeFileSync(join(home, "x/hooks"), "a file");
  expect(readFileSync(join(makeCommitHooks(join(home, "x")), "commit-msg"), "utf8")).toContain("Valet-Session");
});
