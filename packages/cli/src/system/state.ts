/** What `valet up` stores in its state directory, and how other commands find the system that runs there. */
import { randomBytes } from "node:crypto";
import { join, resolve } from "node:path";
import { CLI_VARIABLES } from "@valet/shared/variables";
import { z } from "zod";
import { readJson, writeJson } from "./json-file.ts";
import type { StateDirectory } from "./state-directory.ts";

export const DEFAULT_STATE_DIR = CLI_VARIABLES.VALET_STATE.default;

/** The settings that a system was started with, for commands in other shells. Holds no secret. */
const Uses = z.object({
  model: z.object({ name: z.string(), isScripted: z.boolean() }),
  /** The backend's host and port; `null` where spans stay in the sessions. */
  backend: z.string().nullable(),
});
export type Uses = z.infer<typeof Uses>;

const Connection = z.object({
  url: z.url(),
  token: z.string(),
  /** The sandbox broker's URL; like `uses`, absent in connections that older versions wrote. */
  brokerUrl: z.url().optional(),
  uses: Uses.optional(),
});
/** How to reach a running system. */
export type Connection = z.infer<typeof Connection>;

const Secrets = z.object({
  /** Of the API; absent before the first start is complete. */
  token: z.string().optional(),
  brokerSecret: z.string(),
  /**
   * Keys that seal git credentials at rest, newest first; 32 bytes each, in base64. Empty in the states of older
   * versions.
   */
  credentialKeys: z.array(z.string()).default([]),
});
export type Secrets = z.infer<typeof Secrets>;

const CREDENTIAL_KEY_BYTES = 32;

/** Returns the secrets of this state; creates them on first use and keeps them from then on. */
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

/**
 * Returns the connection of the system that was last started on this state. Only a request shows whether that system
 * still runs.
 */
export function readConnection(path: string): Connection | undefined {
  return readJson(join(resolve(path), "connection.json"), Connection);
}

export function writeConnection(state: StateDirectory, connection: Connection): void {
  writeJson(join(state.path, "connection.json"), connection);
}
