/** What opens a session's repository: kept sealed, opened when the runner is to have it. */

import type { GitCredentials, SealedCredentials, StoredCredentials } from "../core/git-credentials.ts";
import type { SessionState } from "../core/session-state.ts";
import type { Transactions } from "../core/transactions.ts";
import type { CredentialKeys } from "./credential-keys.ts";
import { splitCredentials } from "./repository.ts";

export interface SessionCredentialsOptions {
  readonly state: SessionState;
  readonly keys: CredentialKeys;
  readonly transactions: Transactions;
  readonly background: (work: Promise<void>) => void;
  readonly report: (error: unknown) => void;
}

export class SessionCredentials {
  readonly #options: SessionCredentialsOptions;

  constructor(options: SessionCredentialsOptions) {
    this.#options = options;
  }

  /** Whether there are any. */
  get isEmpty(): boolean {
    return this.#options.state.maybe?.credentials === undefined;
  }

  seal(credentials: GitCredentials, sessionId: string): Promise<SealedCredentials> {
    return this.#options.keys.seal(credentials, sessionId);
  }

  /** @throws CannotOpenError if the key that it takes was taken away */
  async open(): Promise<GitCredentials | undefined> {
    const { state, keys } = this.#options;
    const { id, credentials } = state.record;
    if (credentials === undefined) return undefined;
    return isSealed(credentials) ? keys.open(credentials, id) : credentials;
  }

  /**
   * Returns what a clone is to have. Never rejects: credentials that no key opens are reported, and the clone that lacks them fails
   * and says so.
   */
  openForClone(): Promise<GitCredentials | undefined> {
    return this.open().catch((error: unknown) => {
      this.#options.report(error);
      return undefined;
    });
  }

  /**
   * After the object came to life: what lies there in the clear, or under a key that is not the newest, is sealed anew; so is what
   * the URL of an older version still holds.
   */
  resume(): void {
    const { state, background, report } = this.#options;
    if (state.maybe !== undefined) background(this.#renew().catch(report));
  }

  async #renew(): Promise<void> {
    const { state, keys, transactions } = this.#options;
    const { id, repoUrl = "", credentials } = state.record;
    const split = splitCredentials(repoUrl);
    const isClean = split.credentials === undefined;
    if (isClean && (credentials === undefined || (isSealed(credentials) && (await keys.isCurrent(credentials)))))
      return;
    const sealed = await keys.seal({ ...split.credentials, ...(await this.open()) }, id);
    // Meanwhile the session may have changed, or ended.
    if (state.maybe?.credentials !== credentials || state.record.repoUrl !== repoUrl) return;
    transactions.run(() => state.update({ credentials: sealed, ...(!isClean && { repoUrl: split.repoUrl }) }));
  }
}

function isSealed(credentials: StoredCredentials): credentials is SealedCredentials {
  return "sealed" in credentials;
}
