import { type Attributes, textOf } from "./attributes.ts";

/**
 * Returns the attributes of an `exception` event (OpenTelemetry semantic conventions, "Exceptions").
 * @param captureContent whether to include the exception's message, which often quotes people or files. Without it,
 *   `exception.message` is absent and the stack trace contains only its frames.
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

/** Returns the name of an exception's class, or its code if the class is only `Error`. Never its message. */
export function exceptionType(exception: unknown): string {
  if (!(exception instanceof Error)) return typeof exception;
  const name = read(exception, "name");
  const code = read(exception, "code");
  if (name === "Error" && /^[A-Z][A-Z0-9_]+$/.test(code)) return code;
  // Some code writes sentences into the field `name`.
  return /^[\w$.]+$/.test(name) ? name : "Error";
}

/** Reads a text field of an exception; empty if it has another type, or its getter throws. */
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
 * Returns the frames of a stack trace without the text above them. V8 and Bun write `name: message` first, others only frames.
 * If that text is not the current message, the message changed later, and the old one may end in lines that look like frames: then
 * the result is empty.
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
