import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { ServerType } from "@hono/node-server";
import type { ShownLimits } from "@valet/shared/protocol/sandbox-limits";
import type { Network } from "@valet/shared/protocol/sandbox-network";
import type { SpanLimits } from "@valet/shared/tracing";
import type { Driver } from "./driver.ts";
import type { DockerDriverOptions } from "./drivers/docker.ts";
import type { LocalDriverOptions } from "./drivers/local.ts";
import type { ModalDriverOptions } from "./drivers/modal.ts";

interface ServerOptions {
  /** 0, the default, chooses a free port. */
  readonly port?: number | undefined;
  /** Default: `127.0.0.1`. */
  readonly host?: string | undefined;
  /**
   * The bearer token that callers must send: at least 16 characters, no spaces. Several, separated by commas, are all accepted, so
   * that a caller can change from one to another. No bearer token contains a comma (RFC 6750, section 2.1).
   */
  readonly secret: string;
  /** The limits of spans; OpenTelemetry's defaults if omitted. */
  readonly spanLimits?: SpanLimits | undefined;
  /** Receives errors of background work; written to standard error if omitted. */
  readonly onError?: ((error: Error) => void) | undefined;
}

export interface SandboxBrokerOptions extends ServerOptions, LocalDriverOptions {}

export interface DockerBrokerOptions extends ServerOptions, Omit<DockerDriverOptions, "onError"> {}

export interface ModalBrokerOptions extends ServerOptions, Omit<ModalDriverOptions, "onError"> {}

export interface SandboxBroker {
  /** Without a trailing slash. */
  readonly url: string;
  /** Which network sandboxes have; absent where they run elsewhere. */
  readonly network?: Network | undefined;
  /** The limits of each sandbox, and by what they hold; absent where sandboxes run elsewhere. */
  readonly limits?: ShownLimits | undefined;
  /** Stops serving and ends all processes of sandboxes on this machine; their files stay. Idempotent. */
  close(): Promise<void>;
  /** Refuses new sandboxes from now on, as if there were no room, while those that run go on. Idempotent; only a restart undoes it. */
  drain(): void;
}

/** How long finished answers may take to reach their callers when the broker closes. */
const FLUSH_MS = 500;

/**
 * Starts a sandbox broker whose sandboxes run on this machine.
 * @throws when an option is invalid, the address is in use, or another broker uses the state directory
 */
export function startSandboxBroker(options: SandboxBrokerOptions): Promise<SandboxBroker> {
  return serve(options, async (onError) => {
    // Imported on demand, as the server is: most commands of the CLI need other parts of this package only.
    const { startLocalDriver } = await import("./drivers/local.ts");
    return startLocalDriver({ ...options, onError });
  });
}

/**
 * Starts a sandbox broker whose sandboxes are containers.
 * @throws when an option is invalid, the address is in use, the engine cannot be used or does not have the image
 */
export function startDockerBroker(options: DockerBrokerOptions): Promise<SandboxBroker> {
  return serve(options, async (onError) => {
    // Imported on demand: the engine's library is large.
    const { startDockerDriver } = await import("./drivers/docker.ts");
    return startDockerDriver({ ...options, onError });
  });
}

/**
 * Starts a sandbox broker whose sandboxes run at Modal.
 * @throws when an option is invalid, the address is in use, or Modal cannot be used
 */
export function startModalBroker(options: ModalBrokerOptions): Promise<SandboxBroker> {
  return serve(options, async (onError) => {
    // Imported on demand: Modal's library is large, and the local driver does not need it.
    const { startModalDriver } = await import("./drivers/modal.ts");
    return startModalDriver({ ...options, onError });
  });
}

async function serve(
  options: ServerOptions,
  startDriver: (onError: (error: Error) => void) => Promise<Driver>,
): Promise<SandboxBroker> {
  const { secret, host = "127.0.0.1", port = 0, spanLimits } = options;
  const secrets = secret.split(",").map((each) => each.trim());
  if (!secrets.every((each) => /^\S{16,}$/.test(each)))
    throw new Error(
      "The secret, or each of several separated by commas, must have at least 16 characters and no spaces",
    );
  const onError = options.onError ?? ((error: Error) => console.error(`sandbox broker: ${error.message}`));
  const [{ createAdaptorServer }, { createApp }] = await Promise.all([import("@hono/node-server"), import("./app.ts")]);
  const driver = await startDriver(onError);
  let isDraining = false;
  const app = createApp({
    driver,
    secrets,
    isDraining: () => isDraining,
    spanLimits,
    onError: (error) => onError(error as Error),
  });
  const server = createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects: false });
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (error) {
    await driver.close();
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE")
      throw new Error(`${host}:${port} is in use. Choose another port.`);
    throw error;
  }
  let closing: Promise<void> | undefined;
  return {
    url: urlOf(server.address() as AddressInfo),
    network: driver.network,
    limits: driver.limits,
    close: () => {
      closing ??= closeAll(server, driver);
      return closing;
    },
    drain: () => {
      isDraining = true;
    },
  };
}

async function closeAll(server: ServerType, driver: Driver): Promise<void> {
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
