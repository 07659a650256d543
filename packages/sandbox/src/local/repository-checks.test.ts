/** The broker's check of a repository, over HTTP and with the real git. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { processesWith, SECRET, startBroker, temporaryFolder, waitFor } from "../../test/broker.ts";
import { createApp } from "../app.ts";
import type { Driver } from "../driver.ts";

const BRANCHES = ["main", "größe/ä", "-x/main"];

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

/** Makes a repository with {@link BRANCHES} and the tag `v1`. @returns its URL */
function repository(name: string): string {
  const path = join(folder, name);
  const identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
  const git = (...args: string[]) => execFileSync("git", ["-C", path, ...identity, ...args]);
  mkdirSync(path);
  git("init", "--quiet", "--initial-branch=main");
  git("commit", "--quiet", "--allow-empty", "--message=first");
  for (const branch of BRANCHES) git("update-ref", `refs/heads/${branch}`, "HEAD");
  git("tag", "v1");
  return pathToFileURL(path).href;
}

type Broker = Awaited<ReturnType<typeof startBroker>>;

async function stateOf(broker: Broker, url: string, branch?: string, headers?: Record<string, string>) {
  const { status, body } = await broker.call("POST", "/v1/repositories/check", { url, branch }, headers);
  expect([status, body]).toEqual([200, { state: expect.any(String) }]);
  return body.state;
}

test("a repository is there with its branches and tags, and lacks others", async () => {
  const broker = await startBroker();
  const url = repository("shop of ä");
  expect(await stateOf(broker, url)).toBe("ok");
  for (const branch of ["main", "größe/ä", "v1"]) expect(await stateOf(broker, url, branch)).toBe("ok");
  // The end of another branch's name is no branch.
  execFileSync("git", ["-C", join(folder, "shop of ä"), "update-ref", "refs/heads/refs/heads/only", "HEAD"]);
  for (const branch of ["none", "mai", "only"]) expect(await stateOf(broker, url, branch)).toBe("no_ref");
});

test("where there is no repository, none is found", async () => {
  const broker = await startBroker();
  mkdirSync(join(folder, "empty"));
  writeFileSync(join(folder, "text"), "x");
  symlinkSync("nowhere", join(folder, "link"));
  for (const name of ["missing", "empty", "text", "link", "text/below"]) {
    expect([name, await stateOf(broker, pathToFileURL(join(folder, name)).href, "main")]).toEqual([name, "not_found"]);
  }
});

test("a path is never an option or a command, and no other transport is taken", async () => {
  const broker = await startBroker();
  const mark = join(folder, "mark");
  for (const name of [`--upload-pack=touch ${mark}`, `$(touch ${mark})`, `a;touch ${mark}`, `'; touch ${mark}; '`]) {
    expect(await stateOf(broker, pathToFileURL(join(folder, name)).href)).toBe("not_found");
  }
  const refused = ["https://example.com/a.git", "ext::sh -c touch", "-x", "file://host/a", "ssh://a/b", "file:///a?b"];
  for (const url of refused) {
    const { status, body } = await broker.call("POST", "/v1/repositories/check", { url });
    expect([status, body.errors?.[0]?.path]).toEqual([400, "url"]);
  }
  for (const branch of ["--all", "a b", "*", "a..b", ""]) {
    const { status } = await broker.call("POST", "/v1/repositories/check", { url: "file:///a", branch });
    expect([branch, status]).toEqual([branch, 400]);
  }
  expect(() => execFileSync("test", ["-e", mark])).toThrow();
});

/** Puts a `git` that never ends in front of the real one. @returns the text that marks its processes */
function hangingGit(): string {
  const mark = `600.${process.pid}${String(Math.random()).slice(2, 10)}`;
  writeFileSync(join(folder, "git"), `#!/bin/sh\nsleep ${mark} & wait\n`);
  chmodSync(join(folder, "git"), 0o755);
  vi.stubEnv("PATH", `${folder}:${process.env.PATH}`);
  onTestFinished(() => void vi.unstubAllEnvs());
  return mark;
}

test("a git that hangs ends within the caller's limit, with its child processes; at most four run", async () => {
  const broker = await startBroker();
  const mark = hangingGit();
  const checks = Array.from({ length: 10 }, () => stateOf(broker, "file:///a", "main", { "valet-limit-ms": "1200" }));
  await waitFor(() => processesWith(mark).length === 4);
  expect(await Promise.all(checks)).toEqual(Array(10).fill("unknown"));
  await waitFor(() => processesWith(mark).length === 0);
  vi.unstubAllEnvs();
  expect(await stateOf(broker, repository("after"), "main")).toBe("ok");
});

test("a broker whose sandboxes run elsewhere does not look at its own machine", async () => {
  const app = createApp({ driver: { name: "modal" } as Driver, secrets: [SECRET], onError: () => {} });
  const init = { method: "POST", body: JSON.stringify({ url: repository("shop") }) };
  const headers = { authorization: `Bearer ${SECRET}` };
  expect((await app.request("/v1/repositories/check", { ...init, headers })).status).toBe(404);
  expect((await app.request("/v1/repositories/check", init)).status).toBe(401);
});
