/** Where a webhook may be sent. Pure; asked when an endpoint is created, and before each delivery. */
import { isLoopbackHost, isPublicHost } from "./public-address.ts";

/** The maximum length of an endpoint's URL, in UTF-16 code units. */
export const MAX_WEBHOOK_URL = 2048;

/**
 * Returns why nothing may be sent to this URL; `undefined` if it may be.
 * @param allowsPrivate whether private networks, and http on this machine, are allowed (`VALET_WEBHOOKS_ALLOW_PRIVATE`)
 */
export function refuseWebhookUrl(text: string, allowsPrivate: boolean): string | undefined {
  const url = text.length > MAX_WEBHOOK_URL ? null : URL.parse(text);
  if (url === null) return "it is not a URL";
  const { protocol, hostname, username, password } = url;
  if (username !== "" || password !== "") return "it must not hold a user or a password; the signature authenticates";
  if (protocol !== "https:" && !(protocol === "http:" && allowsPrivate && isLoopbackHost(hostname))) {
    return "it must begin with https://";
  }
  if (!allowsPrivate && !isPublicHost(hostname)) {
    return "its host is a private address or a local name; VALET_WEBHOOKS_ALLOW_PRIVATE=true allows that where Valet runs";
  }
  return undefined;
}
