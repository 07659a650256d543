import { useRef } from "react";

/** Returns a value that can be written as JSON: the same object as long as it says the same, so that who depends on it is not drawn again. */
export function useSteady<T>(value: T): T {
  const json = JSON.stringify(value);
  const last = useRef({ json, value });
  if (last.current.json !== json) last.current = { json, value };
  return last.current.value;
}
