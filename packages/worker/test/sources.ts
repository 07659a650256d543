declare global {
  interface ImportMeta {
    glob(patterns: readonly string[], options: Record<string, unknown>): Record<string, string>;
  }
}

/** The code of the durable objects, without tests, by path from `src/durable-objects`. */
const SOURCES = import.meta.glob(["../src/durable-objects/**/*.ts", "!../src/durable-objects/**/*.test.ts"], {
  query: "?raw",
  import: "default",
  eager: true,
});

/** Returns the files of the durable objects that match a pattern, by path from `src/durable-objects`. */
export function sourcesWith(pattern: RegExp): string[] {
  const found = Object.entries(SOURCES).filter(([, text]) => pattern.test(text));
  return found.map(([path]) => path.replace("../src/durable-objects/", "")).sort();
}
