// Says how much JavaScript the browser loads before the first paint, gzip'd, and fails if that is too much:
//
//     pnpm --filter @valet/web build && pnpm --filter @valet/web size
//
// That is the entry with all that it imports, and the page that is opened first, the inbox, with all that it imports.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const LIMIT_BYTES = 200_000;
const dist = join(import.meta.dirname, "../dist");

interface Chunk {
  readonly file: string;
  readonly imports?: readonly string[];
}

const manifest = JSON.parse(readFileSync(join(dist, ".vite/manifest.json"), "utf8")) as Record<string, Chunk>;

/** Adds a chunk's file, and those that it imports statically. */
function collect(name: string, files: Set<string>): Set<string> {
  const chunk = manifest[name];
  if (chunk === undefined) throw new Error(`the build has no ${name}`);
  if (files.has(chunk.file)) return files;
  files.add(chunk.file);
  for (const imported of chunk.imports ?? []) collect(imported, files);
  return files;
}

const files = new Set(["theme.js"]);
for (const entry of ["index.html", "src/pages/inbox/inbox-page.tsx"]) collect(entry, files);
const sizes = [...files].map((file) => [file, gzipSync(readFileSync(join(dist, file)), { level: 9 }).length] as const);
const total = sizes.reduce((sum, [, bytes]) => sum + bytes, 0);
for (const [file, bytes] of sizes) process.stdout.write(`${String(bytes).padStart(8)}  ${file}\n`);
process.stdout.write(
  `${String(total).padStart(8)}  bytes of JavaScript before the first paint; the limit is ${LIMIT_BYTES}\n`,
);
process.exitCode = total > LIMIT_BYTES ? 1 : 0;
