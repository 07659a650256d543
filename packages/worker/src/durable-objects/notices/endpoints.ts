/** The endpoints that events go to, as D1 has them: read when a delivery is due, and cached in memory for a moment. */

import { findTarget, replaceSecrets } from "../../database/webhooks.ts";
import { openSecrets, sealSecrets, type WebhookKeys, type WebhookSecrets } from "../../webhooks/secrets.ts";
import { isRecent } from "../core/recent.ts";

/** How long an endpoint is good for, in ms. A removed one may get deliveries for that long. */
const CACHED_MS = 30_000;
const MAX_CACHED = 100;

export interface Endpoint {
  readonly id: string;
  readonly url: string;
  /** `undefined` if their key was removed. */
  readonly secrets: WebhookSecrets | undefined;
  /** Whether the last try failed. */
  readonly isFailing: boolean;
}

export interface EndpointsOptions {
  readonly db: D1Database;
  readonly keys: WebhookKeys;
  readonly now: () => number;
}

export class Endpoints {
  readonly #options: EndpointsOptions;
  readonly #cached = new Map<string, { readonly endpoint: Endpoint; readonly readMs: number }>();

  constructor(options: EndpointsOptions) {
    this.#options = options;
  }

  /** Returns an endpoint; `undefined` if it was removed or is disabled. That is never cached, since it may be enabled again. */
  async read(id: string): Promise<Endpoint | undefined> {
    const { db, now } = this.#options;
    const cached = this.#cached.get(id);
    if (cached !== undefined && isRecent(cached.readMs, now(), CACHED_MS)) return cached.endpoint;
    this.#cached.delete(id);
    const target = await findTarget(db, id);
    if (target === undefined) return undefined;
    const { url, isFailing, secrets: stored } = target;
    const endpoint: Endpoint = { id, url, isFailing, secrets: await this.#open(id, stored) };
    if (this.#cached.size >= MAX_CACHED) this.#cached.clear();
    this.#cached.set(id, { endpoint, readMs: now() });
    return endpoint;
  }

  /** Reads the endpoint anew next time. */
  forget(id: string): void {
    this.#cached.delete(id);
  }

  /** Opens secrets, and seals them again if that was done with an older key. */
  async #open(id: string, stored: string): Promise<WebhookSecrets | undefined> {
    const { db, keys } = this.#options;
    const opened = await openSecrets(keys, id, stored);
    if (opened === undefined) return undefined;
    const { secrets, isCurrent } = opened;
    if (!isCurrent) await replaceSecrets(db, id, stored, await sealSecrets(keys, id, secrets));
    return secrets;
  }
}
