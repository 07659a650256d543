/** Tests that files of an agent or of a repository cannot abuse or break the runner's git. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { attributesToObject } from "@valet/shared/tracing";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { CERTIFICATE, makeRepository, runGit, startGitServer } from "../../test/git-server.ts";
import { setUp } from "../../test/git-setup.ts";

const SETUP = "valet.runner.git_setup";
const CONFIG = "valet.runner.git_config";
const KEPT = [
  [CONFIG, "ok"],
  [SETUP, "ok"],
];
const UNUSABLE = [
  [CONFIG, "skipped", "git_unusable"],
  [SETUP, "skipped", "git_unusable"],
];

/** Sets up a workspace in which an agent has worked, and a folder for marks of programs that must not run. */
async function worked() {
  const repository = makeRepository(temporaryFolder());
  const marks = temporaryFolder();
  const home = temporaryFolder();
  const first = await setUp({ repoUrl: repository.url });
  const { workspace, state } = first;
  writeFileSync(join(workspace, "file.txt"), "uncommitted");
  const env = { PATH: process.env.PATH, HOME: home, GIT_SSL_CAINFO: CERTIFICATE };
  /** Sets up the workspace again after a restore. */
  const wake = (options = {}) =>
    setUp({ repoUrl: repository.url }, { workspace, state, env, generation: 2, isRestored: true, ...options });
  const program = (name: string) => {
    const path = join(marks, `${name}.sh`);
    writeFileSync(path, `#!/bin/sh\ntouch ${marks}/${name}-ran\ncat <&3 > ${marks}/secret 2>/dev/null\nexit 0\n`);
    chmodSync(path, 0o755);
    return path;
  };
  return { repository, workspace, state, home, marks, env, wake, program };
}

const ran = (marks: string) => readdirSync(marks).filter((name) => !name.endsWith(".sh"));

describe("in an existing workspace", () => {
  test("a file that names another repository's folder leads git neither to its commits nor to its configuration", async () => {
    const { workspace, wake } = await worked();
    const other = temporaryFolder();
    runGit(other, "init", "--quiet");
    const before = readFileSync(join(other, ".git/config"), "utf8");
    runGit(workspace, "config", "--unset-all", "user.name");
    writeFileSync(join(workspace, ".git/commondir"), join(other, ".git"));
    expect((await wake()).result).toEqual({ ok: true });
    expect(readFileSync(join(other, ".git/config"), "utf8")).toBe(before);
  });

  test("no program runs that the repository's or the user's configuration or a hook names", async () => {
    const { workspace, marks, home, wake, program } = await worked();
    for (const hook of ["post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"]) {
      renameSync(program(hook), join(workspace, ".git/hooks", hook));
    }
    const keys = [
      "core.fsmonitor",
      "core.sshCommand",
      "core.pager",
      "core.editor",
      "core.askPass",
      "diff.external",
      "gpg.program",
      "core.alternateRefsCommand",
      "filter.x.smudge",
      "filter.x.clean",
      "filter.x.process",
      "remote.origin.uploadpack",
      "remote.origin.vcs",
      "core.gitProxy",
    ];
    for (const key of keys) runGit(workspace, "config", key, program(key));
    runGit(workspace, "config", "credential.helper", `!${program("helper")}`);
    runGit(workspace, "config", "alias.rev-parse", `!${program("alias")}`);
    runGit(workspace, "config", "alias.config", `!${program("alias")}`);
    runGit(workspace, "config", "--unset", "user.name");
    // A partial clone without its HEAD would fetch it as the configuration says.
    runGit(workspace, "config", "extensions.partialClone", "origin");
    runGit(workspace, "config", "core.repositoryFormatVersion", "1");
    runGit(workspace, "config", "remote.origin.promisor", "true");
    runGit(workspace, "config", "remote.origin.url", `ext::${program("ext")}`);
    writeFileSync(join(workspace, ".git/HEAD"), `${"1".repeat(40)}\n`);
    writeFileSync(join(workspace, ".gitattributes"), "* filter=x\n");
    writeFileSync(join(home, ".gitconfig"), `[core]\nfsmonitor = ${program("global")}\n[user]\nname = Grace\n`);
    const { result, shown } = await wake();
    expect(result).toMatchObject({ ok: true });
    expect(shown).toEqual(KEPT);
    expect(ran(marks)).toEqual([]);
    expect(readFileSync(join(workspace, "file.txt"), "utf8")).toBe("uncommitted");
  });

  test("no marker that the agent can create makes the runner discard its work", async () => {
    const { workspace, state, wake } = await worked();
    writeFileSync(join(workspace, ".git/valet-checkout"), "");
    mkdirSync(join(workspace, ".valet-clone"));
    expect((await wake()).shown).toEqual(KEPT);
    // Nor does an unfinished setup in the runner's own state, if it is from another sandbox.
    writeFileSync(join(state, "repository.json"), JSON.stringify({ generation: 1, stage: "cloned" }));
    expect((await wake()).shown).toEqual(KEPT);
    rmSync(join(state, "repository.json"));
    expect((await wake({ isRestored: false })).shown).toEqual(KEPT);
    expect(readFileSync(join(workspace, "file.txt"), "utf8")).toBe("uncommitted");
    expect(existsSync(join(workspace, ".valet-clone"))).toBe(true);
  });

  const leftovers: [string, (folders: { workspace: string; home: string }) => void][] = [
    ["no .git", ({ workspace }) => rmSync(join(workspace, ".git"), { recursive: true })],
    ["a .git that is a file", ({ workspace }) => replace(join(workspace, ".git"), "gitdir: /nowhere\n")],
    [
      "an empty .git",
      ({ workspace }) => {
        replace(join(workspace, ".git"));
        mkdirSync(join(workspace, ".git"));
      },
    ],
    [
      "a .git that links elsewhere",
      ({ workspace, home }) => {
        runGit(home, "init", "--quiet", "other");
        replace(join(workspace, ".git"));
        symlinkSync(join(home, "other/.git"), join(workspace, ".git"));
      },
    ],
    ["a bad line in .git/config", ({ workspace }) => writeFileSync(join(workspace, ".git/config"), "[core\nnonsense")],
    ["a named pipe for .git/config", ({ workspace }) => fifo(join(workspace, ".git/config"))],
    [
      "a named pipe that .git/config includes",
      ({ workspace, home }) => {
        fifo(join(home, "pipe"));
        runGit(workspace, "config", "include.path", join(home, "pipe"));
      },
    ],
    ["a named pipe for .git/HEAD", ({ workspace }) => fifo(join(workspace, ".git/HEAD"))],
    [
      "a lock on .git/config, and no author",
      ({ workspace }) => {
        runGit(workspace, "config", "--unset", "user.email");
        writeFileSync(join(workspace, ".git/config.lock"), "");
      },
    ],
  ];
  test.each(leftovers)("%s does not end the session", async (_, leave) => {
    const { workspace, home, wake } = await worked();
    leave({ workspace, home });
    const { result, shown, problems, warnings } = await wake({ timeoutMs: 2_000 });
    expect(result).toMatchObject({ ok: true });
    expect(shown).toEqual(UNUSABLE);
    expect(problems).toHaveLength(1);
    expect(warnings).toEqual(["git_unusable"]);
    if (existsSync(join(home, "other"))) {
      expect(readFileSync(join(home, "other/.git/config"), "utf8")).not.toContain("Valet");
    }
  });

  test.each<[string, (home: string) => void]>([
    ["a bad line", (home) => writeFileSync(join(home, ".gitconfig"), "[user\nname")],
    ["a named pipe", (home) => fifo(join(home, ".gitconfig"))],
    ["a folder", (home) => mkdirSync(join(home, ".gitconfig"))],
  ])("%s in ~/.gitconfig changes nothing", async (_, leave) => {
    const { home, workspace, wake } = await worked();
    leave(home);
    runGit(workspace, "config", "--unset", "user.name");
    expect((await wake()).shown).toEqual(KEPT);
    expect(runGit(workspace, "config", "--local", "user.name")).toBe("Valet");
  });

  test("an empty workspace does not end the session", async () => {
    const { workspace, wake } = await worked();
    for (const name of readdirSync(workspace)) rmSync(join(workspace, name), { recursive: true });
    expect((await wake()).shown).toEqual(UNUSABLE);
    expect(readdirSync(workspace)).toEqual([]);
  });

  test("the workspace of an earlier version, whose setup was not recorded, is kept, too", async () => {
    const { workspace, wake } = await worked();
    expect((await wake({ state: temporaryFolder() })).shown).toEqual(KEPT);
    rmSync(join(workspace, ".git"), { recursive: true });
    expect((await wake({ state: temporaryFolder() })).shown).toEqual(UNUSABLE);
    expect(readFileSync(join(workspace, "file.txt"), "utf8")).toBe("uncommitted");
  });

  test("git does not use a repository in a parent folder", async () => {
    const { workspace, wake } = await worked();
    const above = join(workspace, "..");
    runGit(above, "init", "--quiet");
    rmSync(join(workspace, ".git"), { recursive: true });
    expect((await wake()).shown).toEqual(UNUSABLE);
    expect(readFileSync(join(above, ".git/config"), "utf8")).not.toContain("Valet");
  });
});

describe("in a fresh clone", () => {
  test("the user's configuration and templates run no programs and receive no credentials", async () => {
    const repository = makeRepository(temporaryFolder());
    writeFileSync(join(repository.folder, ".gitattributes"), "* filter=x\n");
    runGit(repository.folder, "add", ".");
    runGit(repository.folder, "commit", "--quiet", "--message", "attributes");
    const server = startGitServer(repository);
    const [home, marks] = [temporaryFolder(), temporaryFolder()];
    mkdirSync(join(home, "template/hooks"), { recursive: true });
    const program = (path: string, name: string) => {
      writeFileSync(path, `#!/bin/sh\ntouch ${marks}/${name}\ncat <&3 > ${marks}/secret\n`, { mode: 0o755 });
      return path;
    };
    for (const hook of ["post-checkout", "reference-transaction"]) program(join(home, "template/hooks", hook), hook);
    const smudge = program(join(home, "smudge"), "smudge");
    writeFileSync(
      join(home, ".gitconfig"),
      `[init]\ntemplateDir = ${home}/template\n[core]\nhooksPath = ${home}/template/hooks\nfsmonitor = ${smudge}\n` +
        `[filter "x"]\nsmudge = ${smudge}\n[credential]\nhelper = !${smudge}\n`,
    );
    const env = { PATH: process.env.PATH, HOME: home, GIT_SSL_CAINFO: CERTIFICATE };
    const credentials = { username: "alice", password: "wonderland" };
    const { result } = await setUp({ repoUrl: server.url, ref: "refs/pull/1/head", credentials }, { env });
    expect(result).toMatchObject({ ok: true });
    expect(readdirSync(marks)).toEqual([]);
  });
});

describe("a remote", () => {
  test("whose HEAD names no branch is checked out at its only branch", async () => {
    const repository = makeRepository(temporaryFolder());
    runGit(repository.folder, "branch", "-D", "feature/x");
    runGit(repository.folder, "symbolic-ref", "HEAD", "refs/heads/gone");
    const { result, workspace } = await setUp({ repoUrl: repository.url });
    expect(result).toMatchObject({ ok: true });
    expect(runGit(workspace, "rev-parse", "--abbrev-ref", "HEAD")).toBe("main");
    expect(readFileSync(join(workspace, "file.txt"), "utf8")).toBe("second");
  });

  test("with several branches whose HEAD names none is refused, unless the session asks for one", async () => {
    const repository = makeRepository(temporaryFolder());
    runGit(repository.folder, "symbolic-ref", "HEAD", "refs/heads/gone");
    const { result, shown } = await setUp({ repoUrl: repository.url });
    expect(result).toEqual({ ok: false, errorType: "git_no_default_branch" });
    expect(shown.at(-2)).toEqual(["valet.runner.git_checkout", "error", "git_no_default_branch"]);
    expect((await setUp({ repoUrl: repository.url, branch: "main" })).result).toMatchObject({ ok: true });
  });

  test("whose HEAD is a commit is checked out at that commit", async () => {
    const repository = makeRepository(temporaryFolder());
    runGit(repository.folder, "checkout", "--quiet", "--detach", repository.first);
    const { result, workspace } = await setUp({ repoUrl: repository.url });
    expect(result).toMatchObject({ ok: true });
    expect(runGit(workspace, "rev-parse", "HEAD")).toBe(repository.first);
  });

  test("that is empty is reported as such", async () => {
    const folder = temporaryFolder();
    runGit(folder, "init", "--quiet");
    const { result, shown, workspace } = await setUp({ repoUrl: `file://${folder}` });
    expect(result).toMatchObject({ ok: true });
    expect(shown[1]).toEqual(["valet.runner.git_checkout", "skipped", "repository_empty"]);
    expect(runGit(workspace, "config", "--local", "user.name")).toBe("Valet");
  });
});

describe("submodules", () => {
  const SUBMODULES = "valet.runner.git_submodules";

  /** Creates a repository with a submodule at this URL. */
  function withSubmodule(url: string) {
    const parent = temporaryFolder();
    const sub = makeRepository(mkdirp(join(parent, "sub")));
    const main = makeRepository(mkdirp(join(parent, "main")));
    const config = ["-c", "protocol.file.allow=always"];
    runGit(main.folder, ...config, "submodule", "--quiet", "add", sub.url, "lib");
    runGit(main.folder, "config", "--file", ".gitmodules", "submodule.lib.url", url.replace("{sub}", sub.folder));
    runGit(main.folder, "commit", "--quiet", "--all", "--message", "submodule");
    return { main, sub };
  }

  test("are checked out", async () => {
    const { main, sub } = withSubmodule("file://{sub}");
    const { result, shown, workspace } = await setUp({ repoUrl: main.url });
    expect(result).toMatchObject({ ok: true });
    expect(shown[2]).toEqual([SUBMODULES, "ok"]);
    expect(runGit(join(workspace, "lib"), "rev-parse", "HEAD")).toBe(sub.second);
    expect(runGit(workspace, "status", "--porcelain")).toBe("");
  });

  test("that cannot be fetched are reported, and the session continues", async () => {
    const { main } = withSubmodule("file:///nowhere");
    const { result, shown, problems, warnings, workspace } = await setUp({ repoUrl: main.url });
    expect(result).toMatchObject({ ok: true });
    expect(warnings).toEqual(["git_submodule_failed"]);
    expect(shown[2]).toEqual([SUBMODULES, "error", "git_not_found"]);
    expect(problems).toEqual(["some submodules could not be checked out"]);
    expect(readFileSync(join(workspace, "file.txt"), "utf8")).toBe("second");
  });

  test("of a remote repository cannot be local repositories and run no programs", async () => {
    for (const url of ["file://{sub}", "{sub}", "ext::sh -c touch% /tmp/x", "-u./x"]) {
      const { main } = withSubmodule(url);
      const server = startGitServer(main);
      const credentials = { username: "alice", password: "wonderland" };
      const { result, shown, workspace } = await setUp({ repoUrl: server.url, credentials });
      expect(result).toMatchObject({ ok: true });
      expect(shown[2]).toEqual([SUBMODULES, "error", "git_submodule_failed"]);
      expect(readdirSync(join(workspace, "lib"))).toEqual([]);
    }
  });

  test("receive the credentials on the same host only", async () => {
    const { main, sub } = withSubmodule("../../sub/repo");
    const served = { ...main, folder: join(main.folder, "..") };
    const server = startGitServer(served);
    const credentials = { username: "alice", password: "wonderland" };
    const same = await setUp({ repoUrl: `${server.origin}/main/repo`, credentials });
    expect(same.shown[2]).toEqual([SUBMODULES, "ok"]);
    expect(runGit(join(same.workspace, "lib"), "rev-parse", "HEAD")).toBe(sub.second);

    const asked: (string | null)[] = [];
    const other = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert: readFileSync(CERTIFICATE), key: readFileSync(CERTIFICATE.replace("cert", "key")) },
      fetch(request) {
        asked.push(request.headers.get("authorization"));
        return new Response(null, { status: 401, headers: { "www-authenticate": 'Basic realm="git"' } });
      },
    });
    try {
      const elsewhere = withSubmodule(`https://localhost:${other.port}/repo`);
      const { result, shown } = await setUp({ repoUrl: startGitServer(elsewhere.main).url, credentials });
      expect(result).toMatchObject({ ok: true });
      expect(shown[2]).toEqual([SUBMODULES, "error", "git_auth_failed"]);
      expect(asked.length).toBeGreaterThan(0);
      expect(asked.every((header) => header === null)).toBe(true);
    } finally {
      await other.stop(true);
    }
  });
});

test("a configured author is kept, whatever file it is in", async () => {
  const { url } = makeRepository(temporaryFolder());
  const home = temporaryFolder();
  mkdirSync(join(home, ".config/git"), { recursive: true });
  writeFileSync(join(home, ".config/git/config"), "[user]\nname = Grace\nemail = grace@example.com\n");
  const { workspace, find } = await setUp({ repoUrl: url }, { env: { PATH: process.env.PATH, HOME: home } });
  expect(readFileSync(join(workspace, ".git", "config"), "utf8")).not.toContain("Valet");
  expect(attributesToObject([...find(CONFIG)!.attributes])["valet.outcome"]).toBe("ok");
});

function replace(path: string, content?: string): void {
  rmSync(path, { recursive: true });
  if (content !== undefined) writeFileSync(path, content);
}

function fifo(path: string): void {
  rmSync(path, { force: true });
  execFileSync("mkfifo", [path]);
}

function mkdirp(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}
