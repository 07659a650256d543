/** The scripted sandbox broker, as tests see it. */
import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    /** The address of the scripted broker. */
    broker: string;
  }
}

/** What one call is answered with; success unless it says otherwise. */
export interface BrokerAnswer {
  /** Answered only once it is let go. */
  readonly hold?: boolean;
  /** The connection is cut instead. */
  readonly reset?: boolean;
  readonly problem?: { readonly status: number; readonly code: string; readonly detail?: string };
  /** How many files a snapshot lacks. */
  readonly leftOut?: number;
  /** What the broker says of a sandbox that it is asked about; that it runs unless it says otherwise. */
  readonly sandbox?: { readonly state: string; readonly stopReason?: string; readonly lastLogLine?: string };
}

export type BrokerCallKind =
  | "create"
  | "restore"
  | "snapshot"
  | "terminate"
  | "deleteSnapshot"
  | "list"
  | "get"
  | "export";

export interface ReceivedCall {
  readonly call: BrokerCallKind;
  readonly path: string;
  readonly body?: {
    readonly generation: number;
    readonly runnerToken: string;
    readonly snapshotId?: string;
    readonly env: Record<string, string>;
  };
  readonly headers: Record<string, string>;
}

/** One session's corner of the broker. */
export class ScriptedBroker {
  readonly #url: string;

  constructor(sessionId: string) {
    this.#url = `${inject("broker")}/test/${sessionId}`;
  }

  /** The next calls of each kind are answered so, in order; those after them succeed. */
  async script(answers: { readonly [K in BrokerCallKind]?: readonly BrokerAnswer[] }): Promise<void> {
    await fetch(this.#url, { method: "PUT", body: JSON.stringify(answers) });
  }

  async calls(kind?: BrokerCallKind): Promise<readonly ReceivedCall[]> {
    const { received } = await this.#state();
    return received.filter(({ call }) => kind === undefined || call === kind);
  }

  /** How many calls are held back. */
  async held(): Promise<number> {
    return (await this.#state()).held;
  }

  async letGo(): Promise<void> {
    await fetch(this.#url, { method: "POST" });
  }

  async #state(): Promise<{ received: ReceivedCall[]; held: number }> {
    return (await (await fetch(this.#url)).json()) as { received: ReceivedCall[]; held: number };
  }
}
