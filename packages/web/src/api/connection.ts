/** Whether the server answers: what all requests and sockets of the page learn, in one place. */

/** `since` is the time of the last answer, in epoch ms. */
export type Connection = { readonly state: "live" } | { readonly state: "offline"; readonly since: number };

const LIVE: Connection = { state: "live" };

let current: Connection = LIVE;
let lastAnswer = Date.now();
const listeners = new Set<() => void>();

function change(next: Connection): void {
  current = next;
  for (const listener of listeners) listener();
}

/** Notes that the server has answered. */
export function noteAnswer(): void {
  lastAnswer = Date.now();
  if (current.state !== "live") change(LIVE);
}

/** Notes that the server could not be reached. */
export function noteSilence(): void {
  if (current.state === "live") change({ state: "offline", since: lastAnswer });
}

/** Notes that a request has waited for long. @param sentMs since when, epoch ms: another answer that came later says that the server lives */
export function noteSlowness(sentMs: number): void {
  if (lastAnswer <= sentMs) noteSilence();
}

/** For `useSyncExternalStore`. */
export const connection = {
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  read: (): Connection => current,
};
