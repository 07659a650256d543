/** Hands the Worker's SQL statements to a test in workerd, which has the databases and no source files. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import type { FoundStatement } from "./plans.ts";
import { SourceStatements } from "./texts.node.ts";

const SOURCES = join(import.meta.dirname, "../../src");

/** Migrations run once for each database, on tables that later ones change. */
const MIGRATIONS = ["durable-objects/session-schema.ts"];

/** Lists of columns, and of their values, which do not decide how rows are found; and each file's migrations. */
const SUBSTITUTES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "database/setup.ts": { 'script.join("\\n")': "CREATE TABLE migrated (id)" },
  "database/turns.ts": {
    'Object.keys(columns).join(", ")': "attempt_id",
    'values.map(() => "?").join(", ")': "?",
  },
  "durable-objects/queue/job-store.ts": {
    'Object.keys(columns).join(", ")': "*",
    'Object.keys(all).join(", ")': "id",
    'marks.join(", ")': "?",
    'sets.join(", ")': "id = ?",
  },
  "durable-objects/traces/export-ledger.ts": {
    '[...Object.keys(FIRST_STATE), "config", "shown", "shown_reason"].join(", ")': "*",
    'names.map((name) => `${name} = ?`).join(", ")': "attempts = ?",
  },
};

/** Finds every statement of the Worker. @throws UnknownTextError for one that cannot be read off the source */
export function findStatements(): FoundStatement[] {
  const files = globSync("**/*.ts", { cwd: SOURCES }).filter((file) => !/\.test\.ts$/.test(file));
  return files.sort().flatMap((file) => {
    const source = readFileSync(join(SOURCES, file), "utf8");
    const isRelevant = /\b(?:exec|prepare)\b/.test(source) && !MIGRATIONS.includes(file);
    return isRelevant ? new SourceStatements(file, source, SUBSTITUTES[file] ?? {}).all() : [];
  });
}

export default function setup({ provide }: TestProject): void {
  provide("statements", findStatements());
}
