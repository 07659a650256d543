/** How many results are remembered: more than the sessions that are busy in one isolate. */
const MAX_REMEMBERED = 64;

/** Returns a pure function of a text that remembers its last results, since every event of a session asks for the same ones. */
export function remember<T>(resultOf: (text: string) => T): (text: string) => T {
  const results = new Map<string, T>();
  return (text) => {
    if (results.has(text)) return results.get(text) as T;
    const result = resultOf(text);
    results.set(text, result);
    for (const oldest of results.keys()) if (results.size > MAX_REMEMBERED) results.delete(oldest);
    return result;
  };
}
