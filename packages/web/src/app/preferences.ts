/** What a person has chosen in this browser. Without storage, a choice holds for this page. */
import { useSyncExternalStore } from "react";

export type ThemeChoice = "system" | "light" | "dark";

const THEME = "valet.theme";
const SINGLE_KEYS = "valet.single-keys";

const chosen = new Map<string, string>();
const listeners = new Set<() => void>();

function read(name: string): string | null {
  const known = chosen.get(name);
  if (known !== undefined) return known;
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function write(name: string, value: string): void {
  chosen.set(name, value);
  try {
    localStorage.setItem(name, value);
  } catch {
    // A private window: the choice lasts as long as the page.
  }
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function readTheme(): ThemeChoice {
  const theme = read(THEME);
  return theme === "light" || theme === "dark" ? theme : "system";
}

const darkSystem = matchMedia("(prefers-color-scheme: dark)");

/** Shows the chosen theme. `public/theme.js` does the same before the first paint. */
function applyTheme(): void {
  const theme = readTheme();
  const isDark = theme === "dark" || (theme === "system" && darkSystem.matches);
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
}
darkSystem.addEventListener("change", applyTheme);

export function setTheme(theme: ThemeChoice): void {
  write(THEME, theme);
  applyTheme();
}

export function useTheme(): ThemeChoice {
  return useSyncExternalStore(subscribe, readTheme);
}

/** Whether shortcuts of a single character are on. */
export function areSingleKeysOn(): boolean {
  return read(SINGLE_KEYS) !== "off";
}

export function setSingleKeys(areOn: boolean): void {
  write(SINGLE_KEYS, areOn ? "on" : "off");
}

export function useSingleKeys(): boolean {
  return useSyncExternalStore(subscribe, areSingleKeysOn);
}
