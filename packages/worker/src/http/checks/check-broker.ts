/** Asks the sandbox broker how it is. */
import { BrokerHealth } from "@valet/shared/protocol/sandbox-broker";
import type { SystemView } from "@valet/shared/protocol/system";

/** How long the broker may take, in ms. */
const LIMIT_MS = 3000;

/** Never rejects. @param url the broker's, without a slash at its end */
export async function checkBroker(url: string, send: typeof fetch = fetch): Promise<SystemView["broker"]> {
  const unknown = { host: new URL(url).host, driver: null, awake: null, isDraining: null };
  let answer: unknown;
  try {
    const response = await send(`${url}/v1/health`, { redirect: "manual", signal: AbortSignal.timeout(LIMIT_MS) });
    // A proxy whose broker is away.
    if (response.status >= 500) {
      await response.body?.cancel();
      return { ...unknown, state: "unreachable" };
    }
    answer = await response.json().catch(() => undefined);
  } catch {
    return { ...unknown, state: "unreachable" };
  }
  const health = BrokerHealth.safeParse(answer);
  if (!health.success) return { ...unknown, state: "not_a_broker" };
  const { driver, awake = null, isDraining = null } = health.data;
  return { host: unknown.host, state: "ok", driver, awake, isDraining };
}
