/** Details of why a job or a session failed: stored with the error type, and explained to people. */
import { z } from "zod";
import { ERROR_TYPES, ERRORS, type ErrorType, explain, SANDBOX_STAGES } from "../spans.ts";
import { explainProtocols, LinkProtocols } from "./link-protocol.ts";

/** The details of a failure besides its error type. */
export const Failure = z.object({
  /** The cause: why the last model failed, or the first failed step; for a lost runner, what ended it. */
  cause: z.enum(ERROR_TYPES).optional(),
  /** What failed with that cause: the model, as `provider/model`, or the step's name. */
  of: z.string().optional(),
  /** The stage that a failed start of a sandbox had reached. */
  stage: z.enum(SANDBOX_STAGES).optional(),
  /** The last line of the log of a runner that died: bounded, without the secrets that the broker knows. */
  logLine: z.string().max(1000).optional(),
  /** The versions of a runner and a SessionAgent with different protocols. */
  protocols: LinkProtocols.optional(),
  /** How many starts failed before Valet gave up. */
  attempts: z.int().positive().optional(),
});
export type Failure = z.infer<typeof Failure>;

/** A failure as the API shows it. */
export const FailureView = Failure.extend({
  type: z.enum(ERROR_TYPES),
  /** Sentences: what happened, and what to do. */
  message: z.string(),
});
export type FailureView = z.infer<typeof FailureView>;

/** Returns the view of a failure. @param failure its details */
export function viewFailure(type: ErrorType, failure: Failure | null | undefined): FailureView {
  const known = failure ?? {};
  return { ...known, type, message: messageOf(type, known, because) };
}

/** Returns the message for after a sentence that has named the error type and its cause. */
export function messageAfterNames(type: ErrorType, failure: Failure | null | undefined): string {
  return messageOf(type, failure ?? {}, becauseOfNamed);
}

type Because = (type: ErrorType, cause: ErrorType, of: string | undefined) => string;

function messageOf(
  type: ErrorType,
  { cause, of, stage, logLine, protocols, attempts }: Failure,
  explainCause: Because,
): string {
  const sentences = cause === undefined ? [explain(type)] : [happened(type), explainCause(type, cause, of)];
  if (cause === undefined && of !== undefined) sentences.push(`It is about \`${of}\`.`);
  if (stage !== undefined) sentences.push(`The start had come to the stage \`${stage}\`.`);
  if (protocols !== undefined) sentences.push(explainProtocols(protocols));
  if (logLine !== undefined) sentences.push(`The runner's log ends with: ${logLine}`);
  if (attempts !== undefined)
    sentences.push(`Valet gave up after ${attempts === 1 ? "1 attempt" : `${attempts} attempts`}.`);
  return sentences.join(" ");
}

/** Returns what happened, without what to do; the cause's explanation says that. */
function happened(type: ErrorType): string {
  const { meaning } = ERRORS[type];
  return `${meaning.charAt(0).toUpperCase()}${meaning.slice(1)}.`;
}

const because: Because = (type, cause, of) => {
  if (type === "runner_lost") return `The cause is \`${cause}\`: ${explain(cause)}`;
  return `${whoFailed(type)}${of === undefined ? "" : `, ${of},`} ended with \`${cause}\`: ${explain(cause)}`;
};

const becauseOfNamed: Because = (type, cause, of) => {
  const text = explain(cause);
  if (type === "runner_lost" || of === undefined) return text;
  return `${whoFailed(type)} was ${of}. ${text}`;
};

const whoFailed = (type: ErrorType) => (type === "model_chain_exhausted" ? "The last one" : "The first that failed");
