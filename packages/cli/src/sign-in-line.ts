import { PAGE_TICKET_LIFETIME_MS } from "@valet/shared/protocol/page-sessions";

/** Returns what people read of a sign-in link. @param another the command that prints another one */
export function signInLine(url: string, another = "pnpm valet open"): string {
  const minutes = PAGE_TICKET_LIFETIME_MS / 60_000;
  return `Open ${url}\n     (it signs a browser in once, within ${minutes} minutes; \`${another}\` prints another one)`;
}
