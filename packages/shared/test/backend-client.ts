import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    /** The address of the scripted backend. */
    backend: string;
  }
}

/** What the scripted backend does with a request. */
export type Answer =
  | { status: number; headers?: Record<string, string>; body?: string; base64?: string }
  /** Never answers; closes the connection; closes it within the body; or writes a byte now and then. */
  | { behaviour: "hang" | "reset" | "reset-after-head" | "drip" };

export interface ReceivedRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  /** When it was received, by the backend's clock. */
  atMs: number;
  /** The body, unpacked. */
  text: string;
}

/** One test's own corner of the scripted backend. */
export interface Backend {
  /** The traces endpoint to give to the exporter. */
  url: string;
  received(): Promise<ReceivedRequest[]>;
  /** Ends the connections that hang or drip. */
  letGo(): Promise<void>;
}

/** Scripts the backend's answers: one a request, the last one for all that follow. */
export async function scriptBackend(...answers: Answer[]): Promise<Backend> {
  const base = `${inject("backend")}/${crypto.randomUUID()}`;
  await fetch(base, { method: "PUT", body: JSON.stringify(answers) });
  return {
    url: `${base}/v1/traces`,
    received: async () => (await (await fetch(base)).json()) as ReceivedRequest[],
    letGo: async () => {
      await fetch(base, { method: "DELETE" });
    },
  };
}
