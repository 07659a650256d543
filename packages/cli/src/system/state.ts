/** What `valet up` keeps in its state directory, and how other commands find the system that runs there. */
import { randomBytes } from "node:crypto";
import { join, resolve } from "node:path";
import { z } from "zod";
import { readJson, writeJson } from "./json-file.ts";
import type { StateDirectory } from "./state-directory.ts";

export const DEFAULT_STATE_DIR = ".valet";

/** What a system was started with, for whoever looks at it from another shell. Holds no secret. */
const Uses = z.object({
  model: z.object({ name: z.string(), isScripted: z.boolean() }),
  /** The backend's host and port; `null` where spans stay in the sessions. */
  backend: z.string().nullable(),
});
export type Uses = z.infer<typeof Uses>;

const Connection = z.object({
  url: z.url(),
  token: z.string(),
  /** Absent from versions that did not say. */
  uses: Uses.optional(),
});
/** How to reach a running system. */
export type Connection = z.infer<typeof Connection>;

const Secrets = z.object({
  /** Of the API; absent before the first start is complete. */
  token: z.string().optional(),
  brokerSecret: z.string(),
  /** Seal git credentials at rest, the newest first; 32 bytes in base64 each. None yet in the states of older versions. */
  credentialKeys: z.array(z.string()).default([]),
});
export type Secrets = z.infer<typeof Secrets>;

const CREDENTIAL_KEY_BYTES = 32;

/** The secrets of this state: made at the first start that needs them, the same ever after. */
export function readSecrets(state: StateDirectory): Secrets {
  const stored = readJson(join(state.path, "secrets.json"), Secrets);
  if (stored !== undefined && stored.credentialKeys.length > 0) return stored;
  const made = {
    brokerSecret: randomBytes(24).toString("hex"),
    ...stored,
    credentialKeys: [randomBytes(CREDENTIAL_KEY_BYTES).toString("base64")],
  };
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
