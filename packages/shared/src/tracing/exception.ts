import type { Attributes } from "./attributes.ts";

/**
 * The attributes of an `exception` event (OpenTelemetry semantic conventions, "Exceptions").
 * @param captureContent whether the exception's own text may be kept: it often quotes what people or files said. Without it
 *   `exception.message` is left out and the stack trace holds only its frames.
 */
export function describeException(exception: unknown, captureContent: boolean): Attributes {
  const type = exceptionType(exception);
  if (!(exception instanceof Error)) {
    return captureContent
      ? { "exception.type": type, "exception.message": textOf(exception) }
      : { "exception.type": type };
  }
  const { message, stack } = exception;
  return captureContent
    ? { "exception.type": type, "exception.message": message, "exception.stacktrace": stack }
    : { "exception.type": type, "exception.stacktrace": stack && framesOf(stack, message) };
}

/** The name of an exception's class, or its code where a class says nothing: never its text. */
export function exceptionType(exception: unknown): string {
  if (!(exception instanceof Error)) return typeof exception;
  const { code } = exception as { code?: unknown };
  if (exception.name === "Error" && typeof code === "string" && /^[A-Z][A-Z0-9_]+$/.test(code)) return code;
  return exception.name;
}

/** The frames of a stack trace without the text above them. V8 and Bun write `name: message` first, others write frames only. */
function framesOf(stack: string, message: string): string | undefined {
  const at = message === "" ? -1 : stack.indexOf(message);
  const below = at < 0 ? stack : stack.slice(at + message.length);
  const frames = below.split("\n").filter((line) => /^\s+at .*:\d+(?::\d+)?\)?$|@.*:\d+:\d+$/.test(line));
  return frames.length > 0 ? frames.join("\n") : undefined;
}

function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return "";
  }
}
