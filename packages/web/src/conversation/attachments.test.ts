import { ATTACHMENT_LIMITS, MAX_MESSAGE_BYTES, messageBytes } from "@valet/shared/protocol/message-limits";
import { SendMessage } from "@valet/shared/protocol/session-api";
import fc from "fast-check";
import { expect, test } from "vitest";
import { attachedFile, bodyOf, fileProblem, MAX_FILE_BYTES, sizeProblem } from "./attachments.ts";

const file = fc.record({
  name: fc.string({ unit: "binary", maxLength: 600 }),
  type: fc.oneof(
    fc.constantFrom("image/png", "video/mp2t", "", "text/plain; charset=utf-8"),
    fc.string({ maxLength: 300 }),
  ),
  bytes: fc.uint8Array({ maxLength: 300 }),
});

test("whatever is attached, the API takes it, with its content unchanged", () => {
  fc.assert(
    fc.property(fc.array(file, { maxLength: 5 }), (all) => {
      const files = all.map(({ name, type, bytes }, index) =>
        attachedFile({ name, type, size: bytes.length }, bytes, String(index)),
      );
      const sent = SendMessage.parse({ content: "x", attachments: bodyOf(files) });
      all.forEach(({ bytes }, index) => {
        const content = sent.attachments?.[index]?.url.replace(/^[^,]*,/, "") ?? "";
        expect(Buffer.from(content, "base64").equals(bytes)).toBe(true);
      });
    }),
  );
});

test("the largest file is taken by the API, and one byte more is refused before it is sent", () => {
  const facts = { name: "a.bin", type: "x".repeat(ATTACHMENT_LIMITS.mediaType), size: MAX_FILE_BYTES };
  expect(fileProblem(facts, 0)).toBeUndefined();
  const whole = attachedFile(facts, new Uint8Array(MAX_FILE_BYTES), "1");
  expect(SendMessage.safeParse({ content: "x", attachments: bodyOf([whole]) }).success).toBe(true);
  expect(fileProblem({ ...facts, size: MAX_FILE_BYTES + 1 }, 0)).toContain("“a.bin” was not attached: it has");
  expect(fileProblem({ ...facts, size: 1 }, ATTACHMENT_LIMITS.files - 1)).toBeUndefined();
  expect(fileProblem({ ...facts, size: 1 }, ATTACHMENT_LIMITS.files)).toContain("at most 20 files");
});

test("text and files together have the limit of the API", () => {
  const files = [attachedFile({ name: "a", type: "", size: 150_000 }, new Uint8Array(150_000), "1")];
  const free = MAX_MESSAGE_BYTES - messageBytes("", bodyOf(files));
  expect(sizeProblem("x".repeat(free), files)).toBeUndefined();
  expect(sizeProblem("x".repeat(free + 1), files)).toContain("Remove a file");
  expect(sizeProblem("é".repeat(MAX_MESSAGE_BYTES / 2), [])).toContain("Shorten it");
});

test("what a model cannot read is known, whatever the browser calls it", () => {
  const text = new TextEncoder().encode("export const a = 1;\n");
  const zip = Uint8Array.of(0x50, 0x4b, 3, 4, 0xff, 0);
  const made = (name: string, type: string, bytes: Uint8Array) => {
    const { mediaType, isForModel } = attachedFile({ name, type, size: bytes.length }, bytes, "1");
    return [mediaType, isForModel];
  };
  expect(made("a.ts", "video/mp2t", text)).toEqual(["text/plain", true]);
  expect(made("README", "", text)).toEqual(["text/plain", true]);
  expect(made("a.json", "application/json", text)).toEqual(["application/json", true]);
  expect(made("a.zip", "application/zip", zip)).toEqual(["application/zip", false]);
  expect(made("a.png", "image/png", zip)).toEqual(["image/png", false]);
});

test("a name that is too long keeps its end", () => {
  const { filename } = attachedFile({ name: `${"n".repeat(400)}.tar.gz`, type: "", size: 0 }, new Uint8Array(), "1");
  expect(filename.length).toBeLessThanOrEqual(ATTACHMENT_LIMITS.filename);
  expect(filename.endsWith(".tar.gz")).toBe(true);
});
