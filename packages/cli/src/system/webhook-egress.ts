/**
 * Sends webhooks for the Worker of `valet up`, whose machine can reach private networks. A name is resolved here, each address is
 * checked, and the connection is made to a checked one: what the name means a moment later does not matter (DNS rebinding).
 */
import { type LookupAddress, lookup } from "node:dns";
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { LookupFunction } from "node:net";
import { isPublicAddress } from "@valet/shared/http/public-address";
import { refuseWebhookUrl } from "@valet/shared/http/webhook-url";
import { EGRESS_TARGET, type EgressAnswer } from "@valet/shared/protocol/webhook-egress";

export interface EgressOptions {
  /** Whether private networks, and http on this machine, are allowed. */
  readonly allowsPrivate: boolean;
  /** Returns the addresses of a name; as the machine resolves it if omitted. */
  readonly resolve?: (name: string) => Promise<readonly LookupAddress[]>;
  /** Whether a connection to an address is allowed; only public ones are if omitted. */
  readonly isAllowed?: (address: string) => boolean;
  readonly timeoutMs?: number;
}

interface EgressRequest {
  readonly headers: Iterable<[string, string]> & { get(name: string): string | null };
  text(): Promise<string>;
}

/** How long the whole request may take, name and connection included, in ms. */
const TIMEOUT_MS = 15_000;
/** Only these headers are sent to the endpoint. */
const SENT = /^(?:content-type|user-agent|webhook-[a-z]+)$/;

class PrivateAddressError extends Error {
  override readonly name = "PrivateAddressError";
}

/** Returns what answers the Worker's requests (protocol/webhook-egress.ts). It never rejects for what an endpoint does. */
export function createEgress(options: EgressOptions): (request: EgressRequest) => Promise<EgressAnswer> {
  return async (request) => {
    const target = request.headers.get(EGRESS_TARGET) ?? "";
    const refusal = refuseWebhookUrl(target, options.allowsPrivate);
    if (refusal !== undefined) return { error: `the URL is refused: ${refusal}` };
    const headers = Object.fromEntries([...request.headers].filter(([name]) => SENT.test(name)));
    const { timeoutMs = TIMEOUT_MS } = options;
    try {
      return { status: await send(new URL(target), headers, await request.text(), guard(options), timeoutMs) };
    } catch (error) {
      return { error: textOf(error, timeoutMs) };
    }
  };
}

/** Posts once, and follows no redirect. @returns the status; nothing else of the answer is read */
function send(
  url: URL,
  headers: Record<string, string>,
  body: string,
  lookup: LookupFunction,
  timeoutMs: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const request = url.protocol === "https:" ? requestHttps : requestHttp;
    // No agent: a connection of before may lead to an address that is not what the name says now.
    const sent = request(url, { method: "POST", headers, agent: false, lookup, signal });
    sent.once("response", (response) => {
      resolve(response.statusCode ?? 0);
      response.destroy();
    });
    // It also comes after the answer, which has settled the promise then.
    sent.on("error", (error) => reject(signal.aborted ? signal.reason : error));
    sent.end(body);
  });
}

/** Returns the look-up of a connection, which yields allowed addresses only. It is not asked for a URL's literal address. */
function guard({ allowsPrivate, resolve = resolveHere, isAllowed = isPublicAddress }: EgressOptions): LookupFunction {
  return (name, { all }, done) => {
    const answer = async () => {
      const found = await resolve(name);
      const [first, ...others] = allowsPrivate ? found : found.filter(({ address }) => isAllowed(address));
      if (first === undefined) throw new PrivateAddressError();
      return [first, ...others] as const;
    };
    answer().then(
      (addresses) => (all ? done(null, [...addresses]) : done(null, addresses[0].address, addresses[0].family)),
      (error: NodeJS.ErrnoException) => done(error, []),
    );
  };
}

function resolveHere(name: string): Promise<LookupAddress[]> {
  return new Promise((resolve, reject) =>
    lookup(name, { all: true }, (error, addresses) => (error === null ? resolve(addresses) : reject(error))),
  );
}

function textOf(error: unknown, timeoutMs: number): string {
  const { name, code } = error as NodeJS.ErrnoException;
  if (name === "TimeoutError") return `no answer within ${timeoutMs / 1000} s`;
  if (error instanceof PrivateAddressError) return "the name of its host leads to private addresses only";
  return typeof code === "string" ? `no connection (${code})` : "no connection";
}
