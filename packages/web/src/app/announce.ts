/** Short messages: read out politely, and shown for a moment if they answer what a person just did. */

interface Announcement {
  readonly id: number;
  readonly text: string;
  readonly isShown: boolean;
  readonly isBad: boolean;
}

const SHOWN_MS = 5_000;
const SHOWN_BAD_MS = 12_000;

let current: readonly Announcement[] = [];
let nextId = 1;
const listeners = new Set<() => void>();

function replace(next: readonly Announcement[]): void {
  current = next;
  for (const listener of listeners) listener();
}

/**
 * Announces a sentence.
 * @param isShown show it, too, for a few seconds
 * @param isBad something failed: it is shown for longer
 */
export function announce(text: string, { isShown = false, isBad = false } = {}): void {
  const one = { id: nextId++, text, isShown: isShown || isBad, isBad };
  replace([...current.slice(-2), one]);
  setTimeout(() => dismiss(one.id), isBad ? SHOWN_BAD_MS : SHOWN_MS);
}

export function dismiss(id: number): void {
  replace(current.filter((one) => one.id !== id));
}

/** For `useSyncExternalStore`. */
export const announcements = {
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  read: (): readonly Announcement[] => current,
};
