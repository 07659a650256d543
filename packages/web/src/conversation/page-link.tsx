import { useRouter } from "@tanstack/react-router";
import type { MouseEvent, ReactNode } from "react";

interface PageLinkProps {
  /** A route's path, with its parameters: `/sessions/$sessionId/traces/$traceId`. */
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
  readonly search?: Readonly<Record<string, string | undefined>>;
  readonly className?: string;
  readonly children: ReactNode;
}

/** A link to a page of the session; nothing where this version has no such page. */
export function PageLink({ path, params, search = {}, className, children }: PageLinkProps) {
  const router = useRouter();
  if (!hasPage(router, path)) return null;
  const href = pageHref(path, params, search);
  const follow = (event: MouseEvent) => {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    router.history.push(href);
  };
  return (
    <a href={href} className={className} onClick={follow}>
      {children}
    </a>
  );
}

/** Returns whether this version has a page. */
export function hasPage({ routesByPath }: ReturnType<typeof useRouter>, path: string): boolean {
  return Object.keys(routesByPath).includes(path);
}

/** Returns the address of a page. */
export function pageHref(
  path: string,
  params: Readonly<Record<string, string>>,
  search: Readonly<Record<string, string | undefined>>,
): string {
  const filled = path.replace(/\$(\w+)/g, (_all, name: string) => encodeURIComponent(params[name] ?? ""));
  const given = Object.entries(search).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const query = new URLSearchParams(given).toString();
  return query === "" ? filled : `${filled}?${query}`;
}
