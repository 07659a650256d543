/** The secrets of an endpoint: made, sealed at rest, and used for signatures. */
import { ROTATION_MS } from "@valet/shared/protocol/webhooks";
import type { SealedCredentials } from "../durable-objects/core/git-credentials.ts";
import { CannotOpenError, type CredentialKeys } from "../durable-objects/credentials/credential-keys.ts";

/** The size of a secret: Standard Webhooks recommends 24 to 64 bytes. */
const SECRET_BYTES = 32;

export interface WebhookSecrets {
  readonly current: string;
  /** The secret before the last rotation, and until when it is used, epoch ms. */
  readonly previous?: { readonly secret: string; readonly untilMs: number };
}

export type WebhookKeys = CredentialKeys<WebhookSecrets>;

/** Returns a new secret in the form of Standard Webhooks. */
export function newSecret(): string {
  return `whsec_${Buffer.from(crypto.getRandomValues(new Uint8Array(SECRET_BYTES))).toString("base64")}`;
}

/** Replaces the current secret, which stays in use for a while if it is known. */
export function rotated(before: WebhookSecrets | undefined, secret: string, nowMs: number): WebhookSecrets {
  if (before === undefined) return { current: secret };
  return { current: secret, previous: { secret: before.current, untilMs: nowMs + ROTATION_MS } };
}

/** Returns the secrets that a delivery is signed with, the current one first. */
export function secretsAt({ current, previous }: WebhookSecrets, nowMs: number): string[] {
  return previous === undefined || previous.untilMs <= nowMs ? [current] : [current, previous.secret];
}

/** Returns the secrets as they are stored. @param id of the endpoint: sealed secrets open nothing in another one */
export async function sealSecrets(keys: WebhookKeys, id: string, secrets: WebhookSecrets): Promise<string> {
  return JSON.stringify(await keys.seal(secrets, id));
}

export interface OpenedSecrets {
  readonly secrets: WebhookSecrets;
  /** Whether they were sealed with the newest key. */
  readonly isCurrent: boolean;
}

/** What is shown of an endpoint whose secrets cannot be opened. */
export const KEY_REMOVED = "its secret cannot be opened, since the key was removed that sealed it; rotate the secret";

/** Returns the secrets; `undefined` if their key was removed. */
export async function openSecrets(keys: WebhookKeys, id: string, stored: string): Promise<OpenedSecrets | undefined> {
  const sealed = JSON.parse(stored) as SealedCredentials;
  try {
    return { secrets: await keys.open(sealed, id), isCurrent: await keys.isCurrent(sealed) };
  } catch (error) {
    if (error instanceof CannotOpenError) return undefined;
    throw error;
  }
}
