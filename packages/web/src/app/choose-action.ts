/** What an action is, and which one a key runs. Pure. */
import { isCharacterKey } from "./keys.ts";

export interface Action {
  /** What it does, as a verb: "Write an answer". */
  readonly label: string;
  /** The heading in the list of keys and in the palette: "Inbox". */
  readonly group: string;
  /** For example `j`, `Shift+N`, `Ctrl+K`, `ArrowDown`; several are separated by a space. Without any, only the palette has it. */
  readonly keys?: string;
  /** Returns whether it can be done now; absent if it always can. */
  readonly applies?: () => boolean;
  /** It ends or deletes something: its key has to be pressed twice. */
  readonly asksTwice?: boolean;
  /** The palette does not list it, for example moves of the selection. */
  readonly isKeyOnly?: boolean;
  /**
   * Gets the key that was pressed; from the palette, none. Returns `false` if it does not apply now: then the key goes on to the
   * browser.
   */
  readonly run: (key?: string) => unknown;
}

/** An action with the names of its keys. */
export interface Registered {
  readonly action: Action;
  readonly keys: readonly string[];
}

export interface Situation {
  /** Whether the focus is where text is written. */
  readonly isWriting: boolean;
  /** Whether a dialog or a menu is open, which has keys of its own. */
  readonly isOverlaid: boolean;
  /** Whether a person has left shortcuts of single characters on. */
  readonly areSingleKeysOn: boolean;
}

/**
 * Returns the actions that a key may run now, the one to try first at the front: what was registered last comes first.
 * Where text is written, and above the page, only keys with Ctrl do something.
 */
export function actionsFor(
  pressed: string,
  registered: readonly Registered[],
  { isWriting, isOverlaid, areSingleKeysOn }: Situation,
): Action[] {
  const hasCtrl = pressed.startsWith("Ctrl+");
  if ((isWriting || isOverlaid) && !hasCtrl) return [];
  if (isCharacterKey(pressed) && !areSingleKeysOn) return [];
  const matching = registered.filter(({ action, keys }) => keys.includes(pressed) && action.applies?.() !== false);
  return matching.map(({ action }) => action).reverse();
}
