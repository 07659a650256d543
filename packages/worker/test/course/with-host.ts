/** Runs a test with one session on the stand-in platform: the test controls the clock, the broker and the runner. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { vi } from "vitest";
import { CALLER, valueIn } from "../session.ts";
import { StandInBroker, type StandInSandbox } from "./broker.ts";
import { Host } from "./host.ts";

const { STORAGE } = env as unknown as { STORAGE: DurableObjectNamespace };
export const SESSION_ID = "ses_course";

export interface HostedSession {
  readonly host: Host;
  readonly storage: DurableObjectStorage;
  /** Makes the sandbox that the session has requested. @returns what its runner needs to connect */
  boot(): Promise<StandInSandbox>;
}

/**
 * Creates the session.
 * @param variables of the Worker
 * @param backend answers exports
 */
export async function withHost(
  variables: Readonly<Record<string, string>>,
  work: (session: HostedSession) => Promise<void>,
  backend: (body: BodyInit) => Promise<Response> = () => new Promise(() => {}),
): Promise<void> {
  await runInDurableObject(STORAGE.get(STORAGE.newUniqueId()), async (_object, real) => {
    vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });
    const sandboxes: StandInSandbox[] = [];
    const broker = new StandInBroker(
      (sandbox) => sandboxes.push(sandbox),
      () => {},
    );
    const host = new Host(real, broker, variables);
    const platform = { fetch, Response, WebSocketPair };
    const { globals } = host;
    const toBroker = globals.fetch as typeof fetch;
    const isBroker = (url: string) => url.startsWith("http://broker.test");
    Object.assign(globalThis, globals, {
      fetch: (url: string, init: RequestInit) => (isBroker(url) ? toBroker(url, init) : backend(init.body as BodyInit)),
    });
    const boot = async () => {
      await host.settle();
      host.broker.answer(0, "ok");
      await host.settle();
      const sandbox = sandboxes.at(-1);
      if (sandbox === undefined) throw new Error("no sandbox was requested");
      return sandbox;
    };
    try {
      valueIn(await host.agent.create({ id: SESSION_ID }, CALLER));
      await work({ host, storage: real.storage, boot });
    } finally {
      Object.assign(globalThis, platform);
      vi.useRealTimers();
    }
  });
}
