/** The parts of a local system whose sandboxes are containers: the broker with the driver `docker`, and the server on their bridge. */
import { createHash } from "node:crypto";
import { type DockerBrokerOptions, type SandboxBroker, startDockerBroker } from "@valet/sandbox";
import { openBridge } from "@valet/sandbox/bridge";
import { findNoContainers } from "@valet/sandbox/containers";
import { CHECKOUT } from "../checkout.ts";
import { UserError } from "../errors.ts";
import { type BridgeServer, startBridgeServer } from "./bridge-server.ts";
import { type ContainerSettings, containerSettings } from "./container-settings.ts";
import { sayIfSlow } from "./slow-step.ts";

export interface Containers {
  readonly broker: SandboxBroker;
  readonly bridge: BridgeServer;
  readonly settings: ContainerSettings;
  /** Stops the sandboxes, whose files stay, and what listens for them. */
  close(): Promise<void>;
}

export interface ContainerOptions
  extends Pick<DockerBrokerOptions, "secret" | "spanLimits" | "maxSandboxes" | "limits" | "isTemporary" | "onError"> {
  /** The state directory, which has its own sandboxes in the engine. */
  readonly stateDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Receives log lines. */
  readonly report: (line: string) => void;
}

/**
 * The bridge's port derives from the state directory, so that runners which have outlived a crash of their host find its successor. The
 * range is the part of that for private use (RFC 6335, section 6) from which Linux gives no connection its port (`ip_local_port_range`).
 */
const FIRST_PORT = 61_000;
const PORTS = 65_536 - FIRST_PORT;
/** What the image starts in each sandbox. */
const ENTRYPOINT = ["valet-entrypoint"] as const;

/** @throws UserError that says what to do, if the engine cannot be used or lacks the image */
export async function startContainers({ stateDir, env, report, ...rest }: ContainerOptions): Promise<Containers> {
  const settings = containerSettings(env);
  const { engine, image, network } = settings;
  const hash = createHash("sha256").update(stateDir).digest();
  const scope = `up-${hash.toString("hex").slice(0, 12)}`;
  const stops: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const each of stops.splice(0).reverse()) await each();
  };
  try {
    const waiting = <T>(step: Promise<T>) => sayIfSlow("Waiting for the container engine", report, step);
    const { gateway, hold } = await waiting(openBridge({ engine, scope, image, network }));
    const missing = await waiting(findNoContainers(engine, image, CHECKOUT));
    if (missing?.what === "version") report(`valet: SANDBOXES ARE OF ANOTHER VERSION: ${missing.reason}`);
    stops.push(await waiting(hold()));
    const bridge = await startBridgeServer(gateway, FIRST_PORT + (hash.readUInt16BE() % PORTS));
    stops.push(() => bridge.close());
    const broker = await sayIfSlow(
      "Looking for what an earlier host has left in the engine",
      report,
      startDockerBroker({ ...rest, entrypoint: ENTRYPOINT, engine, image, scope, network }),
    );
    stops.push(() => sayIfSlow("Stopping the sandboxes", report, broker.close()));
    return { broker, bridge, settings, close };
  } catch (error) {
    await close();
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== "EADDRNOTAVAIL") throw new UserError(message);
    throw new UserError(
      "The engine's bridge is not on this machine, so sandboxes could not reach Valet. Use an engine that runs here as root: not Docker Desktop, a rootless engine, or one on another machine.",
    );
  }
}
