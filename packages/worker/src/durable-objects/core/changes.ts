/** Collects what the current transaction has changed, for the scheduler, the projection and the clients. */
export class Changes {
  #moved = false;
  #session = false;
  readonly #jobs = new Set<string>();

  /** Records a change of the session. */
  session(): void {
    this.#moved = true;
    this.#session = true;
  }

  /** Records a change of a job. */
  job(id: string): void {
    this.#jobs.add(id);
    // The session's view shows the length of the queue, and whether the agent is busy.
    this.session();
  }

  /** Returns whether the scheduler may have something to do since the last call. */
  takeMoved(): boolean {
    const moved = this.#moved;
    this.#moved = false;
    return moved;
  }

  /** Returns all changes since the last call. */
  take(): { readonly session: boolean; readonly jobs: readonly string[] } {
    const taken = { session: this.#session, jobs: [...this.#jobs] };
    this.#moved = false;
    this.#session = false;
    this.#jobs.clear();
    return taken;
  }
}
