import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";

const pem = (name: string) => join(import.meta.dirname, `localhost.${name}.pem`);
/** The certificate that git must trust to reach the server, as `GIT_SSL_CAINFO`. The key is used for nothing else. */
export const CERTIFICATE = pem("cert");
export const KEY = pem("key");

const AUTHOR = { GIT_AUTHOR_NAME: "A", GIT_AUTHOR_EMAIL: "a@b", GIT_COMMITTER_NAME: "A", GIT_COMMITTER_EMAIL: "a@b" };

export function runGit(cwd: string, ...args: string[]): string {
  const env = { PATH: process.env.PATH, HOME: cwd, GIT_CONFIG_NOSYSTEM: "1", ...AUTHOR };
  return execFileSync("git", args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
}

/** Creates a repository with a branch `main` of two commits, a branch `feature/x`, a tag `v1` and another kind of ref. */
export function makeRepository(parent: string) {
  const folder = join(parent, "repo");
  mkdirSync(folder);
  runGit(folder, "init", "--quiet", "--initial-branch=main");
  const commit = (content: string) => {
    writeFileSync(join(folder, "file.txt"), content);
    runGit(folder, "add", ".");
    runGit(folder, "commit", "--quiet", "--message", content);
    return runGit(folder, "rev-parse", "HEAD");
  };
  const first = commit("first");
  runGit(folder, "tag", "--annotate", "v1", "--message", "v1");
  runGit(folder, "checkout", "--quiet", "-b", "feature/x");
  const feature = commit("feature");
  runGit(folder, "checkout", "--quiet", "--detach", "main");
  const pull = commit("pull");
  runGit(folder, "update-ref", "refs/pull/1/head", pull);
  runGit(folder, "checkout", "--quiet", "main");
  const second = commit("second");
  return { folder, url: `file://${folder}`, first, second, feature, pull };
}
export type Repository = ReturnType<typeof makeRepository>;

/** Serves a repository over https like a git host, with a password. */
export function startGitServer(repository: Repository, user = "alice", password = "wonderland") {
  const wanted = `Basic ${btoa(`${user}:${password}`)}`;
  const onRequest: (() => void)[] = [];
  const hanging = Promise.withResolvers<void>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { cert: readFileSync(CERTIFICATE), key: readFileSync(KEY) },
    async fetch(request) {
      const url = new URL(request.url);
      if (url.pathname.startsWith("/hang")) {
        hanging.resolve();
        return new Promise<Response>(() => {});
      }
      for (const each of onRequest) each();
      if (request.headers.get("authorization") !== wanted) {
        return new Response(null, { status: 401, headers: { "www-authenticate": 'Basic realm="git"' } });
      }
      return await runBackend(request, url, repository);
    },
  });
  onTestFinished(() => server.stop(true));
  const origin = `https://localhost:${server.port}`;
  /** `isAsked` resolves once a client waits for `/hang`, which never answers. */
  return { origin, url: `${origin}/repo`, onRequest, isAsked: hanging.promise };
}

/** Serves the responses of `answer` over https. @returns the URL of a repository there */
export function startWebServer(answer: (request: Request, url: URL) => Response | Promise<Response>): string {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { cert: readFileSync(CERTIFICATE), key: readFileSync(KEY) },
    fetch: (request) => answer(request, new URL(request.url)),
  });
  onTestFinished(() => server.stop(true));
  return `https://localhost:${server.port}/repo`;
}

/** Answers like a git host. */
export async function runBackend(
  request: Request,
  url: URL,
  { folder }: Pick<Repository, "folder">,
): Promise<Response> {
  const env = {
    PATH: process.env.PATH,
    GIT_PROJECT_ROOT: join(folder, ".."),
    GIT_HTTP_EXPORT_ALL: "1",
    PATH_INFO: url.pathname,
    QUERY_STRING: url.search.slice(1),
    REQUEST_METHOD: request.method,
    CONTENT_TYPE: request.headers.get("content-type") ?? "",
    HTTP_CONTENT_ENCODING: request.headers.get("content-encoding") ?? "",
    GIT_PROTOCOL: request.headers.get("git-protocol") ?? "",
  };
  const backend = spawn("git", ["http-backend"], { env, stdio: ["pipe", "pipe", "ignore"] });
  backend.stdin.end(Buffer.from(await request.arrayBuffer()));
  const chunks: Buffer[] = [];
  for await (const chunk of backend.stdout) chunks.push(chunk as Buffer);
  const output = Buffer.concat(chunks);
  const end = output.indexOf("\r\n\r\n");
  const headers = new Headers(
    output
      .subarray(0, end)
      .toString()
      .split("\r\n")
      .map((line) => line.split(": ", 2) as [string, string]),
  );
  const status = Number.parseInt(headers.get("status") ?? "200", 10);
  headers.delete("status");
  return new Response(output.subarray(end + 4), { status, headers });
}
