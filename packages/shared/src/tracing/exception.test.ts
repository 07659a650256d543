import { afterEach, describe, expect, test } from "vitest";
import { describeException, exceptionType } from "./exception.ts";

const SECRET = "the patient's diagnosis";
/** Looks like a frame of a stack trace. */
const FRAMELIKE = `    at ${SECRET} (/home/patient/file.ts:1:2)`;

class PaymentError extends Error {
  override name = "PaymentError";
}

/** An error whose stack trace was written before its message changed. */
function changed(before: string, after: string): Error {
  const error = new Error(before);
  expect(error.stack).toContain(before);
  error.message = after;
  return error;
}

function named(name: unknown, message = "message"): Error {
  return Object.assign(new Error(message), { name });
}

describe("exceptionType", () => {
  test("is the name of the class", () => {
    expect(exceptionType(new TypeError("x"))).toBe("TypeError");
    expect(exceptionType(new PaymentError("x"))).toBe("PaymentError");
    expect(exceptionType(new DOMException("x", "AbortError"))).toBe("AbortError");
  });

  test("is the code if the class is only Error", () => {
    expect(exceptionType(Object.assign(new Error("x"), { code: "ECONNRESET" }))).toBe("ECONNRESET");
    expect(exceptionType(Object.assign(new PaymentError("x"), { code: "ECONNRESET" }))).toBe("PaymentError");
    expect(exceptionType(Object.assign(new Error("x"), { code: SECRET }))).toBe("Error");
    expect(exceptionType(Object.assign(new Error("x"), { code: 42 }))).toBe("Error");
  });

  test("is the type of a value that is no error", () => {
    expect(["text", 1, undefined, null, {}, Symbol("s")].map(exceptionType)).toEqual([
      "string",
      "number",
      "undefined",
      "object",
      "object",
      "symbol",
    ]);
  });

  test.each([[SECRET], [""], [undefined], [{}], ["a\nb"]])(
    "a name that is not an identifier, %o, is not used",
    (name) => {
      expect(exceptionType(named(name))).toBe("Error");
    },
  );
});

describe("R24 with content", () => {
  test("type, message and stack trace are kept", () => {
    const error = new PaymentError(SECRET);
    expect(describeException(error, true)).toEqual({
      "exception.type": "PaymentError",
      "exception.message": SECRET,
      "exception.stacktrace": error.stack,
    });
  });

  test("a value that is no error has type and text", () => {
    const text = (value: unknown) => describeException(value, true);
    expect(text("text")).toEqual({ "exception.type": "string", "exception.message": "text" });
    expect(text(undefined)).toEqual({ "exception.type": "undefined", "exception.message": "undefined" });
    expect(text(Object.create(null))).toMatchObject({ "exception.type": "object", "exception.message": "" });
  });
});

describe("R24 without content", () => {
  test("type and frames are kept, each frame as the engine wrote it", () => {
    const error = new PaymentError(SECRET);
    const { "exception.stacktrace": frames, ...others } = describeException(error, false);
    expect(others).toEqual({ "exception.type": "PaymentError", "exception.message": undefined });
    expect(frames).toMatch(/exception\.test/);
    for (const line of String(frames).split("\n")) {
      expect(error.stack?.split("\n")).toContain(line);
      expect(line).toMatch(/^\s+at .+:\d+/);
    }
  });

  test.each([
    ["one line", new Error(SECRET)],
    ["several lines", new Error(`first\n${SECRET}\n\nlast`)],
    ["lines that look like frames", new Error(`first\n${FRAMELIKE}\n${FRAMELIKE}`)],
    ["only a line that looks like a frame", new Error(FRAMELIKE)],
    ["a message changed afterwards", changed(SECRET, "harmless")],
    ["a message removed afterwards", changed(`x\n${FRAMELIKE}`, "")],
    ["a message with frames changed afterwards", changed(`x\n${FRAMELIKE}`, "harmless")],
    ["a message added to afterwards", changed("harmless", `harmless ${SECRET}`)],
    ["text in the name", named(SECRET, SECRET)],
    ["lines in the name", named(`Error: x\n${FRAMELIKE}`, "x")],
    ["no name", named("", FRAMELIKE)],
    ["a cause", new Error("outer", { cause: new Error(SECRET) })],
    ["several errors", new AggregateError([new Error(SECRET)], SECRET)],
    ["the engine's own", jsonError(SECRET)],
    ["a string", SECRET],
    ["an object", { message: SECRET, stack: `Error: ${SECRET}\n${FRAMELIKE}` }],
    ["a stack that was set", Object.assign(new Error("x"), { stack: `Error: y\n${SECRET}\n${FRAMELIKE}` })],
    ["a stack that is no text", Object.assign(new Error(SECRET), { stack: [SECRET] })],
  ])("the text of an exception with %s is absent", (_name, exception) => {
    expect(JSON.stringify(describeException(exception, false))).not.toContain(SECRET);
  });

  test("an error without a message keeps its frames", () => {
    expect(describeException(new Error(), false)["exception.stacktrace"]).toMatch(/exception\.test/);
  });

  test("a message of one letter removes no frame", () => {
    expect(describeException(new Error("r"), false)["exception.stacktrace"]).toMatch(/exception\.test/);
  });
});

describe("an engine that writes no text above the frames", () => {
  const original = Error.prepareStackTrace;
  afterEach(() => {
    Error.prepareStackTrace = original;
  });

  test("keeps its frames", () => {
    const frames = "inner@https://example.com/a.js:1:2\n@https://example.com/a.js:3:4";
    Error.prepareStackTrace = () => `${frames}\n[native code]`;
    expect(describeException(new Error(SECRET), false)["exception.stacktrace"]).toBe(frames);
  });
});

test("an exception that throws when it is read is described as far as possible", () => {
  const hostile = new Error("x");
  const get = () => {
    throw new Error("hostile");
  };
  for (const field of ["stack", "name", "message", "code"]) Object.defineProperty(hostile, field, { get });
  for (const content of [true, false]) expect(describeException(hostile, content)["exception.type"]).toBe("Error");
});

function jsonError(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return error;
  }
}
