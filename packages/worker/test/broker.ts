/** The tests' client of the scripted sandbox broker. */
import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    /** The address of the scripted broker. */
    broker: string;
  }
}

/** The answer to one call; success by default. */
export interface BrokerAnswer {
  /** Whether the call is held until the test releases it. */
  readonly hold?: boolean;
  /** Whether the connection is reset instead. */
  readonly reset?: boolean;
  readonly problem?: { readonly status: number; readonly code: string; readonly detail?: string };
  /** How many files a snapshot lacks. */
  readonly leftOut?: number;
  /** The state of a sandbox in the answer; `running` by default. */
  readonly sandbox?: {
    readonly state?: string;
    readonly stopReason?: string;
    readonly lastLogLine?: string;
    readonly isolation?: string | undefined;
  };
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

/** Returns the ids of the sessions that asked for a new sandbox so far, in order. */
export async function createdSessions(): Promise<readonly string[]> {
  return (await (await fetch(`${inject("broker")}/created`)).json()) as string[];
}

/** The broker's script for one session. */
export class ScriptedBroker {
  readonly #url: string;

  constructor(sessionId: string) {
    this.#url = `${inject("broker")}/test/${sessionId}`;
  }

  /** Sets the answers to the next calls of each kind, in order. Further calls succeed. */
  async script(answers: { readonly [K in BrokerCallKind]?: readonly BrokerAnswer[] }): Promise<void> {
    await fetch(this.#url, { method: "PUT", body: JSON.stringify(answers) });
  }

  async calls(kind?: BrokerCallKind): Promise<readonly ReceivedCall[]> {
    const { received } = await this.#state();
    return received.filter(({ call }) => kind === undefined || call === kind);
  }

  /** Returns how many calls are held. */
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
