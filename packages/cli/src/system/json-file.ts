import { readFileSync, renameSync, writeFileSync } from "node:fs";
import type { z } from "zod";

/** Returns the content of a file; `undefined` when the file is missing or does not match the schema. */
export function readJson<T>(path: string, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.safeParse(JSON.parse(readFileSync(path, "utf8"))).data;
  } catch {
    return undefined;
  }
}

/** Writes a file atomically: a crash leaves the old file or the new one. Readable by its owner only. */
export function writeJson(path: string, value: unknown): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
