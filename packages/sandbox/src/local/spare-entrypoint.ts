/**
 * Keeps one entrypoint that was started ahead of the sandbox that it is for: to start it and to load its code takes as long as all
 * else that happens before the agent starts. It knows nothing of any session: its variables and the token come with its input. It
 * ends with its input, and so with the broker.
 */
import { certificateVariables } from "@valet/shared/certificate-variables";
import { type EndOptions, endProcesses } from "./end-processes.ts";
import { startEntrypoint, type WaitingEntrypoint } from "./entrypoint.ts";
import { SANDBOX_ID_VARIABLE } from "./process-table.ts";
import { newId } from "./state-directory.ts";

export interface SpareOptions extends EndOptions {
  readonly entrypoint: readonly [string, ...string[]];
  /** The entrypoint's `PATH`. */
  readonly path: string;
  /** For how long no sandbox must have been created, in ms, so that the spare does not compete with a start; 5,000 if omitted. */
  readonly quietMs?: number | undefined;
  /** Returns whether a sandbox could be created now. */
  hasRoom(): boolean;
  readonly onError: (error: Error) => void;
}

export interface Spare {
  /** The id of the sandbox that it is for. Its process has it in its environment from the start. */
  readonly sandboxId: string;
  readonly entrypoint: WaitingEntrypoint;
}

const QUIET_MS = 5_000;

/** Returns the variables of an entrypoint that are known before its session is. */
export function commonVariables(path: string, sandboxId: string): Record<string, string> {
  return { LANG: "C.UTF-8", ...certificateVariables(process.env), PATH: path, [SANDBOX_ID_VARIABLE]: sandboxId };
}

export class SpareEntrypoint {
  readonly #options: SpareOptions;
  #spare: Spare | undefined;
  #starting: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(options: SpareOptions) {
    this.#options = options;
  }

  /** Returns the spare, which is the caller's from now on; `undefined` if there is none. */
  take(): Spare | undefined {
    clearTimeout(this.#timer);
    const spare = this.#spare;
    this.#spare = undefined;
    return spare?.entrypoint.hasExited() === true ? undefined : spare;
  }

  /** Starts a spare once it has been quiet for long enough, unless there is one. One that has ended is replaced after the next sandbox. */
  prepare(): void {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => {
      if (this.#spare === undefined && this.#options.hasRoom()) this.#starting ??= this.#start();
    }, this.#options.quietMs ?? QUIET_MS);
    this.#timer.unref();
  }

  /** Ends the spare. No other one is started. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#starting;
    const spare = this.take();
    if (spare !== undefined) await endSpare(spare, this.#options);
  }

  async #start(): Promise<void> {
    const { entrypoint: command, path, onError } = this.#options;
    const sandboxId = newId("sb");
    try {
      const env = { ...commonVariables(path, sandboxId), VALET_STARTED_AHEAD: "1" };
      const entrypoint = await startEntrypoint(command, env);
      this.#spare = { sandboxId, entrypoint };
    } catch (error) {
      onError(error as Error);
    }
    this.#starting = undefined;
  }
}

/** Ends a spare that is not used. */
export function endSpare({ sandboxId, entrypoint }: Spare, options: EndOptions): Promise<void> {
  return endProcesses({ sandboxId, leader: entrypoint.identity }, options);
}
