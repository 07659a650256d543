/** What `valet up` stores in its state directory, and how other commands find the system that runs there. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { CLI_VARIABLES } from "@valet/shared/variables";
import { z } from "zod";
import { UserError } from "../errors.ts";
import { readJson, writeJson } from "./json-file.ts";
import type { StateDirectory } from "./state-directory.ts";

export const DEFAULT_STATE_DIR = CLI_VARIABLES.VALET_STATE.default;

/** The settings that a system was started with, for commands in other shells. Holds no secret. */
const Uses = z.object({
  model: z.object({ name: z.string(), isScripted: z.boolean() }),
  /** The backend's host and port; `null` where spans stay in the sessions. */
  backend: z.string().nullable(),
  /** With the driver `docker`: the engine's address, `null` for the usual one, and the image of its sandboxes. */
  containers: z.object({ engine: z.string().nullable(), image: z.string() }).optional(),
});
export type Uses = z.infer<typeof Uses>;

const Connection = z.object({
  url: z.url(),
  token: z.string(),
  /** The sandbox broker's URL; like `uses`, absent in connections that older versions wrote. */
  brokerUrl: z.url().optional(),
  uses: Uses.optional(),
  /** Whether somebody stopped the system: `false` while it runs, and after it has died. Absent like `uses`. */
  isStopped: z.boolean().optional(),
});
/** How to reach a running system. */
export type Connection = z.infer<typeof Connection>;

const Secrets = z.object({
  /** Of the API; absent before the first start is complete, and where a person removed it, to get another. */
  token: z.string().optional(),
  /** Absent where a person removed it, to get another. */
  brokerSecret: z.string().optional(),
  /**
   * Keys that seal git credentials at rest, newest first; 32 bytes each, in base64. Empty in the states of older
   * versions.
   */
  credentialKeys: z.array(z.string()).default([]),
});
export type Secrets = z.infer<typeof Secrets> & { readonly brokerSecret: string };

const CREDENTIAL_KEY_BYTES = 32;

/**
 * Returns the secrets of this state; creates those that are missing, and keeps them from then on.
 * @throws UserError when the file is there but cannot be read: new keys in its place would make git credentials unreadable
 */
export function readSecrets(state: StateDirectory): Secrets {
  const path = join(state.path, "secrets.json");
  const stored = readJson(path, Secrets);
  if (stored === undefined && existsSync(path)) {
    throw new UserError(`${path} is damaged or cannot be read. Mend it, or copy it back from a backup.`);
  }
  const { token, brokerSecret, credentialKeys = [] } = stored ?? {};
  if (brokerSecret !== undefined && credentialKeys.length > 0) return { token, brokerSecret, credentialKeys };
  const made = {
    ...(token !== undefined && { token }),
    brokerSecret: brokerSecret ?? randomBytes(24).toString("hex"),
    credentialKeys: credentialKeys.length > 0 ? credentialKeys : [newCredentialKey()],
  };
  writeSecrets(state, made);
  return made;
}

function newCredentialKey(): string {
  return randomBytes(CREDENTIAL_KEY_BYTES).toString("base64");
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
