/** What Valet's plugin tells the runner of a request to a provider, as it leaves OpenCode's process. Nobody waits for it. */
import { z } from "zod";
import { ModelCallRef, SpanTime } from "./child-sessions.ts";

/** A setting that OpenCode or a plugin has made unusable is unknown. */
const setting = <T extends z.ZodType>(type: T) => type.optional().catch(undefined);
const count = z.int().nonnegative();
/** JSON that was cut to fit, so it is not read as such here. */
const json = z.string().optional();

export const ModelRequest = ModelCallRef.extend({
  /** When it was sent, epoch ms. */
  atMs: SpanTime,
  params: z.object({
    temperature: setting(z.number()),
    topP: setting(z.number()),
    topK: setting(count),
    maxTokens: setting(count),
    reasoningLevel: setting(z.string().regex(/^[a-z]{1,16}$/)),
  }),
  /** The conversation in the form of `gen_ai.input.messages`. Only if content is captured. */
  input: json,
  /** The system prompt in the form of `gen_ai.system_instructions`, likewise. */
  system: json,
});
export type ModelRequest = z.infer<typeof ModelRequest>;

/** The variable by which the runner tells the plugin that content is captured: `1`. */
export const CAPTURES_CONTENT_VARIABLE = "VALET_CAPTURES_CONTENT";
