/** The first cause of a failed turn: what people see, filter by and group by. Pure. */

/** Returns why the last model or the first failed step failed, where that is known; else the turn's own error; `null` if it has none. */
export function firstCause<T extends string, C extends string>(turn: {
  readonly error_type: T | null;
  readonly error_cause: C | null;
}): T | C | null {
  return turn.error_cause ?? turn.error_type;
}
