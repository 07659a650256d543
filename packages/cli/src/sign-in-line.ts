import { PAGE_TICKET_LIFETIME_MS } from "@valet/shared/protocol/page-sessions";

/** Returns what people read of a sign-in link. */
export function signInLine(url: string): string {
  return `Open ${url}\n     (it signs a browser in once, within ${PAGE_TICKET_LIFETIME_MS / 60_000} minutes; \`pnpm valet open\` prints another one)`;
}
