/** Names of sessions and repositories. Pure. */

interface Named {
  readonly id: string;
  readonly title?: string | null | undefined;
}

/** Returns a session's title; without one its id, shortened. */
export function sessionTitle({ id, title }: Named): string {
  const shown = title?.trim() ?? "";
  return shown === "" ? shortSessionId(id) : shown;
}

/** Returns the first letters of a session's id, which tell the sessions of a person apart: `ses_4g30hpa9…`. */
export function shortSessionId(id: string): string {
  return id.length <= 12 ? id : `${id.slice(0, 12)}…`;
}

/** Returns the owner and the name of a repository: `acme/shop`. Of another URL its last parts; `undefined` without one. */
export function repositoryName(url: string | null | undefined): string | undefined {
  if (url === null || url === undefined) return undefined;
  // `user@host:path` has no scheme.
  const path = /^[\w.-]+@[^/:]+:/.test(url) ? url.slice(url.indexOf(":") + 1) : (URL.parse(url)?.pathname ?? url);
  const parts = path
    .replace(/\.git\/?$/, "")
    .split("/")
    .filter((part) => part !== "");
  return parts.length === 0 ? url : parts.slice(-2).join("/");
}
