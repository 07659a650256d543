/** The bridge between this machine and its sandboxes in containers, for a host that listens there. */
import { settleAddress } from "./bridge-address.ts";
import { idleContainer } from "./container-spec.ts";
import {
  answers,
  connectEngine,
  describeEngineError,
  type Engine,
  hasImage,
  imageMissing,
  requireEngine,
  unlessMissing,
} from "./engine.ts";
import { ensureNetwork, networkOf, removeNetwork } from "./network.ts";

export interface HostBridge {
  /** The address of this machine on the bridge. */
  readonly gateway: string;
  /**
   * Makes the address exist until the function that it resolves to is called, which never rejects: Podman removes a bridge with its last
   * container. That function removes the network, too, if it is the scope's own and nothing uses it: engines have room for few.
   */
  hold(): Promise<() => Promise<void>>;
}

export interface BridgeOptions {
  readonly engine: string | undefined;
  readonly scope: string;
  readonly image: string;
  readonly network?: string | undefined;
}

/** The label of the container that keeps a bridge. */
const KEEPS_BRIDGE = "valet-keeps-bridge";

/** @throws Error that says what to do, if the engine cannot be reached, lacks the image, or its network has no address here */
export async function openBridge({ engine: host, scope, image, network }: BridgeOptions): Promise<HostBridge> {
  const engine = connectEngine(host);
  await requireEngine(engine);
  if (!(await hasImage(engine, image))) throw new Error(`Sandboxes cannot start: ${imageMissing(image)}`);
  const isOwn = network === undefined;
  return described(async () => {
    const { name, gateway } = await ensureNetwork(engine, network ?? networkOf(scope));
    if (gateway === undefined) throw new Error(`The engine's network ${name} has no IPv4 address of this machine`);
    return { gateway, hold: () => described(() => hold(engine, { scope, image, network: name, gateway, isOwn })) };
  });
}

interface HoldOptions {
  readonly scope: string;
  readonly image: string;
  readonly network: string;
  readonly gateway: string;
  /** Whether the network is the scope's own. */
  readonly isOwn: boolean;
}

async function hold(engine: Engine, { scope, image, network, gateway, isOwn }: HoldOptions) {
  const labels = { "valet-scope": scope, [KEEPS_BRIDGE]: "1" };
  const left = await engine.listContainers({ all: true, filters: { label: [KEEPS_BRIDGE, `valet-scope=${scope}`] } });
  // A container that still runs in this network keeps its bridge, and is used again.
  const running = left.find(
    ({ State, NetworkSettings }) => State === "running" && NetworkSettings.Networks[network] !== undefined,
  );
  for (const each of left)
    if (each !== running) await unlessMissing(engine.getContainer(each.Id).remove({ force: true }));
  const container =
    running === undefined
      ? await engine.createContainer(idleContainer({ image, labels, network }))
      : engine.getContainer(running.Id);
  const release = async () => {
    // What is left if the engine is away, the scope's next host removes.
    if (!(await answers(engine))) return;
    await container.remove({ force: true }).catch(() => {});
    if (isOwn) await removeNetwork(engine, network);
  };
  try {
    if (running === undefined) await container.start();
    await settleAddress(engine, { image, labels, gateway });
  } catch (error) {
    await release();
    throw error;
  }
  return release;
}

/** Replaces the text of an engine's refusal, which may quote variables. */
async function described<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Error && !("statusCode" in error || "code" in error)) throw error;
    throw new Error(`The container engine cannot be used: ${describeEngineError(error)}`, { cause: error });
  }
}
