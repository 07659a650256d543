/** Turns content into attributes, in the form of the conventions. Pure. */
import type { SpanAttributes } from "@valet/shared/spans";
import { boundedJson, cutEnd } from "@valet/shared/text";
import type { FactContent } from "./facts.ts";

/** No JSON is shorter when it is cut. */
const SHORTEST_BYTES = 5;
/** The longest text of an error, in UTF-16 code units, each of which has at most three bytes in UTF-8. */
const MAX_ERROR_LENGTH = 1_000;
const MAX_BYTES_PER_UNIT = 3;

/**
 * Returns the attributes of a span's content: the text of an error as text, all others as JSON that stays JSON where it is cut.
 * @param maxBytes how long one may be, in UTF-8; there are none if it is absent or too small for any JSON
 */
export function contentAttributes(
  content: FactContent,
  maxBytes: number | undefined,
): SpanAttributes<`chat ${string}` | `execute_tool ${string}` | "valet.llm.try"> {
  if (maxBytes === undefined || maxBytes < SHORTEST_BYTES) return {};
  const json = (value: unknown) => (value === undefined ? undefined : boundedJson(value, maxBytes));
  const { "gen_ai.output.messages": output = [], "gen_ai.tool.call.result": result, "error.message": error } = content;
  const maxErrorLength = Math.min(MAX_ERROR_LENGTH, Math.floor(maxBytes / MAX_BYTES_PER_UNIT));
  return {
    "gen_ai.tool.call.arguments": json(content["gen_ai.tool.call.arguments"]),
    "gen_ai.tool.call.result": result === undefined ? undefined : json({ output: result }),
    "gen_ai.input.messages": json(content["gen_ai.input.messages"]),
    "gen_ai.system_instructions": json(content["gen_ai.system_instructions"]),
    "gen_ai.output.messages": output.length === 0 ? undefined : json([{ role: "assistant", parts: output }]),
    "error.message": error === undefined ? undefined : cutEnd(error, maxErrorLength),
  };
}
