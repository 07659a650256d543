/**
 * Settles the hardware address of the bridge. A bridge to which nobody has given one has that of one of its containers, which changes as
 * they come and go; the others then look for the host in vain for seconds. Docker gives its bridges one, Podman does not.
 */
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { networkScript } from "./container-spec.ts";
import { type Engine, unlessMissing } from "./engine.ts";

/** How `addr_assign_type` says that somebody has set the address (`NET_ADDR_SET` of Linux). */
const SET = "3";

export interface BridgeAddressOptions {
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The bridge's address on this machine, which names it. */
  readonly gateway: string;
}

/** Does nothing for a bridge that this machine does not see. @throws what the engine answers, or Error if it does not work */
export async function settleAddress(engine: Engine, { image, labels, gateway }: BridgeAddressOptions): Promise<void> {
  const name = interfaceOf(gateway);
  if (name === undefined || !isUnsettled(name)) return;
  // Set to what it is. This process need not be root, but whoever may use the engine is.
  const script = `ip link set dev '${name}' address "$(cat '/sys/class/net/${name}/address')"`;
  const container = await engine.createContainer(networkScript({ image, labels }, script));
  try {
    await container.start();
    const { StatusCode } = await container.wait({ abortSignal: AbortSignal.timeout(WAIT_MS) });
    if (StatusCode !== 0)
      throw new Error(
        `The bridge ${name} could not be given a hardware address of its own: ip ended with ${StatusCode}`,
      );
  } finally {
    await unlessMissing(container.remove({ force: true }));
  }
}

const WAIT_MS = 10_000;

/** Returns the network interface that has an address; only names without special characters, which engines give. */
function interfaceOf(address: string): string | undefined {
  const [name] =
    Object.entries(networkInterfaces()).find(([, addresses]) => addresses?.some((each) => each.address === address)) ??
    [];
  return name !== undefined && /^[\w.-]+$/.test(name) ? name : undefined;
}

function isUnsettled(name: string): boolean {
  try {
    return readFileSync(`/sys/class/net/${name}/addr_assign_type`, "latin1").trim() !== SET;
  } catch {
    return false;
  }
}
