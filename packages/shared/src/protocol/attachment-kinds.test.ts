import fc from "fast-check";
import { expect, test } from "vitest";
import { attachmentKind, isText, plainMediaType } from "./attachment-kinds.ts";

const bytes = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));

test.each([
  ["image/png", "89504e470d0a1a0a0000000d", "model"],
  ["image/webp", "524946460000000057454250", "model"],
  ["application/pdf", "255044462d312e37", "model"],
  // The name says one thing, the content another.
  ["image/png", "504b0304140000000800", "workspace"],
  ["text/csv", "612c62", "text"],
  ["application/ld+json", "7b7d", "text"],
  ["text/plain", "fffe00", "workspace"],
  ["application/zip", "504b0304140000000800", "workspace"],
  ["", "612c62", "workspace"],
  ["__proto__", "612c62", "workspace"],
])("a file of the type %s that begins with %s: %s", (mediaType, hex, kind) => {
  expect(attachmentKind(mediaType, bytes(hex))).toBe(kind);
});

test("every text without NUL is text, and half a character is none", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(isText(new TextEncoder().encode(text))).toBe(!text.includes("\0"));
    }),
  );
  expect(isText(Uint8Array.of(0xe2, 0x82))).toBe(false);
});

test("a media type is compared without its parameters", () => {
  expect(plainMediaType("Text/HTML; charset=utf-8")).toBe("text/html");
  expect(plainMediaType("")).toBe("");
});
