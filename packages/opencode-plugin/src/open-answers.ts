/** The answers that OpenCode's sessions work on, as OpenCode's events tell. Pure but for the time limit of a wait. */

/** An assistant message that is not complete, and the user message that it answers. */
export interface OpenAnswer {
  readonly id: string;
  readonly parentID: string;
}

/** An answer that OpenCode has begun in a session. */
export interface AnnouncedAnswer extends OpenAnswer {
  readonly sessionID: string;
}

interface Info extends OpenAnswer {
  readonly role?: string;
  readonly sessionID?: string;
  readonly time?: { readonly completed?: number };
}

const MAX_SESSIONS = 1_000;

export class OpenAnswers {
  readonly #open = new Map<string, OpenAnswer>();
  readonly #waiting = new Set<() => void>();

  /**
   * @param properties of the event `message.updated`
   * @returns the answer that the event announces; `undefined` if it is about another message, or a known one
   */
  updated(properties: unknown): AnnouncedAnswer | undefined {
    const { info } = (properties ?? {}) as { info?: Info };
    if (info?.role !== "assistant" || info.sessionID === undefined) return undefined;
    const { sessionID, id, parentID } = info;
    const isComplete = info.time?.completed !== undefined;
    const isKnown = this.#open.get(sessionID)?.id === id;
    if (isComplete && !isKnown) return undefined;
    this.#open.delete(sessionID);
    if (isComplete) return undefined;
    this.#open.set(sessionID, { id, parentID });
    for (const oldest of this.#open.keys()) if (this.#open.size > MAX_SESSIONS) this.#open.delete(oldest);
    for (const look of this.#waiting) look();
    return isKnown ? undefined : { sessionID, id, parentID };
  }

  /** The answer that a session works on; `undefined` if there is none. */
  current(sessionID: string): OpenAnswer | undefined {
    return this.#open.get(sessionID);
  }

  /**
   * Returns the answer to a user message that the session works on. The event that announces it may be a moment late.
   * @returns `undefined` if there is none after `timeoutMs`
   */
  async find(sessionID: string, userMessageId: string | undefined, timeoutMs: number): Promise<OpenAnswer | undefined> {
    const { promise, resolve } = Promise.withResolvers<OpenAnswer | undefined>();
    const look = () => {
      const answer = this.#open.get(sessionID);
      if (answer?.parentID === userMessageId) resolve(answer);
    };
    const timer = setTimeout(resolve, timeoutMs, undefined);
    this.#waiting.add(look);
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }
}
