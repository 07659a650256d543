/** A step that takes longer is announced: otherwise a person does not know whether anything goes on. */
const SLOW_MS = 2_000;

/** Waits for a step, and reports what it is if it takes more than two seconds. */
export async function sayIfSlow<T>(what: string, report: (line: string) => void, step: Promise<T>): Promise<T> {
  const timer = setTimeout(() => report(`${what} …`), SLOW_MS);
  try {
    return await step;
  } finally {
    clearTimeout(timer);
  }
}
