import { PAGE_TICKET_LIFETIME_MS } from "@valet/shared/protocol/page-sessions";

/**
 * Returns what people read of a sign-in link.
 * @param url `undefined` if there is none, because the database did not answer
 * @param another the command that prints another one
 */
export function signInLine(url: string | undefined, another = "pnpm valet open"): string {
  if (url === undefined) return `\`${another}\` prints a link that signs a browser in.`;
  const minutes = PAGE_TICKET_LIFETIME_MS / 60_000;
  return `Open ${url}\n     (it signs a browser in once, within ${minutes} minutes; \`${another}\` prints another one)`;
}
