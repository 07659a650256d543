/** What a transaction has changed, as far as the queue or anybody outside takes notice. */
export class Changes {
  #moved = false;
  #session = false;
  readonly #jobs = new Set<string>();
  readonly #traces = new Set<string>();

  session(): void {
    this.#moved = true;
    this.#session = true;
  }

  job(id: string): void {
    this.#jobs.add(id);
    // How many wait, and whether the agent is busy, shows in the session.
    this.session();
  }

  trace(traceId: string): void {
    this.#traces.add(traceId);
  }

  /** Whether the queue may have something to do since this was last asked. */
  takeMoved(): boolean {
    const moved = this.#moved;
    this.#moved = false;
    return moved;
  }

  /** Everything since this was last asked. */
  take(): { readonly session: boolean; readonly jobs: readonly string[]; readonly traces: readonly string[] } {
    const taken = { session: this.#session, jobs: [...this.#jobs], traces: [...this.#traces] };
    this.#moved = false;
    this.#session = false;
    this.#jobs.clear();
    this.#traces.clear();
    return taken;
  }
}
