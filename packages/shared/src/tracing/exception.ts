import type { Attributes } from "./attributes.ts";

/**
 * The attributes of an `exception` event (OpenTelemetry semantic conventions, "Exceptions").
 * @param captureContent whether the exception's own text may be kept: it often quotes what people or files said. Without it
 *   `exception.message` is left out and the stack trace holds only its frames.
 */
export function describeException(exception: unknown, captureContent: boolean): Attributes {
  const isError = exception instanceof Error;
  // Objects have no text of their own, and some none at all.
  const message = textIn(isError ? exception.message : typeof exception !== "object" && String(exception));
  const stack = textIn(isError && exception.stack);
  return {
    "exception.type": exceptionType(exception),
    "exception.message": captureContent ? message : undefined,
    "exception.stacktrace": (captureContent ? stack : framesOf(stack, message)) || undefined,
  };
}

/** The name of an exception's class, or its code where a class says nothing: never its text. */
export function exceptionType(exception: unknown): string {
  if (!(exception instanceof Error)) return typeof exception;
  const name = textIn(exception.name);
  const code = textIn((exception as { code?: unknown }).code);
  if (name === "Error" && /^[A-Z][A-Z0-9_]+$/.test(code)) return code;
  // A name is a field like any other, and some put sentences there.
  return /^[\w$.]+$/.test(name) ? name : "Error";
}

/** The fields of an exception may be of any type. */
function textIn(value: unknown): string {
  return typeof value === "string" ? value : "";
}

const FRAME = /^(?:\s+at .+|[^\s@]*@\S*):\d+(?::\d+)?\)?$/;

/**
 * The frames of a stack trace without the text above them. V8 and Bun write `name: message` first, others only frames.
 * A text that is not this message was written before the message changed, and may end in lines that look like frames:
 * nothing of that is kept.
 */
function framesOf(stack: string, message: string): string {
  const text = /^[\w$.[\] ]*(?:: )?/.exec(stack)![0] + message;
  const isKnown = `${stack}\n`.startsWith(`${text}\n`);
  const lines = stack.slice(isKnown ? text.length : 0).split("\n");
  const frames = lines.filter((line) => FRAME.test(line));
  return isKnown || frames[0] === lines[0] ? frames.join("\n") : "";
}
