/** The credentials of a session's repository. They are stored sealed, and opened to be sent to the runner. */

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

  /** Whether the session has no credentials. */
  get isEmpty(): boolean {
    return this.#options.state.maybe?.credentials === undefined;
  }

  seal(credentials: GitCredentials, sessionId: string): Promise<SealedCredentials> {
    return this.#options.keys.seal(credentials, sessionId);
  }

  /** @throws CannotOpenError if their key was removed */
  async open(): Promise<GitCredentials | undefined> {
    const { state, keys } = this.#options;
    const { id, credentials } = state.record;
    if (credentials === undefined) return undefined;
    return isSealed(credentials) ? keys.open(credentials, id) : credentials;
  }

  /**
   * Returns the credentials for a clone. Never rejects: if no key opens them, the error is reported, and the clone fails with an
   * error of its own.
   */
  openForClone(): Promise<GitCredentials | undefined> {
    return this.open().catch((error: unknown) => {
      this.#options.report(error);
      return undefined;
    });
  }

  /**
   * Seals the credentials again if they are stored in plain text or under an older key, or are still part of a URL that an older
   * version stored. Called when the object starts.
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
