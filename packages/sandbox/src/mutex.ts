/** Runs one task at a time, in the order of the calls. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}

/** A {@link Mutex} for each key, kept only while it is in use. */
export class KeyedMutex {
  readonly #inUse = new Map<string, { mutex: Mutex; users: number }>();

  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const entry = this.#inUse.get(key) ?? { mutex: new Mutex(), users: 0 };
    this.#inUse.set(key, entry);
    entry.users++;
    try {
      return await entry.mutex.run(work);
    } finally {
      entry.users--;
      if (entry.users === 0) this.#inUse.delete(key);
    }
  }
}
