/**
 * Which scripts a browser loads before the first paint of each page: those that `index.html` names, the page's own chunk and, for a page
 * of a session, that of its frame, with all that they import. What they only import later, by `import()`, does not count.
 */
import { existsSync, globSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { gzipSync } from "node:zlib";

/** For each page, gzip'd. */
export const LIMIT_BYTES = 200_000;

interface Chunk {
  readonly file: string;
  readonly imports?: readonly string[];
}
type Manifest = Readonly<Record<string, Chunk>>;

export interface FirstScripts {
  /** The source of the page, from the package's folder. */
  readonly page: string;
  /** The scripts, with their sizes in bytes, gzip'd. */
  readonly files: ReadonlyMap<string, number>;
  readonly bytes: number;
}

/** A route as its file declares it: its parent's name, and what is loaded for it. */
interface Route {
  readonly name: string;
  readonly parent: string | undefined;
  readonly source: string;
}

/** @param root the package's folder  @param dist the folder of the build, with its manifest */
export function firstScripts(root: string, dist: string): readonly FirstScripts[] {
  const manifest = JSON.parse(readFileSync(join(dist, ".vite/manifest.json"), "utf8")) as Manifest;
  const html = readFileSync(join(dist, "index.html"), "utf8");
  // One that is no part of the build, and so of no chunk.
  const named = Array.from(html.matchAll(/<script[^>]* src="\/([^"]+)"/g), ([, file]) => file as string);
  const routes = routesOf(root);
  return routes
    .filter(({ source }) => source.endsWith("-page.tsx"))
    .map(({ source: page, parent }) => {
      const frame = routes.find(({ name }) => name === parent)?.source;
      const found = new Set(named);
      for (const key of ["index.html", page, ...(frame === undefined ? [] : [frame])]) collect(manifest, key, found);
      const files = new Map([...found].map((file) => [file, zippedBytes(join(dist, file))]));
      return { page, files, bytes: [...files.values()].reduce((sum, bytes) => sum + bytes, 0) };
    });
}

/** Reads the routes from their sources. @throws Error for a page that is on no route */
function routesOf(root: string): readonly Route[] {
  const files = globSync(["src/app/*-route.ts", "src/pages/*/route.ts"], { cwd: root });
  const routes = files.flatMap((file) => {
    const [, ...parts] = readFileSync(join(root, file), "utf8").split(/export const (?=\w+ = createRoute\()/);
    return parts.map((text) => {
      const loaded = /lazyRouteComponent\(\(\) => import\("([^"]+)"\)/.exec(text)?.[1];
      if (loaded === undefined) throw new Error(`a route of ${file} loads its page in no way that is known here`);
      return {
        name: /^\w+/.exec(text)?.[0] ?? "",
        parent: /getParentRoute: \(\) => (\w+)/.exec(text)?.[1],
        source: relative(root, resolve(root, file, "..", loaded)),
      };
    });
  });
  for (const page of globSync("src/pages/*/*-page.tsx", { cwd: root })) {
    if (!routes.some(({ source }) => source === page)) throw new Error(`no route loads ${page}`);
  }
  return routes;
}

/** Adds the files of a chunk and of those that it imports statically. */
function collect(manifest: Manifest, key: string, files: Set<string>, seen = new Set<string>()): void {
  if (seen.has(key)) return;
  seen.add(key);
  const chunk = manifest[key];
  if (chunk === undefined) throw new Error(`the build has no chunk of ${key}`);
  files.add(chunk.file);
  for (const imported of chunk.imports ?? []) collect(manifest, imported, files, seen);
}

function zippedBytes(path: string): number {
  if (!existsSync(path)) throw new Error(`the build names ${path}, and lacks it`);
  return gzipSync(readFileSync(path), { level: 9 }).length;
}
