import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import type { SpanLimits } from "@valet/shared/tracing";
import { createApp } from "./app.ts";
import type { Driver } from "./driver.ts";
import { type LocalDriverOptions, startLocalDriver } from "./drivers/local.ts";
import type { ModalDriverOptions } from "./drivers/modal.ts";

interface ServerOptions {
  /** 0, the default, takes a free one. */
  readonly port?: number | undefined;
  /** `127.0.0.1` unless given. */
  readonly host?: string | undefined;
  /** What callers must give as their bearer token: at least 16 characters, none of them a space. */
  readonly secret: string;
  /** How much a span may hold; OpenTelemetry's defaults unless given. */
  readonly spanLimits?: SpanLimits | undefined;
  /** Told of what goes wrong when no caller waits for it; unless given, it is written to standard error. */
  readonly onError?: ((error: Error) => void) | undefined;
}

export interface SandboxBrokerOptions extends ServerOptions, LocalDriverOptions {}

export interface ModalBrokerOptions extends ServerOptions, Omit<ModalDriverOptions, "onError"> {}

export interface SandboxBroker {
  /** Without a slash at the end. */
  readonly url: string;
  /** Stops serving. Ends all processes of sandboxes on this machine, whose files stay. May be called again. */
  close(): Promise<void>;
}

/** How long answers that are ready may take to reach their callers when the broker closes. */
const FLUSH_MS = 500;

/**
 * Starts a sandbox broker whose sandboxes run on this machine.
 * @throws when an option is unusable, the address is taken, or another broker uses the state directory
 */
export function startSandboxBroker(options: SandboxBrokerOptions): Promise<SandboxBroker> {
  return serve(options, (onError) => startLocalDriver({ ...options, onError }));
}

/**
 * Starts a sandbox broker whose sandboxes run at Modal.
 * @throws when an option is unusable, the address is taken, or Modal cannot be used
 */
export function startModalBroker(options: ModalBrokerOptions): Promise<SandboxBroker> {
  return serve(options, async (onError) => {
    // Its library is large, and those whose sandboxes run here need not wait for it.
    const { startModalDriver } = await import("./drivers/modal.ts");
    return startModalDriver({ ...options, onError });
  });
}

async function serve(
  options: ServerOptions,
  startDriver: (onError: (error: Error) => void) => Promise<Driver>,
): Promise<SandboxBroker> {
  const { secret, host = "127.0.0.1", port = 0, spanLimits } = options;
  if (!/^\S{16,}$/.test(secret)) throw new Error("The secret must have at least 16 characters and no spaces");
  const onError = options.onError ?? ((error: Error) => console.error(`sandbox broker: ${error.message}`));
  const driver = await startDriver(onError);
  const app = createApp({ driver, secret, spanLimits, onError: (error) => onError(error as Error) });
  const server = createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects: false });
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (error) {
    await driver.close();
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") throw new Error(`${host}:${port} is taken`);
    throw error;
  }
  let closing: Promise<void> | undefined;
  return {
    url: urlOf(server.address() as AddressInfo),
    close: () => {
      closing ??= closeAll(server, driver);
      return closing;
    },
  };
}

async function closeAll(server: ReturnType<typeof createAdaptorServer>, driver: Driver): Promise<void> {
  const closed = once(server, "close");
  server.close();
  await driver.close();
  const timer = setTimeout(() => "closeAllConnections" in server && server.closeAllConnections(), FLUSH_MS);
  await closed;
  clearTimeout(timer);
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
}
