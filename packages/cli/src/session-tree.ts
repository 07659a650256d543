/** Arranges sessions as a tree, children below their parents. Pure. */

export interface TreeSession {
  readonly id: string;
  readonly parentSessionId?: string | undefined;
}

export interface PlacedSession<S> {
  readonly session: S;
  /** Distance from the first listed ancestor, which has 0. */
  readonly depth: number;
}

/**
 * Puts children below their parents, and otherwise keeps the order. A session whose parent is not listed becomes a
 * root; none is left out.
 */
export function placeSessions<S extends TreeSession>(sessions: readonly S[]): PlacedSession<S>[] {
  const ids = new Set(sessions.map(({ id }) => id));
  const byParent = Map.groupBy(sessions, ({ parentSessionId = "" }) =>
    ids.has(parentSessionId) ? parentSessionId : "",
  );
  const placed: PlacedSession<S>[] = [];
  const seen = new Set<string>();
  const place = (session: S, depth: number): void => {
    if (seen.has(session.id)) return;
    seen.add(session.id);
    placed.push({ session, depth });
    for (const child of byParent.get(session.id) ?? []) place(child, depth + 1);
  };
  for (const session of byParent.get("") ?? []) place(session, 0);
  // What remains are sessions in a cycle of parents.
  for (const session of sessions) place(session, 0);
  return placed;
}
