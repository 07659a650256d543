/**
 * What is kept while a person is on other pages, until the page is loaded anew: what they have read and set up on a page (folds, zoom, the
 * place in a list), and what they are writing.
 */
import { useState, useSyncExternalStore } from "react";

const MAX_KEPT = 20;

/** A draft lasts longer than a view: until it has arrived, or its writer signs out. */
type Kind = "view" | "draft";

const everyKept: Kept<unknown>[] = [];

/** Forgets all that is kept of a kind: the next person of this page may be another one. */
export function forgetKept(kind: Kind): void {
  for (const kept of everyKept) if (kept.kind === kind) kept.clear();
}

/** Values by key. */
export class Kept<T> {
  readonly #values = new Map<string, T>();
  readonly #listeners = new Set<() => void>();
  readonly #max: number;
  readonly kind: Kind;
  #generation = 0;

  /** @param max how many values are kept; those that were written last stay */
  constructor(kind: Kind = "view", max = kind === "view" ? MAX_KEPT : Number.POSITIVE_INFINITY) {
    this.kind = kind;
    this.#max = max;
    everyKept.push(this);
  }

  /** Increases with each {@link clear}. What began before and ends later must not write any more. */
  get generation(): number {
    return this.#generation;
  }

  clear(): void {
    this.#generation += 1;
    this.#values.clear();
    this.#tell();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  get(key: string): T | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: T): void {
    this.#values.delete(key);
    this.#values.set(key, value);
    const [oldest] = this.#values.keys();
    if (oldest !== undefined && this.#values.size > this.#max) this.#values.delete(oldest);
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** Returns what is kept, whoever changes it: also a component that is gone, whose request was answered late. */
export function useKeptNow<T>(kept: Kept<T>, key: string, initial: T): T {
  return useSyncExternalStore(kept.subscribe, () => kept.get(key) ?? initial);
}

/** State as that of `useState`, which is there again when the component is; each key has its own. */
export function useKept<T>(kept: Kept<T>, key: string, initial: T): readonly [T, (change: (before: T) => T) => void] {
  const [held, setHeld] = useState(() => ({ key, value: kept.get(key) ?? initial }));
  const current = held.key === key ? held : { key, value: kept.get(key) ?? initial };
  if (current !== held) setHeld(current);
  const change = (make: (before: T) => T) => {
    setHeld((before) => {
      const value = make(before.key === key ? before.value : (kept.get(key) ?? initial));
      kept.set(key, value);
      return { key, value };
    });
  };
  return [current.value, change];
}
