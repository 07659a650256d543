/** Links in what an agent wrote. Pure. */

interface SafeLink {
  readonly href: string;
  /** Where it leads, as people check it. */
  readonly host: string;
}

/** Returns a link that may be followed: to http or https, without a user or password in it; `undefined` for any other. */
export function safeLink(href: string | undefined): SafeLink | undefined {
  if (href === undefined || !/^https?:\/\//i.test(href)) return undefined;
  const url = URL.parse(href);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) return undefined;
  if (url.username !== "" || url.password !== "") return undefined;
  return { href: url.href, host: url.host };
}

/** Returns whether a link's text already says where it leads. */
export function namesTarget(text: string, { href, host }: SafeLink): boolean {
  const said = text.trim();
  return said === href || `${said}/` === href || said === host || said.replace(/^https?:\/\//, "") === `${host}/`;
}
