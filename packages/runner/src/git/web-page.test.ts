/** Tests URLs that serve pages, logins or portals instead of a repository. Git mistakes some for an empty repository. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { makeRepository, runBackend, runGit, startWebServer } from "../../test/git-server.ts";
import { setUp } from "../../test/git-setup.ts";

const CLONE = "valet.runner.git_clone";
const CHECKOUT = "valet.runner.git_checkout";
const SETUP = "valet.runner.git_setup";

const page = (text: string, type = "text/html") => new Response(text, { headers: { "content-type": type } });
const redirect = (location: string) => new Response(null, { status: 302, headers: { location } });

/** A bare repository without a commit. */
const EMPTY_REPOSITORY = { folder: "" };
beforeAll(() => {
  const parent = mkdtempSync(join(tmpdir(), "valet-runner-"));
  EMPTY_REPOSITORY.folder = join(parent, "repo");
  runGit(parent, "init", "--quiet", "--bare", EMPTY_REPOSITORY.folder);
  return () => rmSync(parent, { recursive: true });
});

const ANSWERS: [string, (request: Request, url: URL) => Response | Promise<Response>][] = [
  ["one line", () => page("hello")],
  ["one line without a type", () => new Response("hello")],
  ["a page of one line", () => page("<!doctype html><title>Log in</title><form method=post></form>")],
  ["a page of several lines", () => page("<!doctype html>\n<title>Log in</title>\n")],
  ["a page with tabs", () => page("<!doctype html>\t<p>\tLog in\t</p>")],
  ["nothing", () => new Response("")],
  ["nothing, with 204", () => new Response(null, { status: 204 })],
  ["a line break", () => page("\n", "text/plain")],
  ["JSON", () => Response.json({ message: "Log in" })],
  ["JSON of several lines", () => page(JSON.stringify({ message: "Log in" }, null, 2), "application/json")],
  ["a page with git's media type", () => page("<html>", "application/x-git-upload-pack-advertisement")],
  ["a redirect to a login page", (_, { pathname }) => (pathname === "/login" ? page("Log in") : redirect("/login"))],
  [
    "a redirect to a login page that keeps the path",
    (_, { pathname, search }) =>
      pathname.startsWith("/login") ? page("Log in") : redirect(`/login${pathname}${search}`),
  ],
  ["a redirect to plain HTTP, as from a network that requires a login", () => redirect("http://localhost:1/login")],
  ["a redirect to itself", (_, { href }) => redirect(href)],
  ["a network that requires a login", () => new Response("Log in", { status: 511 })],
  [
    "the list of branches, and a page for each request after it",
    (request, url) => (request.method === "GET" ? runBackend(request, url, EMPTY_REPOSITORY) : page("hello")),
  ],
  [
    "the list of branches, and nothing for each request after it",
    (request, url) =>
      request.method === "GET"
        ? runBackend(request, url, EMPTY_REPOSITORY)
        : page("", "application/x-git-upload-pack-result"),
  ],
];

describe("instead of a repository", () => {
  test.each(ANSWERS)("%s does not count as an empty repository", async (_, answer) => {
    const repoUrl = startWebServer(answer);
    const { result, shown, workspace, warnings } = await setUp({ repoUrl });
    expect(shown).toEqual([
      [CLONE, "error", "git_not_a_repository"],
      [SETUP, "error", "git_not_a_repository"],
    ]);
    expect(result).toEqual({ ok: false, errorType: "git_not_a_repository" });
    expect(warnings).toEqual([]);
    expect(existsSync(join(workspace, ".git"))).toBe(false);
  });

  test("a page is refused for any branch, with credentials, and on each new try", async () => {
    const repoUrl = startWebServer(() => page("hello"));
    const credentials = { username: "alice", password: "wonderland" };
    const state = temporaryFolder();
    const workspace = join(temporaryFolder(), "workspace");
    for (const repo of [{ branch: "main" }, { ref: "v1" }, { ref: "0123456789" }, {}]) {
      const { shown } = await setUp({ repoUrl, credentials, ...repo }, { state, workspace });
      expect(shown[0]).toEqual([CLONE, "error", "git_not_a_repository"]);
    }
    expect(readdirSync(workspace)).toEqual([]);
  });

  test("a page is refused if a fetch follows the clone", async () => {
    const repository = makeRepository(temporaryFolder());
    let isPage = false;
    const repoUrl = startWebServer((request, url) => (isPage ? page("hello") : runBackend(request, url, repository)));
    const [state, workspace] = [temporaryFolder(), join(temporaryFolder(), "workspace")];
    const ref = "refs/pull/1/nowhere";
    const cut = await setUp({ repoUrl, ref }, { state, workspace });
    expect(cut.result).toEqual({ ok: false, errorType: "git_ref_not_found" });
    isPage = true;
    const { shown } = await setUp({ repoUrl, ref }, { state, workspace });
    expect(shown).toEqual([
      [CHECKOUT, "error", "git_not_a_repository"],
      [SETUP, "error", "git_not_a_repository"],
    ]);
  });

  test("a page at the URL of a submodule fails only the submodule", async () => {
    const repository = makeRepository(temporaryFolder());
    const sub = makeRepository(temporaryFolder());
    runGit(repository.folder, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", sub.url, "lib");
    const url = startWebServer(() => page("hello"));
    runGit(repository.folder, "config", "--file", ".gitmodules", "submodule.lib.url", url);
    runGit(repository.folder, "commit", "--quiet", "--all", "--message", "submodule");
    const { result, warnings } = await setUp({ repoUrl: repository.url });
    expect(result).toMatchObject({ ok: true });
    expect(warnings).toEqual(["git_submodule_failed"]);
  });
});

describe("an empty repository is reported as such", () => {
  const EMPTY = [CHECKOUT, "skipped", "repository_empty"];

  test("over https", async () => {
    const { result, shown, warnings } = await setUp({
      repoUrl: startWebServer((request, url) => runBackend(request, url, EMPTY_REPOSITORY)),
    });
    expect(result).toMatchObject({ ok: true });
    expect([shown[1], warnings]).toEqual([EMPTY, ["repository_empty"]]);
  });

  test("over https with a password, after a redirect, from a host with only the first version of the protocol", async () => {
    const repoUrl = startWebServer((request, url) => {
      if (!url.pathname.startsWith("/new")) return redirect(`/new${url.pathname}${url.search}`);
      if (request.headers.get("authorization") !== `Basic ${btoa("alice:wonderland")}`) {
        return new Response(null, { status: 401, headers: { "www-authenticate": 'Basic realm="git"' } });
      }
      const headers = new Headers(request.headers);
      headers.delete("git-protocol");
      url.pathname = url.pathname.slice("/new".length);
      return runBackend(new Request(request, { headers }), url, EMPTY_REPOSITORY);
    });
    const credentials = { username: "alice", password: "wonderland" };
    const { result, shown } = await setUp({ repoUrl, credentials });
    expect(result).toMatchObject({ ok: true });
    expect(shown[1]).toEqual(EMPTY);
  });

  test("from the local machine, and over ssh", async () => {
    const { folder } = EMPTY_REPOSITORY;
    const home = temporaryFolder();
    const ssh = join(home, "ssh");
    writeFileSync(ssh, '#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n', { mode: 0o755 });
    const env = { PATH: process.env.PATH, HOME: home, GIT_SSH_COMMAND: ssh };
    for (const repoUrl of [`file://${folder}`, `ssh://git@example.com${folder}`]) {
      const { result, shown } = await setUp({ repoUrl }, { env });
      expect(result).toMatchObject({ ok: true });
      expect(shown[1]).toEqual(EMPTY);
    }
  });
});

test("a repository that is served as plain files is cloned", async () => {
  const repository = makeRepository(temporaryFolder());
  const bare = join(temporaryFolder(), "repo");
  runGit(repository.folder, "clone", "--quiet", "--bare", repository.folder, bare);
  runGit(bare, "update-server-info");
  const files = (_: Request, { pathname }: URL) => {
    const path = join(bare, "..", pathname);
    return existsSync(path) ? new Response(Bun.file(path)) : new Response(null, { status: 404 });
  };
  const { result, workspace } = await setUp({ repoUrl: startWebServer(files) });
  expect(result).toMatchObject({ ok: true });
  expect(runGit(workspace, "rev-parse", "HEAD")).toBe(repository.second);
});
