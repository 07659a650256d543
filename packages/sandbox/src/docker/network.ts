/** The network of the sandboxes of one scope: a bridge of its own, whose address on the host is known. */
import { type Engine, statusOf, unlessMissing } from "./engine.ts";

export interface SandboxNetwork {
  readonly name: string;
  /** The host's address on this bridge, by which sandboxes reach the host. */
  readonly gateway: string | undefined;
}

/** Returns the name of a scope's own network. */
export function networkOf(scope: string): string {
  return `valet-${scope}`;
}

/** Removes a network if nothing uses it. Never rejects: it is no harm if it stays, and the next host of the scope uses it again. */
export async function removeNetwork(engine: Engine, name: string): Promise<void> {
  await engine
    .getNetwork(name)
    .remove()
    .catch(() => {});
}

/**
 * Returns the network of this name, which is created if it is missing. Docker then forbids traffic between its containers; Podman
 * ignores that setting.
 */
export async function ensureNetwork(engine: Engine, name: string): Promise<SandboxNetwork> {
  const network = engine.getNetwork(name);
  let found = await unlessMissing(network.inspect());
  if (found === undefined) {
    try {
      await engine.createNetwork({
        Name: name,
        Driver: "bridge",
        // Docker before version 25 otherwise makes a second one of the same name.
        CheckDuplicate: true,
        Options: { "com.docker.network.bridge.enable_icc": "false" },
        Labels: { "valet-network": "1" },
      });
    } catch (error) {
      // Another broker may have created it meanwhile.
      if (statusOf(error) !== 409) throw error;
    }
    found = await network.inspect();
  }
  const configs: readonly { readonly Gateway?: string | undefined }[] = found?.IPAM?.Config ?? [];
  return { name, gateway: configs.find(({ Gateway }) => Gateway?.includes("."))?.Gateway };
}
