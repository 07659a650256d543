import { type Attributes, textOf } from "./attributes.ts";

/**
 * The attributes of an `exception` event (OpenTelemetry semantic conventions, "Exceptions").
 * @param captureContent whether the exception's own text may be kept: it often quotes what people or files said. Without it
 *   `exception.message` is left out and the stack trace holds only its frames.
 */
export function describeException(exception: unknown, captureContent: boolean): Attributes {
  const isError = exception instanceof Error;
  const message = isError ? read(exception, "message") : textOf(exception);
  const stack = isError ? read(exception, "stack") : "";
  return {
    "exception.type": exceptionType(exception),
    "exception.message": captureContent ? message : undefined,
    "exception.stacktrace": (captureContent ? stack : framesOf(stack, message)) || undefined,
  };
}

/** The name of an exception's class, or its code where a class says nothing: never its text. */
export function exceptionType(exception: unknown): string {
  if (!(exception instanceof Error)) return typeof exception;
  const name = read(exception, "name");
  const code = read(exception, "code");
  if (name === "Error" && /^[A-Z][A-Z0-9_]+$/.test(code)) return code;
  // A name is a field like any other, and some put sentences there.
  return /^[\w$.]+$/.test(name) ? name : "Error";
}

/** A text of an exception, which may be of any type, or a getter that throws. */
function read(exception: Error, field: "name" | "message" | "stack" | "code"): string {
  try {
    const value = (exception as Error & { code?: unknown })[field];
    return typeof value === "string" ? value : "";
  } catch {
    return "";
  }
}

const FRAME = /^(?:\s+at .+|[^\s@]*@\S*):\d+(?::\d+)?\)?$/;

/**
 * The frames of a stack trace without the text above them. V8 and Bun write `name: message` first, others only frames.
 * A text that is not this message was written before the message changed, and may end in lines that look like frames:
 * nothing of that is kept.
 */
function framesOf(stack: string, message: string): string {
  const nameEnd = (/^[\w$.[\] ]*(?:: )?/.exec(stack) as RegExpExecArray)[0].length;
  const messageEnd = nameEnd + message.length;
  const isKnown = stack.startsWith(message, nameEnd) && /^\n?$/.test(stack.charAt(messageEnd));
  if (!isKnown && new Error("\0").stack?.includes("\0")) return "";
  const below = stack.slice(isKnown ? messageEnd : 0);
  return below
    .split("\n")
    .filter((line) => FRAME.test(line))
    .join("\n");
}
