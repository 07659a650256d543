/**
 * Notices that a runner has been without a link for so long that its host is not coming back by itself: it would keep its memory until
 * somebody finds it. Not while work goes on.
 */
export interface AloneOptions {
  /** In milliseconds. */
  readonly limitMs: number;
  isWorking(): boolean;
  onAlone(): void;
}

export class Alone {
  readonly #options: AloneOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: AloneOptions) {
    this.#options = options;
  }

  /** Begins to count, from now. */
  begin(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#options.isWorking()) this.begin();
      else this.#options.onAlone();
    }, this.#options.limitMs);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
