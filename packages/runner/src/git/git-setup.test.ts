import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attributesToObject, encodeTraces, millisBetween } from "@valet/shared/tracing";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { CERTIFICATE, KEY, makeRepository, type Repository, runGit, startGitServer } from "../../test/git-server.ts";
import { setUp } from "../../test/git-setup.ts";
import { processesOf } from "../../test/processes.ts";

let repository: Repository;
beforeAll(() => {
  const folder = mkdtempSync(join(tmpdir(), "valet-runner-"));
  repository = makeRepository(folder);
  return () => rmSync(folder, { recursive: true });
});

const head = (workspace: string) => runGit(workspace, "rev-parse", "HEAD");
const branch = (workspace: string) => runGit(workspace, "rev-parse", "--abbrev-ref", "HEAD");

const GIT_SETUP = "valet.runner.git_setup";
const CLONE = "valet.runner.git_clone";
const CHECKOUT = "valet.runner.git_checkout";
const CONFIG = "valet.runner.git_config";

describe("a repository", () => {
  test("is cloned and checked out, with a span and its duration for every step", async () => {
    const { url, second } = repository;
    const { result, shown, find, spans, workspace, parent } = await setUp({ repoUrl: url });
    expect(result).toMatchObject({ ok: true });
    expect(readFileSync(join(workspace, "file.txt"), "utf8")).toBe("second");
    expect(readdirSync(workspace).sort()).toEqual([".git", "file.txt"]);
    expect([branch(workspace), runGit(workspace, "status", "--porcelain", "--branch")]).toEqual([
      "main",
      "## main...origin/main",
    ]);
    expect(shown).toEqual([
      [CLONE, "ok"],
      [CHECKOUT, "ok"],
      [CONFIG, "ok"],
      [GIT_SETUP, "ok"],
    ]);
    const setup = find(GIT_SETUP)!;
    expect(setup.parent?.spanId).toBe(parent.context.spanId);
    for (const span of spans.filter(({ name }) => name !== GIT_SETUP)) {
      expect(span.parent?.spanId).toBe(setup.context.spanId);
      expect(millisBetween(span.startTime, span.endTime!)).toBeGreaterThan(0.5);
    }
    expect(attributesToObject([...setup.attributes])).toMatchObject({
      "valet.session.id": "ses_1",
      "vcs.repository.url.full": url,
      "vcs.ref.head.revision": second,
    });
  });

  test.each([
    ["a branch", { branch: "feature/x" }, "feature", "feature/x"],
    ["a tag", { ref: "v1" }, "first", "HEAD"],
    ["a branch as ref", { ref: "feature/x" }, "feature", "feature/x"],
    ["a ref that a clone does not contain", { ref: "refs/pull/1/head" }, "pull", "HEAD"],
    ["a branch at a ref", { branch: "work", ref: "v1" }, "first", "work"],
  ] as const)("is checked out at %s", async (_, wanted, commit, name) => {
    const { result, workspace, find } = await setUp({ repoUrl: repository.url, ...wanted });
    expect(result).toMatchObject({ ok: true });
    expect([head(workspace), branch(workspace)]).toEqual([repository[commit], name]);
    expect(attributesToObject([...find(CHECKOUT)!.attributes])["vcs.ref.head.revision"]).toBe(repository[commit]);
  });

  test("is checked out at a commit, by its full or abbreviated id", async () => {
    const { url, first } = repository;
    for (const ref of [first, first.slice(0, 10)]) {
      const { workspace } = await setUp({ repoUrl: url, ref });
      expect(head(workspace)).toBe(first);
    }
  });

  test("may be empty", async () => {
    const folder = temporaryFolder();
    runGit(folder, "init", "--quiet");
    const { result, workspace } = await setUp({ repoUrl: `file://${folder}` });
    expect(result).toMatchObject({ ok: true });
    expect(existsSync(join(workspace, ".git"))).toBe(true);
  });

  test("is optional", async () => {
    const { result, shown } = await setUp({});
    expect(result).toMatchObject({ ok: true });
    expect(shown).toEqual([[GIT_SETUP, "skipped", "no_repository"]]);
  });

  test("is cloned over ssh, by either form of URL", async () => {
    const { folder, second } = repository;
    const home = temporaryFolder();
    const ssh = join(home, "ssh");
    // Replaces ssh and the host: runs the command for the host.
    writeFileSync(ssh, `#!/bin/sh\necho "$*" >> ${home}/calls\nfor last; do :; done\nexec sh -c "$last"\n`, {
      mode: 0o755,
    });
    const env = { PATH: process.env.PATH, HOME: home, GIT_SSH_COMMAND: ssh };
    for (const repoUrl of [`ssh://git@example.com${folder}`, `git@example.com:${folder}`]) {
      const { result, workspace } = await setUp({ repoUrl }, { env, allowFile: false });
      expect(result).toMatchObject({ ok: true });
      expect(head(workspace)).toBe(second);
    }
    expect(readFileSync(join(home, "calls"), "utf8").match(/git@example\.com/g)?.length).toBe(2);
    writeFileSync(ssh, '#!/bin/sh\necho "git@example.com: Permission denied (publickey)." >&2\nexit 255\n');
    const { result } = await setUp({ repoUrl: "git@example.com:x" }, { env });
    expect(result).toEqual({ ok: false, errorType: "git_auth_failed" });
  });
});

describe("existing work in the workspace", () => {
  test("is kept: commits, changes, and the current branch", async () => {
    const { url } = repository;
    const { workspace, state } = await setUp({ repoUrl: url });
    runGit(workspace, "checkout", "--quiet", "-b", "mine");
    writeFileSync(join(workspace, "file.txt"), "changed");
    writeFileSync(join(workspace, "new.txt"), "new");
    const again = await setUp({ repoUrl: url, branch: "feature/x" }, { workspace, state });
    expect(again.result).toMatchObject({ ok: true });
    expect(again.shown).toEqual([
      [CONFIG, "ok"],
      [GIT_SETUP, "ok"],
    ]);
    expect([branch(workspace), readFileSync(join(workspace, "file.txt"), "utf8")]).toEqual(["mine", "changed"]);
    expect(existsSync(join(workspace, "new.txt"))).toBe(true);
  });

  test("is kept even if the remote no longer exists", async () => {
    const repository = makeRepository(temporaryFolder());
    const { workspace, state } = await setUp({ repoUrl: repository.url });
    rmSync(repository.folder, { recursive: true });
    expect((await setUp({ repoUrl: repository.url }, { workspace, state })).result).toMatchObject({ ok: true });
  });

  test("of an interrupted setup is completed: after an interrupted clone, or before the checkout", async () => {
    const { url, feature } = repository;
    const workspace = temporaryFolder();
    mkdirSync(join(workspace, ".valet-clone", ".git"), { recursive: true });
    const state = temporaryFolder();
    const afterClone = await setUp({ repoUrl: url, branch: "nowhere" }, { workspace, state });
    expect(afterClone.result).toEqual({ ok: false, errorType: "git_ref_not_found" });
    writeFileSync(join(workspace, "file.txt"), "half written");
    const { result } = await setUp({ repoUrl: url, branch: "feature/x" }, { workspace, state });
    expect(result).toMatchObject({ ok: true });
    expect([head(workspace), runGit(workspace, "status", "--porcelain")]).toEqual([feature, ""]);
  });

  test("is not overwritten if it is not a repository", async () => {
    const workspace = temporaryFolder();
    writeFileSync(join(workspace, "file.txt"), "mine");
    const { result } = await setUp({ repoUrl: repository.url }, { workspace });
    expect(result).toEqual({ ok: false, errorType: "git_clone_failed" });
    expect(readdirSync(workspace)).toEqual(["file.txt"]);
  });
});

describe("credentials", () => {
  const PASSWORD = "canary-of-the-git-password";

  test.each([
    ["separately", true],
    ["in the URL", false],
  ])("given %s permit the clone and are not visible anywhere else", async (_, isApart) => {
    const server = startGitServer(repository, "alice", PASSWORD);
    const marker = `VALET_SANDBOX_ID=sbx_${Math.random().toString(36).slice(2)}`;
    const seen: string[] = [];
    server.onRequest.push(() => {
      for (const { commandLine, environment } of processesOf(marker)) seen.push(commandLine, environment);
    });
    const repo = isApart
      ? { repoUrl: server.url, credentials: { username: "alice", password: PASSWORD } }
      : { repoUrl: server.url.replace("://", `://alice:${PASSWORD}@`) };
    const env = {
      PATH: process.env.PATH,
      HOME: temporaryFolder(),
      GIT_SSL_CAINFO: CERTIFICATE,
      VALET_SANDBOX_ID: marker.split("=")[1],
    };
    // The ref needs a second request, since a clone does not contain it.
    const { result, spans, workspace } = await setUp({ ...repo, ref: "refs/pull/1/head" }, { env, allowFile: false });
    expect(result).toMatchObject({ ok: true });
    expect(head(workspace)).toBe(repository.pull);
    expect(seen.some((each) => each.includes("remote-https"))).toBe(true);
    const encoded = btoa(`alice:${PASSWORD}`);
    const kept = [encodeTraces({}, spans), readFileSync(join(workspace, ".git", "config"), "utf8"), ...seen];
    for (const each of kept) for (const secret of [PASSWORD, encoded]) expect(each).not.toContain(secret);
    const config = runGit(workspace, "config", "--list");
    expect(config).toContain(`remote.origin.url=${server.url}`);
    expect(config).not.toContain("credential");
    expect(grep(workspace, PASSWORD)).toBe(false);
  });

  test("that are wrong or missing have their own error type", async () => {
    const server = startGitServer(repository);
    for (const credentials of [{ username: "alice", password: "wrong" }, undefined]) {
      const { result, shown } = await setUp({ repoUrl: server.url, ...(credentials && { credentials }) });
      expect(result).toEqual({ ok: false, errorType: "git_auth_failed" });
      expect(shown).toEqual([
        [CLONE, "error", "git_auth_failed"],
        [GIT_SETUP, "error", "git_auth_failed"],
      ]);
    }
  });

  test("are only sent to their own host", async () => {
    const other = startGitServer(repository);
    const redirecting = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert: readFileSync(CERTIFICATE), key: readFileSync(CERTIFICATE.replace("cert", "key")) },
      fetch: (request) =>
        Response.redirect(`${other.origin}${new URL(request.url).pathname}${new URL(request.url).search}`),
    });
    try {
      const repoUrl = `https://localhost:${redirecting.port}/repo`;
      const { result } = await setUp({ repoUrl, credentials: { username: "alice", password: "wonderland" } });
      expect(result).toEqual({ ok: false, errorType: "git_auth_failed" });
    } finally {
      await redirecting.stop(true);
    }
  });
});

describe("a failure has an error type for its cause", () => {
  test.each([
    ["an invalid URL", "not a url"],
    ["another scheme", "http://localhost/repo"],
    ["a URL that runs a program", "ext::sh -c touch% /tmp/x"],
    ["an option", "--upload-pack=touch /tmp/x"],
    ["a host that ssh reads as an option", "ssh://-oProxyCommand=x/y"],
    ["a query that could hold a secret", "https://localhost/repo?token=x"],
  ])("%s", async (_, repoUrl) => {
    const { result, find } = await setUp({ repoUrl });
    expect(result).toEqual({ ok: false, errorType: "git_clone_failed" });
    expect(find(GIT_SETUP)?.statusCode).toBe(2);
  });

  test.each([
    ["a closed port", "https://127.0.0.1:1/repo", "git_unreachable"],
    ["a closed port for ssh", "ssh://git@127.0.0.1:1/repo", "git_unreachable"],
    ["no such host", "https://no-such-host.invalid/repo", "git_host_not_found"],
    ["no such repository", "file:///nowhere/at/all", "git_not_found"],
  ])("%s has its own error type", async (_, repoUrl, errorType) => {
    const { result, shown } = await setUp({ repoUrl });
    expect(result).toEqual({ ok: false, errorType });
    expect(shown[0]).toEqual([CLONE, "error", errorType]);
  });

  test.each([
    ["a text file", "#!/bin/sh\necho hello\n"],
    ["a large file", "x".repeat(2 * 1024 * 1024)],
    ["a file of a worktree whose repository is gone", "gitdir: /nowhere/.git/worktrees/gone\n"],
  ])("%s in place of a repository has its own error type", async (_, content) => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, content);
    const { result } = await setUp({ repoUrl: `file://${file}` });
    expect(result).toEqual({ ok: false, errorType: "git_not_a_repository" });
  });

  test.each([
    ["corrupt", "no object"],
    ["empty", ""],
  ])(
    "a repository with objects that are %s has its own error type, although git says that the remote hung up",
    async (_, content) => {
      const { folder, second } = makeRepository(temporaryFolder());
      const object = join(folder, ".git/objects", second.slice(0, 2), second.slice(2));
      rmSync(object);
      writeFileSync(object, content);
      const { result, shown } = await setUp({ repoUrl: `file://${folder}` });
      expect(result).toEqual({ ok: false, errorType: "git_repository_damaged" });
      expect(shown[0]).toEqual([CLONE, "error", "git_repository_damaged"]);
    },
  );

  test.each([
    [
      "a web page instead of a repository",
      () => new Response("<html>\nHello\n</html>\n", HTML),
      "git_not_a_repository",
    ],
    ["a redirect to a login", (url: URL) => redirectFrom(url), "git_not_a_repository"],
    ["a host without the repository", () => new Response("no", { status: 404 }), "git_not_found"],
    ["a host with an internal error", () => new Response("no", { status: 500 }), "git_clone_failed"],
  ] as const)("%s in response to git has its own error type", async (_, answer, errorType) => {
    const { cert, key } = { cert: readFileSync(CERTIFICATE), key: readFileSync(KEY) };
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert, key },
      fetch: (request) => answer(new URL(request.url)),
    });
    onTestFinished(() => server.stop(true));
    const { result } = await setUp({ repoUrl: `https://localhost:${server.port}/repo` });
    expect(result).toEqual({ ok: false, errorType });
  });

  test("an untrusted certificate, unless its authority is configured", async () => {
    const { url } = startGitServer(repository);
    const env = { PATH: process.env.PATH, HOME: temporaryFolder() };
    const { result } = await setUp({ repoUrl: url }, { env });
    expect(result).toEqual({ ok: false, errorType: "git_certificate_untrusted" });
    const credentials = { username: "alice", password: "wonderland" };
    const trusting = await setUp({ repoUrl: url, credentials }, { env: { ...env, SSL_CERT_FILE: CERTIFICATE } });
    expect(trusting.result).toMatchObject({ ok: true });
  });

  test("a host without TLS", async () => {
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("plain") });
    onTestFinished(() => server.stop(true));
    const { result } = await setUp({ repoUrl: `https://localhost:${server.port}/repo` });
    expect(result).toEqual({ ok: false, errorType: "git_unreachable" });
  });

  test("a local repository if that is not allowed", async () => {
    const { result } = await setUp({ repoUrl: repository.url }, { allowFile: false });
    expect(result).toEqual({ ok: false, errorType: "git_clone_failed" });
  });

  test.each(["nowhere", "-b", "a..b", "HEAD^{/x}", "main:file.txt", "@{-1}", "0".repeat(40)])(
    "no such ref: %s",
    async (ref) => {
      const { result, shown } = await setUp({ repoUrl: repository.url, ref });
      expect(result).toEqual({ ok: false, errorType: "git_ref_not_found" });
      expect(shown.at(-2)).toEqual([CHECKOUT, "error", "git_ref_not_found"]);
    },
  );

  test("a timeout, which ends git and its child processes", async () => {
    const server = startGitServer(repository);
    const marker = `VALET_SANDBOX_ID=sbx_${Math.random().toString(36).slice(2)}`;
    const env = { PATH: process.env.PATH, HOME: temporaryFolder(), GIT_SSL_CAINFO: CERTIFICATE };
    const { result, shown } = await setUp(
      { repoUrl: `${server.origin}/hang` },
      { timeoutMs: 300, env: { ...env, VALET_SANDBOX_ID: marker.split("=")[1] } },
    );
    expect(result).toEqual({ ok: false, errorType: "git_timeout" });
    expect(shown[0]).toEqual([CLONE, "error", "git_timeout"]);
    await expect.poll(() => processesOf(marker), { timeout: 20_000 }).toEqual([]);
  });

  test("the runner's shutdown", async () => {
    const server = startGitServer(repository);
    const stop = new AbortController();
    const setup = setUp({ repoUrl: `${server.origin}/hang` }, { signal: stop.signal });
    await server.isAsked;
    stop.abort();
    const { result, shown, find } = await setup;
    expect(result).toEqual({ ok: false, errorType: "runner_shutdown" });
    expect(shown[0]).toEqual([CLONE, "aborted", "runner_shutdown"]);
    expect(find(GIT_SETUP)?.statusCode).toBe(0);
  });
});

test("the agent's commits have a default author, unless one is configured", async () => {
  const { url } = repository;
  const { workspace } = await setUp({ repoUrl: url });
  expect(runGit(workspace, "config", "--local", "user.name")).toBe("Valet");
  const home = temporaryFolder();
  writeFileSync(join(home, ".gitconfig"), "[user]\nname = Grace\nemail = grace@example.com\n");
  const named = await setUp({ repoUrl: url }, { env: { PATH: process.env.PATH, HOME: home } });
  expect(readFileSync(join(named.workspace, ".git", "config"), "utf8")).not.toContain("Valet");
});

const HTML = { headers: { "content-type": "text/html" } };

/** Redirects to a login page, and returns that page. */
function redirectFrom({ pathname, origin }: URL): Response {
  return pathname === "/login" ? new Response("Log in", HTML) : Response.redirect(`${origin}/login`);
}

function grep(folder: string, word: string): boolean {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).some(
    (entry) => entry.isFile() && readFileSync(join(entry.parentPath, entry.name), "latin1").includes(word),
  );
}
