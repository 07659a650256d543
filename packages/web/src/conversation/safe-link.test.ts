import { expect, test } from "vitest";
import { namesTarget, safeLink } from "./safe-link.ts";

test.each([
  "javascript:alert(1)",
  "JaVaScRiPt:alert(1)",
  " https://example.com",
  "java\nscript:alert(1)",
  "data:text/html,<script>alert(1)</script>",
  "file:///etc/passwd",
  "/api/sessions",
  "//example.com/x",
  "https://user:password@example.com/",
  "https://example.com@evil.example/",
  "https://",
  "mailto:a@example.com",
  "",
  undefined,
])("%j is no link", (href) => expect(safeLink(href)).toBeUndefined());

test("a link to http or https leads where it says", () => {
  expect(safeLink("https://example.com/a?b#c")).toEqual({ href: "https://example.com/a?b#c", host: "example.com" });
  expect(safeLink("HTTP://Example.com:8080")).toEqual({ href: "http://example.com:8080/", host: "example.com:8080" });
  // Letters of another alphabet show as what they are.
  expect(safeLink("https://ex\u0430mple.com")?.host).toMatch(/^xn--/);
});

test("a text names its target only if it is that target", () => {
  const link = { href: "https://example.com/", host: "example.com" };
  for (const text of ["https://example.com", "https://example.com/", "example.com"])
    expect(namesTarget(text, link)).toBe(true);
  for (const text of ["https://good.example", "here", ""]) expect(namesTarget(text, link)).toBe(false);
});
