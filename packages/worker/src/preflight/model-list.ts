/** Lists of models, as OpenAI-compatible endpoints answer them. Pure. */

/** Returns the ids in OpenAI's list of models; `undefined` for any other answer. */
export function idsOf(answer: unknown): readonly string[] | undefined {
  const { data } = (answer ?? {}) as { data?: unknown };
  if (!Array.isArray(data)) return undefined;
  return data.flatMap((each: unknown) => {
    const { id } = (each ?? {}) as { id?: unknown };
    return typeof id === "string" ? [id] : [];
  });
}
