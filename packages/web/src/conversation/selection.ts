/** What is selected, as the URL says; each may be absent. Pure. */
export interface Selection {
  readonly message?: string;
  readonly span?: string;
  readonly channel?: string;
}

/** Returns the selection without one of its fields. */
export function without<K extends keyof Selection>(selection: Selection, key: K): Omit<Selection, K> {
  const { [key]: _left, ...rest } = selection;
  return rest;
}
