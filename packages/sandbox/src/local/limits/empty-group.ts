/** Empties a control group whose processes may start others, or end, while they are moved. */

export interface Group {
  /** Returns the processes that are in it now. */
  members(): readonly number[];
  /** Whether these may be moved. One that has ended may. */
  areOwn(pids: readonly number[]): boolean;
  /** @throws if it has ended, or must not be moved */
  move(pid: number): void;
}

/** A process that starts others faster than they are moved is not followed forever. */
const MAX_ROUNDS = 20;

/** Moves all processes out of a group, unless one of them is another's. @returns whether none is left in it */
export function emptied({ members, areOwn, move }: Group): boolean {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const pids = members();
    if (pids.length === 0) return true;
    if (!areOwn(pids)) return false;
    for (const pid of pids) {
      try {
        move(pid);
      } catch {
        // If it has not ended, it is still there the next time.
      }
    }
  }
  return false;
}
