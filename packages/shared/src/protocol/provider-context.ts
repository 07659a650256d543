/** Which trace context the agent's model calls carry to their providers and gateways. */
import { z } from "zod";

/** `host` or `host:port`, as in a URL. Without a port it stands for every port. */
const ListedHost = z
  .string()
  .trim()
  .toLowerCase()
  .regex(
    /^(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/,
    "must be hosts, host or host:port, separated by commas",
  );

export const ProviderContext = z.object({
  /** Whether calls carry the `traceparent` of their span. */
  traceparent: z.boolean(),
  /** The hosts to which they also carry its `tracestate`, which holds what others have written. */
  tracestateHosts: z.array(ListedHost).max(100, "must be at most 100 hosts, separated by commas"),
});
export type ProviderContext = z.infer<typeof ProviderContext>;

export const DEFAULT_PROVIDER_CONTEXT: ProviderContext = { traceparent: true, tracestateHosts: [] };

const DEFAULT_PORTS: Readonly<Record<string, string>> = { "http:": "80", "https:": "443" };

/** Returns whether a URL's host is on a list of hosts. A text that is no URL is on none. */
export function isListed(url: string, hosts: readonly string[]): boolean {
  const { hostname, port, protocol } = URL.parse(url) ?? {};
  if (hostname === undefined || protocol === undefined) return false;
  return hosts.includes(hostname) || hosts.includes(`${hostname}:${port || DEFAULT_PORTS[protocol]}`);
}
