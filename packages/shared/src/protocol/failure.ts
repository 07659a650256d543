/** Why work or a session failed, as it is stored with the error type and as people read it. */
import { z } from "zod";
import { ERROR_TYPES, ERRORS, type ErrorType, explain, SANDBOX_STAGES } from "../spans.ts";
import { explainProtocols, LinkProtocols } from "./link-protocol.ts";

/** What is known of a failure besides its error type. */
export const Failure = z.object({
  /** What lies behind it: why the last model failed, or the step that failed first. */
  cause: z.enum(ERROR_TYPES).optional(),
  /** What failed like that: the model, as `provider/model`, or the step's name. */
  of: z.string().optional(),
  /** How far the sandbox had come that did not start. */
  stage: z.enum(SANDBOX_STAGES).optional(),
  /** The last line of the log of a runner that died: bounded, without the secrets that the broker knows. */
  logLine: z.string().max(1000).optional(),
  /** Of a runner and a SessionAgent that do not understand each other. */
  protocols: LinkProtocols.optional(),
  /** How many starts had failed when no other was tried. */
  attempts: z.int().positive().optional(),
});
export type Failure = z.infer<typeof Failure>;

/** A failure as it looks from outside. */
export const FailureView = Failure.extend({
  type: z.enum(ERROR_TYPES),
  /** What happened and what to do about it, in sentences. */
  message: z.string(),
});
export type FailureView = z.infer<typeof FailureView>;

/** Makes the view of a failure. @param failure what is known besides the error type */
export function viewFailure(type: ErrorType, failure: Failure | null | undefined): FailureView {
  const known = failure ?? {};
  return { ...known, type, message: messageOf(type, known) };
}

function messageOf(type: ErrorType, { cause, of, stage, logLine, protocols, attempts }: Failure): string {
  const sentences = cause === undefined ? [explain(type)] : [happened(type), because(type, cause, of)];
  if (cause === undefined && of !== undefined) sentences.push(`It is about \`${of}\`.`);
  if (stage !== undefined) sentences.push(`The start had come to the stage \`${stage}\`.`);
  if (protocols !== undefined) sentences.push(explainProtocols(protocols));
  if (logLine !== undefined) sentences.push(`The runner's log ends with: ${logLine}`);
  if (attempts !== undefined)
    sentences.push(`Valet gave up after ${attempts === 1 ? "1 attempt" : `${attempts} attempts`}.`);
  return sentences.join(" ");
}

/** What happened, without what to do: that is its cause's to say. */
function happened(type: ErrorType): string {
  const { meaning } = ERRORS[type];
  return `${meaning.charAt(0).toUpperCase()}${meaning.slice(1)}.`;
}

function because(type: ErrorType, cause: ErrorType, of: string | undefined): string {
  const who = type === "model_chain_exhausted" ? "The last one" : "The first that failed";
  return `${who}${of === undefined ? "" : `, ${of},`} ended with \`${cause}\`: ${explain(cause)}`;
}
