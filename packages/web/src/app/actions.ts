/**
 * What a person can do on the page now: the keys, the list of keys and the command palette show the same actions. A page registers
 * its own while it is shown ({@link useActions}); of two with the same key, the one that was registered last runs.
 */
import { useLayoutEffect, useRef } from "react";
import { announce } from "./announce.ts";
import { type Action, actionsFor, type Registered } from "./choose-action.ts";
import { keyOf, parseKeys, shownKey } from "./keys.ts";
import { areSingleKeysOn } from "./preferences.ts";

export type { Action } from "./choose-action.ts";

const SECOND_PRESS_MS = 3_000;

let registered: readonly Registered[] = [];
let awaiting: { readonly keys: string; readonly untilMs: number } | undefined;
const listeners = new Set<() => void>();

function replace(next: readonly Registered[]): void {
  registered = next;
  for (const listener of listeners) listener();
}

/** Registers actions. @returns a function that removes them */
function registerActions(actions: readonly Action[]): () => void {
  const mine = actions.map((action) => ({ action, keys: parseKeys(action.keys) }));
  replace([...registered, ...mine]);
  return () => replace(registered.filter((one) => !mine.includes(one)));
}

/** For `useSyncExternalStore`: all actions of now. */
export const allActions = {
  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  read: (): readonly Registered[] => registered,
};

/** Registers a component's actions while it is shown. Their `run` is that of the last render. */
export function useActions(actions: readonly Action[]): void {
  const latest = useRef(actions);
  latest.current = actions;
  // Functions are no part of it: they are those of the last render.
  const shape = JSON.stringify(actions);
  // Before anybody sees what the actions are for: a key that is pressed as soon as it is seen has its effect.
  useLayoutEffect(() => {
    const shown = JSON.parse(shape) as Omit<Action, "run" | "applies">[];
    return registerActions(
      shown.map((one, index) => ({
        ...one,
        applies: () => latest.current[index]?.applies?.() ?? true,
        run: (key) => latest.current[index]?.run(key),
      })),
    );
  }, [shape]);
}

/** What an input method reports as the code of a key that it takes, where the browser does not say that it composes. */
const TAKEN_BY_INPUT_METHOD = 229;

/**
 * Keeps a key from the page that belongs to an input method: Escape takes back what is being composed and Enter takes it over, and nothing
 * is to be closed, sent or left by them. To be called first for each `keydown`, before anything else hears it.
 */
export function keepComposition(event: KeyboardEvent): void {
  if (event.isComposing || event.keyCode === TAKEN_BY_INPUT_METHOD) event.stopImmediatePropagation();
}

/** Runs the action of a key. To be called for each `keydown` of the document. */
export function handleKey(event: KeyboardEvent): void {
  if (event.defaultPrevented) return;
  const pressed = keyOf(event);
  const situation = {
    isWriting: takesText(event.target),
    isOverlaid: document.querySelector('[role="dialog"], [role="menu"]') !== null,
    areSingleKeysOn: areSingleKeysOn(),
  };
  for (const action of actionsFor(pressed, registered, situation)) {
    // A key that is held down is one press.
    if (action.asksTwice === true && event.repeat) return;
    if (action.asksTwice === true && !isSecondPress(pressed)) {
      awaiting = { keys: pressed, untilMs: Date.now() + SECOND_PRESS_MS };
      announce(`Press ${shownKey(pressed)} again: ${action.label}.`, { isShown: true });
      event.preventDefault();
      return;
    }
    awaiting = undefined;
    if (action.run(pressed) === false) continue;
    event.preventDefault();
    return;
  }
}

function isSecondPress(keys: string): boolean {
  return awaiting?.keys === keys && Date.now() < awaiting.untilMs;
}

function takesText(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement)
    return true;
  return (
    target instanceof HTMLInputElement && !["checkbox", "radio", "button", "submit", "range"].includes(target.type)
  );
}
