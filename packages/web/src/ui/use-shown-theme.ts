import { useSyncExternalStore } from "react";

const root = document.documentElement;
const read = (): string => root.dataset.theme ?? "";

function subscribe(listener: () => void): () => void {
  const observer = new MutationObserver(listener);
  observer.observe(root, { attributeFilter: ["data-theme"] });
  return () => observer.disconnect();
}

/** Returns the theme that is shown, whoever has changed it: a person, or the system. */
export function useShownTheme(): string {
  return useSyncExternalStore(subscribe, read);
}
