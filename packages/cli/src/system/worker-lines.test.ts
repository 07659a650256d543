import { describe, expect, test } from "vitest";
import { shownLine } from "./worker-lines.ts";

const HEX_STACK = "stack: /opt/bin/workerd@3fdbce7 /opt/bin/workerd@3fedb55 /opt/bin/workerd@27f3dcf";

describe("a line of the Worker's log", () => {
  test.each([
    "NOSENTRY script not found",
    "NOSENTRY output lock broke during alarm execution; actorId = 1",
    "workerd/io/io-context.c++:112: warning: NOSENTRY IoContext dropped queued cross-context actions; eventType = x",
    HEX_STACK,
    "kj/async-io-unix.c++:186: disconnected: ::writev(fd, iov, n): Broken pipe",
    "uncaught exception; exception = workerd/jsg/value.h:1535: disconnected: jsg.Error: Network connection lost.",
    "uncaught exception; source = Uncaught (in promise); stack = Error: Network connection lost.",
    "workerd/api/http.c++:9: disconnected: premature EOF in HTTP body",
    "Uncaught exception: workerd/jsg/value.h:1535: failed: remote.jsg.TypeError: Invalid URL string.",
    "Received a connect event but we lack a handler. Did you remember to export a connect() function?",
    "Uncaught exception: workerd/api/global-scope.c++:308: failed: remote.jsg.Error: Handler does not export a connect() function.",
    "Uncaught exception: kj/compat/http.c++:6214: failed: remote.jsg.Error: WebSocket protocol error; protocolError.statusCode = 1009; protocolError.description = Message is too large: 34603008 > 33554432",
  ])("that means nothing to an operator is hidden: %s", (line) => {
    expect(shownLine(line)).toEqual({ text: undefined, hides: "known" });
  });

  test("of the Worker's own code becomes a sentence without its stack", () => {
    const line = JSON.stringify({
      message: "a request failed",
      error: "TypeError",
      at: ["    at work (index.js:1:1)"],
    });
    expect(shownLine(line)).toEqual({ text: "The Worker: a request failed (TypeError).", hides: "unknown" });
  });

  test.each([
    "a request was refused because the disk or the database is full",
    "the database cannot be read because the disk or the database is full",
  ])("of the Worker's own code about a full disk refers to no details: %s", (message) => {
    const line = JSON.stringify({ message, error: "Error", at: ["    at work (index.js:1:1)"] });
    expect(shownLine(line)).toEqual({ text: `The Worker: ${message} (Error).`, hides: "known" });
  });

  test("about a failure that a variable causes names the variable", () => {
    const setting = "VALET_MODEL_PRICES: must be INPUT/OUTPUT";
    const line = JSON.stringify({ message: "a request failed", error: "ConfigError", setting, at: [] });
    expect(shownLine(line)).toEqual({ text: `The Worker: a request failed. ${setting}.`, hides: "nothing" });
  });

  test("about migrations that `up` is about to apply belongs to its start", () => {
    const line = JSON.stringify({ message: "a session failed", error: "Error", lacks: "migrations", at: [] });
    expect(shownLine(line)).toMatchObject({ hides: "known", isOfStart: true });
  });

  test("about a variable becomes a sentence", () => {
    const line = JSON.stringify({
      type: "config_invalid",
      variable: "OTEL_BSP_MAX_QUEUE_SIZE",
      message: "is not honoured",
    });
    expect(shownLine(line).text).toBe("The Worker: the variable OTEL_BSP_MAX_QUEUE_SIZE is not honoured.");
  });

  test("of diagnostics for programs is shown as it is", () => {
    const line = JSON.stringify({
      message: "tracing",
      type: "export_failed",
      host: "otlp.example.com",
      session: "ses_1",
    });
    expect(shownLine(line)).toEqual({ text: line, hides: "nothing" });
  });

  test("about the disk becomes a sentence, whatever stack follows it", () => {
    const failed = "e = workerd/util/sqlite.c++:1827: failed: SQLite failed; database or disk is full: SQLITE_FULL";
    for (const line of [failed, `${failed}\n${HEX_STACK}; sentryTag = SENTRY_DO`]) {
      expect(shownLine(line)).toEqual({
        text: expect.stringMatching(/^The Worker: the disk .* is full/),
        hides: "known",
      });
    }
  });

  test("of an unknown kind is shown: whole if it is short, otherwise its beginning", () => {
    expect(shownLine("something new")).toEqual({ text: "something new", hides: "nothing" });
    expect(shownLine("it says NOSENTRY in passing")).toMatchObject({ hides: "nothing" });
    expect(shownLine('{"half": ')).toEqual({ text: '{"half": ', hides: "nothing" });
    expect(shownLine('{"message":"other"}')).toMatchObject({ text: '{"message":"other"}' });
    expect(shownLine(`uncaught exception\n${HEX_STACK}`)).toEqual({ text: "uncaught exception", hides: "unknown" });
    const { text, hides } = shownLine("x".repeat(1000));
    expect(text).toHaveLength(300);
    expect(hides).toBe("unknown");
  });
});
