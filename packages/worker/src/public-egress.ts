/** Requests to hosts that an owner names. Where the Worker could reach a private network, a service sends them (protocol/public-egress.ts). */
import { EGRESS_TARGET, EGRESS_URLS, EgressAnswer, type EgressPurpose } from "@valet/shared/protocol/public-egress";

interface Sending {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

/** Sends a request through the service. Rejects if the service is away, or the signal aborts; never for what the host does. */
export async function throughEgress(
  egress: Fetcher,
  purpose: EgressPurpose,
  url: string,
  { headers, ...init }: Sending,
): Promise<EgressAnswer> {
  const response = await egress.fetch(EGRESS_URLS[purpose], { ...init, headers: { ...headers, [EGRESS_TARGET]: url } });
  return EgressAnswer.parse(await response.json());
}
