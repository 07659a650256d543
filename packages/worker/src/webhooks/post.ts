/** Sends one event to an endpoint, once, signed after Standard Webhooks. Never rejects for what the endpoint does. */
import { refuseWebhookUrl } from "@valet/shared/http/webhook-url";
import { Webhook } from "standardwebhooks";
import type { Env } from "../bindings.ts";
import { allowsPrivateHosts } from "../config.ts";
import { throughEgress } from "../public-egress.ts";

/** How long an endpoint may take to answer, in ms. */
export const ANSWER_MS = 15_000;
/** How much longer the egress service may take, which has the same limit, in ms. */
const EGRESS_MS = 2000;

export interface Posting {
  readonly url: string;
  /** The same for each try of one event. */
  readonly id: string;
  /** JSON. */
  readonly body: string;
  /** The secrets to sign with. */
  readonly secrets: readonly string[];
  readonly nowMs: number;
}

/** The status that the endpoint answered with, or why there is none. */
export type Posted = { readonly status: number } | { readonly error: string };

export async function post(env: Env, posting: Posting): Promise<Posted> {
  const { url, secrets, id, body, nowMs } = posting;
  const refusal = refuseWebhookUrl(url, allowsPrivateHosts(env));
  if (refusal !== undefined) return { error: `the URL is refused: ${refusal}` };
  const timestamp = new Date(nowMs);
  const headers = {
    "content-type": "application/json",
    "user-agent": "Valet-Webhooks",
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(nowMs / 1000)),
    "webhook-signature": secrets.map((secret) => new Webhook(secret).sign(id, timestamp, body)).join(" "),
  };
  // Not a timeout's own signal: its timer would keep the object in memory after the answer.
  const late = new AbortController();
  const egressMs = env.PUBLIC_EGRESS === undefined ? 0 : EGRESS_MS;
  const timer = setTimeout(() => late.abort(), ANSWER_MS + egressMs);
  try {
    return await send(env, url, { headers, body, signal: late.signal });
  } catch {
    return { error: late.signal.aborted ? `no answer within ${ANSWER_MS / 1000} s` : "no connection" };
  } finally {
    clearTimeout(timer);
  }
}

interface Sending {
  readonly headers: Record<string, string>;
  readonly body: string;
  readonly signal: AbortSignal;
}

async function send(env: Env, url: string, { headers, body, signal }: Sending): Promise<Posted> {
  const egress = env.PUBLIC_EGRESS;
  if (egress !== undefined) return throughEgress(egress, "webhook", url, { method: "POST", headers, body, signal });
  const response = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal });
  // Only the status counts, so nothing of the answer is read.
  await response.body?.cancel();
  return { status: response.status };
}

/** Returns why a try failed; `undefined` if the endpoint has the event. */
export function failureOf(posted: Posted): string | undefined {
  if ("error" in posted) return posted.error;
  const { status } = posted;
  if (status >= 200 && status < 300) return undefined;
  return status >= 300 && status < 400 ? `HTTP ${status}: redirects are not followed` : `HTTP ${status}`;
}
