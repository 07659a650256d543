/**
 * How requests are authenticated: by the session cookie, which scripts cannot read, or by a pasted token, which stays in this
 * variable and is gone with the page.
 */
let pastedToken: string | undefined;

/** Uses a token for all further requests of this page; `undefined` forgets it. */
export function setToken(token: string | undefined): void {
  pastedToken = token;
}

/** Returns the headers of authentication. The API takes a change by cookie only with the header that other sites cannot send. */
export function accessHeaders(): Record<string, string> {
  return { "x-valet-csrf": "1", ...(pastedToken !== undefined && { authorization: `Bearer ${pastedToken}` }) };
}
