/**
 * Sends webhooks, and questions about repositories, for the Worker of `valet up`, whose machine can reach private networks. A name is
 * resolved here, each address is checked, and the connection is made to a checked one: what the name means a moment later does not
 * matter (DNS rebinding).
 */
import { type LookupAddress, lookup } from "node:dns";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { LookupFunction } from "node:net";
import { isPublicAddress } from "@valet/shared/http/public-address";
import { refuseWebhookUrl } from "@valet/shared/http/webhook-url";
import {
  EGRESS_TARGET,
  EGRESS_URLS,
  type EgressAnswer,
  type EgressPurpose,
  MAX_GIT_ANSWER_BYTES,
} from "@valet/shared/protocol/public-egress";

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
  /** One of {@link EGRESS_URLS}. */
  readonly url: string;
  readonly method: string;
  readonly headers: Iterable<[string, string]> & { get(name: string): string | null };
  text(): Promise<string>;
}

interface Purpose {
  /** Only these headers are sent to the host. */
  readonly sent: RegExp;
  /** How long the whole request may take, name and connection included, in ms. */
  readonly timeoutMs: number;
  /** How much of the answer is read, in bytes. */
  readonly readBytes: number;
}

const PURPOSES: { readonly [purpose in EgressPurpose]: Purpose } = {
  webhook: { sent: /^(?:content-type|user-agent|webhook-[a-z]+)$/, timeoutMs: 15_000, readBytes: 0 },
  git: {
    sent: /^(?:content-type|user-agent|git-protocol|authorization)$/,
    timeoutMs: 3000,
    readBytes: MAX_GIT_ANSWER_BYTES,
  },
};

class PrivateAddressError extends Error {
  override readonly name = "PrivateAddressError";
}

/** Returns what answers the Worker's requests (protocol/public-egress.ts). It never rejects for what a host does. */
export function createEgress(options: EgressOptions): (request: EgressRequest) => Promise<EgressAnswer> {
  return async (request) => {
    const { url, method, headers: given } = request;
    const purpose = url === EGRESS_URLS.git ? PURPOSES.git : PURPOSES.webhook;
    const target = given.get(EGRESS_TARGET) ?? "";
    const refusal = refuseWebhookUrl(target, options.allowsPrivate);
    if (refusal !== undefined) return { error: `the URL is refused: ${refusal}` };
    const headers = Object.fromEntries([...given].filter(([name]) => purpose.sent.test(name)));
    const { timeoutMs = purpose.timeoutMs } = options;
    try {
      const body = method === "GET" ? undefined : await request.text();
      return await send(
        new URL(target),
        { method, headers, body, lookup: guard(options), timeoutMs },
        purpose.readBytes,
      );
    } catch (error) {
      return { error: textOf(error, timeoutMs) };
    }
  };
}

interface Sending {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body: string | undefined;
  readonly lookup: LookupFunction;
  readonly timeoutMs: number;
}

/** Sends once, and follows no redirect. */
function send(url: URL, { timeoutMs, body, ...init }: Sending, readBytes: number): Promise<EgressAnswer> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const fail = (error: unknown) => reject(signal.aborted ? signal.reason : error);
    const request = url.protocol === "https:" ? requestHttps : requestHttp;
    // No agent: a connection of before may lead to an address that is not what the name says now.
    const sent = request(url, { ...init, agent: false, signal });
    sent.once("response", (response) => {
      const { statusCode: status = 0, headers } = response;
      const contentType = headers["content-type"] ?? null;
      readStart(response, readBytes).then((text) => resolve({ status, contentType, text }), fail);
    });
    // It also comes after the answer, which has settled the promise then.
    sent.on("error", fail);
    sent.end(body);
  });
}

/** Returns the beginning of an answer as text, and ends its connection. */
async function readStart(response: IncomingMessage, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    if (limit === 0) return "";
    for await (const chunk of response) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes >= limit) break;
    }
    return Buffer.concat(chunks).subarray(0, limit).toString();
  } finally {
    response.destroy();
  }
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
