/** The page of `valet up`: built while the rest starts, held in memory, and served to the Worker, which adds the headers. */
import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative } from "node:path";
import { buildPage, type PageSources, pageSources } from "./page-build.ts";

export interface PageOptions {
  /** Where builds are kept, if the package's own folder cannot be written. */
  readonly fallback: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Receives a sentence if the page cannot be built. */
  readonly report: (line: string) => void;
  /** Valet's own if omitted. */
  readonly sources?: PageSources;
}

export interface Page {
  /** Answers the Worker's request for a file. Waits for the build. */
  fetch(request: { readonly url: string }): Promise<PageAnswer>;
  /** Ends a build. Idempotent. */
  stop(): void;
}

export interface PageAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: Buffer | string | null;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
  ".webmanifest": "application/manifest+json",
};

/** Begins to build the page, and returns at once. */
export function startPage({ fallback, env, report, sources }: PageOptions): Page {
  const stopping = new AbortController();
  const built = readBuilt(async () =>
    buildPage({ sources: sources ?? pageSources(), fallback, env, signal: stopping.signal }),
  ).catch((error: unknown) => {
    const sentence = failureSentence((error as Error).message);
    if (!stopping.signal.aborted) report(sentence);
    return sentence;
  });
  return {
    fetch: async ({ url }) => {
      const files = await built;
      if (typeof files === "string") return { status: 503, type: "text/plain; charset=utf-8", body: `${files}\n` };
      const path = new URL(url).pathname;
      const body = files.get(path);
      const type = TYPES[extname(path)] ?? "application/octet-stream";
      return body === undefined ? { status: 404, type, body: null } : { status: 200, type, body };
    },
    stop: () => stopping.abort(),
  };
}

/** Builds the page and reads its files, by their paths in URLs. Once more, if a newer build removes them meanwhile. */
async function readBuilt(build: () => Promise<string>): Promise<ReadonlyMap<string, Buffer>> {
  return readFiles(await build()).catch(async () => readFiles(await build()));
}

async function readFiles(folder: string): Promise<ReadonlyMap<string, Buffer>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  const read = async (path: string) => [`/${relative(folder, path)}`, await readFile(path)] as const;
  const files = new Map(await Promise.all(paths.map(read)));
  if (!files.has("/index.html")) throw new Error("the build has no index.html");
  return files;
}

/** The most of a build's error that is shown: what it says first. */
const MAX_REASON = 300;

function failureSentence(error: string): string {
  const isMissing = /ERR_MODULE_NOT_FOUND|Cannot find (?:package|module)|no such file/i.test(error);
  const reason = isMissing
    ? "a package that builds it is missing. Install the packages (npx --yes pnpm@12 install) and start again"
    : `${reasonIn(error)}. \`pnpm --filter @valet/web build\` shows all of it`;
  return `The page could not be built: ${reason}. The API and all commands work without it.`;
}

/** Returns the message of the error in what Node prints when a program ends with one; the first line of anything else. */
function reasonIn(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const at = lines.findIndex((line) => /^(?:\w*Error|Error \[\w+\]): /.test(line));
  const [first = "", second = ""] = lines.slice(Math.max(at, 0));
  const message = first.replace(/^(?:\w*Error|Error \[\w+\]): /, "");
  return (message.endsWith(":") ? `${message} ${second.trim()}` : message).slice(0, MAX_REASON);
}
