/** What `valet up` keeps in its state directory, and how other commands find the system that runs there. */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { z } from "zod";

export const DEFAULT_STATE_DIR = ".valet";

const Connection = z.object({ url: z.url(), token: z.string() });
/** How to reach a running system. */
export type Connection = z.infer<typeof Connection>;

const Secrets = z.object({
  /** Of the API; absent before the first start is complete. */
  token: z.string().optional(),
  brokerSecret: z.string(),
});
export type Secrets = z.infer<typeof Secrets>;

export interface StateDirectory {
  readonly path: string;
  /** For the sandbox broker. */
  readonly broker: string;
  /** For the Worker's databases. */
  readonly storage: string;
}

/** Makes the directory, readable by its owner only: it holds tokens and what agents work on. */
export function openStateDirectory(path: string): StateDirectory {
  const absolute = resolve(path);
  mkdirSync(absolute, { recursive: true, mode: 0o700 });
  return { path: absolute, broker: join(absolute, "broker"), storage: join(absolute, "storage") };
}

/** The secrets of this state: made at the first start, the same ever after. */
export function readSecrets(state: StateDirectory): Secrets {
  const stored = readJson(join(state.path, "secrets.json"), Secrets);
  if (stored !== undefined) return stored;
  const made = { brokerSecret: randomBytes(24).toString("hex") };
  writeSecrets(state, made);
  return made;
}

export function writeSecrets(state: StateDirectory, secrets: Secrets): void {
  writeJson(join(state.path, "secrets.json"), secrets);
}

/** The system that was last started on this state; whether it still runs, only a request can tell. */
export function readConnection(path: string): Connection | undefined {
  return readJson(join(resolve(path), "connection.json"), Connection);
}

export function writeConnection(state: StateDirectory, connection: Connection): void {
  writeJson(join(state.path, "connection.json"), connection);
}

function readJson<T>(path: string, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.safeParse(JSON.parse(readFileSync(path, "utf8"))).data;
  } catch {
    return undefined;
  }
}

/** Whole or not at all, whenever the process dies. */
function writeJson(path: string, value: unknown): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
