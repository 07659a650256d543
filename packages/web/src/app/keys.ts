/** Names of keys, as actions are registered with them. Pure. */

interface PressedKey {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly shiftKey: boolean;
}

/**
 * Returns the name of a pressed key: `j`, `?`, `Shift+N`, `Ctrl+K`, `ArrowDown`. Command on a Mac counts as Ctrl. Shift is named for
 * letters and named keys only: it is part of what makes other characters.
 */
export function keyOf({ key, ctrlKey, metaKey, altKey, shiftKey }: PressedKey): string {
  const isLetter = key.length === 1 && key.toLowerCase() !== key.toUpperCase();
  const isNamed = key.length > 1;
  const hasCtrl = ctrlKey || metaKey;
  const parts = [
    ...(hasCtrl ? ["Ctrl"] : []),
    ...(altKey ? ["Alt"] : []),
    ...(shiftKey && (isLetter || isNamed) ? ["Shift"] : []),
  ];
  const name = isLetter ? (parts.length > 0 ? key.toUpperCase() : key.toLowerCase()) : key === " " ? "Space" : key;
  return [...parts, name].join("+");
}

/** Returns the names in an action's `keys`. */
export function parseKeys(keys: string | undefined): readonly string[] {
  return keys === undefined ? [] : keys.split(" ").filter((one) => one !== "");
}

/**
 * Returns whether a key is a character without Ctrl or Alt: such shortcuts can be turned off, and never run where text is written
 * (WCAG 2.1.4).
 */
export function isCharacterKey(name: string): boolean {
  if (name.startsWith("Ctrl+") || name.startsWith("Alt+")) return false;
  const last = name.startsWith("Shift+") ? name.slice("Shift+".length) : name;
  return [...last].length === 1 || last === "Space";
}

const SHOWN: Readonly<Record<string, string>> = {
  ArrowUp: "↑",
  ArrowDown: "↓",
  ArrowLeft: "←",
  ArrowRight: "→",
  Escape: "Esc",
  "-": "−",
};

/** Returns a key as people read it: `Ctrl K`, `↓`, `J`. */
export function shownKey(name: string): string {
  return name
    .split(/\+(?=.)/)
    .map((part) => SHOWN[part] ?? (part.length === 1 ? part.toUpperCase() : part))
    .join(" ");
}

/** The most keys of one action that are listed one by one. */
const MAX_LISTED = 3;

/** Returns the keys of an action as people read them; of a long row, such as the digits, the first and the last. */
export function shownKeys(names: readonly string[]): string[] {
  const shown = names.map(shownKey);
  return shown.length <= MAX_LISTED ? shown : [`${shown[0]} – ${shown.at(-1)}`];
}
